// What the four norm ops share on the host. Without residual, h stands for x.
#pragma once

#include "csrc/common/tensor.h"
#include "csrc/cpu/kernels/norm.h"

namespace dlplug {

using NormForwardKernel = void(const NormForward&, int64_t, int64_t, float*);
using NormBackwardKernel = void(const NormBackward&, int64_t, int64_t, float*);

struct NormOutputs {
  Tensor y, h, stats;
};

// stats: (2, rows) mean and rstd when `is_centered`, else (1, rows) rstd. h: x itself without
// residual. seed: scalar int64 on the CPU; it may be absent when dropout_p is 0.
NormOutputs norm_forward(NormForwardKernel* kernel, bool is_centered, const Tensor& x,
                         const std::optional<Tensor>& residual, const std::optional<Tensor>& weight,
                         const std::optional<Tensor>& bias, double eps, double dropout_p,
                         const std::optional<Tensor>& seed);

struct NormGradients {
  Tensor input, x, weight, bias;
};

// `x` has no elements where it equals `input`: neither dropout nor another dtype. `weight` and
// `bias` have none without `needs_weights`.
NormGradients norm_backward(NormBackwardKernel* kernel, bool is_centered, const Tensor& grad_y,
                            const std::optional<Tensor>& grad_h, const Tensor& h,
                            const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                            const Tensor& stats, ScalarType x_dtype, double dropout_p,
                            const std::optional<Tensor>& seed, bool needs_weights);

}  // namespace dlplug
