// LayerNorm over the last axis.
//   y = (x - mean) / sqrt(var + eps) * weight + bias, statistics in float32
//
// x       (..., D)  float32, bfloat16 or float16; any strides
// weight  (D,)      x's dtype or float32, or none for 1;  bias likewise, or none for 0
// y       (..., D)  like x, contiguous;  stats (2, rows) float32: mean and 1 / sqrt(var + eps)
// Nothing is written in place and no output aliases an input.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

// Returns y and stats.
std::tuple<Tensor, Tensor> layer_norm_forward(const Tensor& x, const std::optional<Tensor>& weight,
                                              const std::optional<Tensor>& bias, double eps);

// Returns grad_x (like x, contiguous), and grad_weight, grad_bias in the dtypes of weight and bias;
// without needs_weights those two have no elements.
std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(const Tensor& grad_y, const Tensor& x,
                                                       const std::optional<Tensor>& weight,
                                                       const std::optional<Tensor>& bias,
                                                       const Tensor& stats, bool needs_weights);

}  // namespace dlplug
