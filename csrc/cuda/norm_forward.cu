#include <algorithm>

#include "csrc/cuda/norm.h"
#include "csrc/cuda/norm_arguments.h"
#include "csrc/cuda/norm_forward.cuh"

namespace dlplug::cuda {
namespace {

constexpr int kHeld = 32;             // elements of a row in a thread's registers
constexpr int64_t kMaxBlocks = 4096;  // some waves of any device; each goes on with further rows

}  // namespace

NormOutputs norm_forward(bool is_centered, const Tensor& x, const std::optional<Tensor>& residual,
                         const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                         double eps, double dropout_p, const std::optional<Tensor>& seed) {
  STD_TORCH_CHECK(is_on_gpu(x), "x must be on a CUDA device");
  const DeviceGuard guard(x.get_device_index());
  const Tensor& like = residual ? *residual : x;
  STD_TORCH_CHECK(is_beside(like, x), "residual must be on x's device");
  const Rows rows = rows_of(x), added = rows_of(like);
  STD_TORCH_CHECK(added.count == rows.count && added.width == rows.width,
                  "residual must have x's shape");
  const Tensor y = empty_contiguous_like(like);
  const Tensor h = residual ? empty_contiguous_like(like) : x;
  const Tensor stats = empty(x, {is_centered ? 2 : 1, rows.count}, ScalarType::Float);
  const Dropout dropout = dropout_of(dropout_p, seed, x);
  std::optional<Tensor> kept_weight, kept_bias;
  with_types(x.scalar_type(), like.scalar_type(), dtype_of(x), [&](auto x_type, auto h_type) {
    using X = decltype(x_type);
    using H = decltype(h_type);
    NormForward<X, H> args{};
    args.is_centered = is_centered;
    args.x = static_cast<const X*>(rows.tensor.const_data_ptr());
    args.x_stride = rows.stride;
    args.y = static_cast<H*>(y.mutable_data_ptr());
    bool regular = is_regular<H>(args.x, rows.stride, rows.width) &&
                   is_regular<H>(args.y, rows.width, rows.width);
    if (residual) {
      args.residual = static_cast<const H*>(added.tensor.const_data_ptr());
      args.residual_stride = added.stride;
      args.h = static_cast<H*>(h.mutable_data_ptr());
      regular = regular && is_regular<H>(args.residual, added.stride, rows.width) &&
                is_regular<H>(args.h, rows.width, rows.width);
    }
    args.weight = row_of<H>(weight, like, rows.width, kept_weight, regular);
    args.bias = row_of<H>(bias, like, rows.width, kept_bias, regular);
    args.mean = static_cast<float*>(stats.mutable_data_ptr());
    args.rstd = args.mean + (is_centered ? rows.count : 0);
    args.rows = rows.count;
    args.width = rows.width;
    args.eps = static_cast<float>(eps);
    args.dropout = dropout;
    if (rows.count == 0) return;
    with_count<H>(regular, [&](auto count) {
      constexpr int kCount = count();
      const Shape shape = shape_of(rows.width, kCount, kHeld);
      const Plan plan = plan_of(x, rows.width, shape, kCount, kHeld, sizeof(H));
      args.threads = shape.threads;
      args.blocks = plan.blocks;
      args.part = plan.part;
      const int64_t rows_per_block = shape.block / shape.threads;
      const int64_t blocks =
          std::min((rows.count + rows_per_block - 1) / rows_per_block, kMaxBlocks / plan.blocks);
      auto* const kernel = plan.place == Place::kShared ? norm_forward_rows<X, H, kCount, 0, true>
                           : plan.place == Place::kMemory
                               ? norm_forward_rows<X, H, kCount, 0, false>
                               : norm_forward_rows<X, H, kCount, kHeld / kCount, false>;
      launch_clusters(plan.blocks, kernel, static_cast<unsigned>(blocks * plan.blocks), shape.block,
                      plan.shared, current_stream(x), args);
    });
  });
  return {y, h, stats};
}

}  // namespace dlplug::cuda
