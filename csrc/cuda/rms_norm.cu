#include "csrc/cuda/norm.h"
#include "csrc/ops/rms_norm.h"

namespace dlplug {

std::tuple<Tensor, Tensor> rms_norm_forward(const Tensor& x, const std::optional<Tensor>& weight,
                                            double eps) {
  const auto out =
      cuda::norm_forward(false, x, std::nullopt, weight, std::nullopt, eps, 0.0, std::nullopt);
  return {out.y, out.stats};
}

std::tuple<Tensor, Tensor> rms_norm_backward(const Tensor& grad_y, const Tensor& x,
                                             const std::optional<Tensor>& weight,
                                             const Tensor& stats, bool needs_weight) {
  const auto grads = cuda::norm_backward(false, grad_y, std::nullopt, x, weight, std::nullopt,
                                         stats, x.scalar_type(), 0.0, std::nullopt, needs_weight);
  return {grads.input, grads.weight};
}

}  // namespace dlplug
