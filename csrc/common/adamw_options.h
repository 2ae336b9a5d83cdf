// The numbers of an AdamW step as its formula takes them (kernels/adamw_values.h), with the same
// roundings on the host and on a GPU, in whose memory learning rate, step or scale may lie.
#pragma once

#include <math.h>

#include "csrc/cpu/kernels/adamw.h"

#if defined(__CUDACC__)
#define DLPLUG_HOST_DEVICE __host__ __device__
#else
#define DLPLUG_HOST_DEVICE
#endif

namespace dlplug {

struct Hyperparameters {
  double lr, beta1, beta2, eps, weight_decay;
  bool maximize;
  double grad_scale, grad_factor, average_weight;
};

// Of the `numbers` of adamw_ (csrc/ops/adamw.h).
DLPLUG_HOST_DEVICE inline Hyperparameters hyperparameters_of(const double* n, bool maximize) {
  return {n[0], n[1], n[2], n[3], n[4], maximize, 1.0, 1.0, n[5]};
}

DLPLUG_HOST_DEVICE inline AdamWOptions options_of(const Hyperparameters& given) {
  AdamWOptions options{};
  options.first_weight = static_cast<float>(1.0 - given.beta1);
  options.second_weight = static_cast<float>(1.0 - given.beta2);
  options.beta2 = static_cast<float>(given.beta2);
  options.decay = static_cast<float>(1.0 - given.lr * given.weight_decay);
  options.eps = static_cast<float>(given.eps);
  options.grad_factor = static_cast<float>(given.maximize ? -given.grad_factor : given.grad_factor);
  options.inverse_scale = static_cast<float>(1.0 / given.grad_scale);
  options.is_unscaling = given.grad_scale != 1.0;
  options.average_weight = static_cast<float>(given.average_weight);
  return options;
}

// What the averages lack after `step` steps: 1 - beta^step.
struct BiasCorrections {
  double first, second;
};

DLPLUG_HOST_DEVICE inline BiasCorrections bias_corrections(double beta1, double beta2,
                                                           double step) {
  return {1.0 - pow(beta1, step), 1.0 - pow(beta2, step)};
}

// As in AdamWRow.
DLPLUG_HOST_DEVICE inline float negative_step_of(double lr, const BiasCorrections& corrections) {
  return static_cast<float>(-lr / corrections.first);
}
DLPLUG_HOST_DEVICE inline float inverse_root_of(const BiasCorrections& corrections) {
  return static_cast<float>(1.0 / sqrt(corrections.second));
}

// What gradients are multiplied by, so that their norm becomes at most `max_norm`: as in PyTorch's
// clip_grad_norm_, and NaN for a norm that is NaN. dlplug/ops/_clipping.py has it for Python.
DLPLUG_HOST_DEVICE inline double clip_factor(double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor >= 1.0 ? 1.0 : factor;
}

}  // namespace dlplug
