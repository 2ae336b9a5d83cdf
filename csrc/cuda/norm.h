// What the four norm ops share on a GPU; csrc/cpu/norm.h tells the same of the CPU. Without
// residual, h stands for x.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug::cuda {

struct NormOutputs {
  Tensor y, h, stats;
};

// stats: (2, rows) mean and rstd when `is_centered`, else (1, rows) rstd. h: x itself without
// residual. seed: one int64 on x's device; it may be absent when dropout_p is 0.
NormOutputs norm_forward(bool is_centered, const Tensor& x, const std::optional<Tensor>& residual,
                         const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                         double eps, double dropout_p, const std::optional<Tensor>& seed);

struct NormGradients {
  Tensor input, x, weight, bias;
};

// `x` has no elements where it equals `input`: neither dropout nor another dtype. `weight` and
// `bias` have none without `needs_weights`.
NormGradients norm_backward(bool is_centered, const Tensor& grad_y,
                            const std::optional<Tensor>& grad_h, const Tensor& h,
                            const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                            const Tensor& stats, ScalarType x_dtype, double dropout_p,
                            const std::optional<Tensor>& seed, bool needs_weights);

}  // namespace dlplug::cuda
