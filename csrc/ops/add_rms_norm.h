// Residual addition, with dropout, and RMSNorm of the sum over the last axis.
//   h = dropout(x) + residual,  y = h / sqrt(mean(h^2) + eps) * weight
//
// x         (..., D)  float32, bfloat16 or float16; any strides
// residual  (..., D)  x's dtype or float32; any strides
// weight    (D,)      residual's dtype or float32, or none for 1
// seed      ()        int64 on x's device, the key of the dropout mask; none when dropout_p is 0
// y, h      (..., D)  residual's dtype, contiguous
// stats     (1, rows) float32: rstd of h
//
// Nothing is written in place and no output aliases an input.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

// Returns y, h and stats.
std::tuple<Tensor, Tensor, Tensor> add_rms_norm_forward(const Tensor& x, const Tensor& residual,
                                                        const std::optional<Tensor>& weight,
                                                        const std::optional<Tensor>& seed,
                                                        double eps, double dropout_p);

// grad_h is the gradient that reaches h from elsewhere, or none. Returns grad_residual (like h),
// grad_x (x_dtype; no elements where it equals grad_residual: neither dropout nor another dtype),
// and grad_weight, which without needs_weight has no elements.
std::tuple<Tensor, Tensor, Tensor> add_rms_norm_backward(
    const Tensor& grad_y, const std::optional<Tensor>& grad_h, const Tensor& h,
    const std::optional<Tensor>& weight, const Tensor& stats, const std::optional<Tensor>& seed,
    double dropout_p, ScalarType x_dtype, bool needs_weight);

}  // namespace dlplug
