#include "csrc/cuda/norm.h"
#include "csrc/ops/add_layer_norm.h"

namespace dlplug {

std::tuple<Tensor, Tensor, Tensor> add_layer_norm_forward(const Tensor& x, const Tensor& residual,
                                                          const std::optional<Tensor>& weight,
                                                          const std::optional<Tensor>& bias,
                                                          const std::optional<Tensor>& seed,
                                                          double eps, double dropout_p) {
  const auto out = cuda::norm_forward(true, x, residual, weight, bias, eps, dropout_p, seed);
  return {out.y, out.h, out.stats};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> add_layer_norm_backward(
    const Tensor& grad_y, const std::optional<Tensor>& grad_h, const Tensor& h,
    const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, const Tensor& stats,
    const std::optional<Tensor>& seed, double dropout_p, ScalarType x_dtype, bool needs_weights) {
  const auto grads = cuda::norm_backward(true, grad_y, grad_h, h, weight, bias, stats, x_dtype,
                                         dropout_p, seed, needs_weights);
  return {grads.input, grads.x, grads.weight, grads.bias};
}

}  // namespace dlplug
