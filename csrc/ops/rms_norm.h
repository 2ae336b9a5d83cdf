// RMSNorm over the last axis.
//   y = x / sqrt(mean(x^2) + eps) * weight, the mean in float32
//
// x       (..., D)  float32, bfloat16 or float16; any strides
// weight  (D,)      x's dtype or float32, or none for 1
// y       (..., D)  like x, contiguous;  stats (1, rows) float32: 1 / sqrt(mean(x^2) + eps)
// Nothing is written in place and no output aliases an input.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

// Returns y and stats.
std::tuple<Tensor, Tensor> rms_norm_forward(const Tensor& x, const std::optional<Tensor>& weight,
                                            double eps);

// Returns grad_x (like x, contiguous), and grad_weight in weight's dtype; without needs_weight that
// has no elements.
std::tuple<Tensor, Tensor> rms_norm_backward(const Tensor& grad_y, const Tensor& x,
                                             const std::optional<Tensor>& weight,
                                             const Tensor& stats, bool needs_weight);

}  // namespace dlplug
