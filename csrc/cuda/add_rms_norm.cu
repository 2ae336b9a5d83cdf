#include "csrc/cuda/norm.h"
#include "csrc/ops/add_rms_norm.h"

namespace dlplug {

std::tuple<Tensor, Tensor, Tensor> add_rms_norm_forward(const Tensor& x, const Tensor& residual,
                                                        const std::optional<Tensor>& weight,
                                                        const std::optional<Tensor>& seed,
                                                        double eps, double dropout_p) {
  const auto out =
      cuda::norm_forward(false, x, residual, weight, std::nullopt, eps, dropout_p, seed);
  return {out.y, out.h, out.stats};
}

std::tuple<Tensor, Tensor, Tensor> add_rms_norm_backward(
    const Tensor& grad_y, const std::optional<Tensor>& grad_h, const Tensor& h,
    const std::optional<Tensor>& weight, const Tensor& stats, const std::optional<Tensor>& seed,
    double dropout_p, ScalarType x_dtype, bool needs_weight) {
  const auto grads = cuda::norm_backward(false, grad_y, grad_h, h, weight, std::nullopt, stats,
                                         x_dtype, dropout_p, seed, needs_weight);
  return {grads.input, grads.x, grads.weight};
}

}  // namespace dlplug
