// The arithmetic of AdamW for one vector of elements, whatever they are stored as. On a GPU a
// vector is one float, which csrc/cuda/adamw_values.cuh defines before it includes this.
#pragma once

#if !defined(DLPLUG_VECTOR_IS_FLOAT)
#include "csrc/common/simd.h"
#endif
#include "csrc/cpu/kernels/adamw.h"

namespace dlplug::DLPLUG_ISA {

// start + w (end - start), computed from the nearer end as torch.lerp does: w = 1 gives exactly
// `end`, and an infinite value gives NaN where it does in PyTorch.
struct Lerp {
  Float weight;  // w, or w - 1 from `end`
  bool is_from_end;
};

DLPLUG_INLINE Lerp lerp_of(float weight) {
  const bool is_from_end = weight >= 0.5f;
  return {broadcast(weight - (is_from_end ? 1.0f : 0.0f)), is_from_end};
}

DLPLUG_INLINE Float lerp(const Lerp& by, Float start, Float end) {
  return fma(by.weight, end - start, by.is_from_end ? end : start);
}

struct AdamWConstants {
  Lerp first, average;
  Float second_weight, beta2, decay, eps, grad_factor, inverse_scale;
  Float negative_step, inverse_root;
  bool is_unscaling;
};

struct AdamWValues {
  Float param, grad, m, v, max_v;
};

// `negative_step` and `inverse_root` as in AdamWRow.
DLPLUG_INLINE AdamWConstants constants_of(const AdamWOptions& options, float negative_step,
                                          float inverse_root) {
  AdamWConstants c;
  c.first = lerp_of(options.first_weight);
  c.average = lerp_of(options.average_weight);
  c.second_weight = broadcast(options.second_weight);
  c.beta2 = broadcast(options.beta2);
  c.decay = broadcast(options.decay);
  c.eps = broadcast(options.eps);
  c.grad_factor = broadcast(options.grad_factor);
  c.inverse_scale = broadcast(options.inverse_scale);
  c.is_unscaling = options.is_unscaling;
  c.negative_step = broadcast(negative_step);
  c.inverse_root = broadcast(inverse_root);
  return c;
}

template <bool kIsAmsgrad>
DLPLUG_INLINE void update_values(const AdamWConstants& c, AdamWValues& x) {
  if (c.is_unscaling) x.grad *= c.inverse_scale;
  const Float g = x.grad * c.grad_factor;
  x.m = lerp(c.first, x.m, g);
  // (w g) g and not w (g g), which overflows earlier.
  x.v = fma(c.second_weight * g, g, x.v * c.beta2);
  if (kIsAmsgrad) x.max_v = max(x.max_v, x.v);
  const Float denominator = fma(sqrt(kIsAmsgrad ? x.max_v : x.v), c.inverse_root, c.eps);
  x.param = fma(x.param, c.decay, (c.negative_step * x.m) / denominator);
}

}  // namespace dlplug::DLPLUG_ISA
