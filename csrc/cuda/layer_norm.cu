#include "csrc/cuda/norm.h"
#include "csrc/ops/layer_norm.h"

namespace dlplug {

std::tuple<Tensor, Tensor> layer_norm_forward(const Tensor& x, const std::optional<Tensor>& weight,
                                              const std::optional<Tensor>& bias, double eps) {
  const auto out = cuda::norm_forward(true, x, std::nullopt, weight, bias, eps, 0.0, std::nullopt);
  return {out.y, out.stats};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(const Tensor& grad_y, const Tensor& x,
                                                       const std::optional<Tensor>& weight,
                                                       const std::optional<Tensor>& bias,
                                                       const Tensor& stats, bool needs_weights) {
  const auto grads = cuda::norm_backward(true, grad_y, std::nullopt, x, weight, bias, stats,
                                         x.scalar_type(), 0.0, std::nullopt, needs_weights);
  return {grads.input, grads.weight, grads.bias};
}

}  // namespace dlplug
