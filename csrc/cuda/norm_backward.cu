#include <algorithm>

#include "csrc/cuda/norm.h"
#include "csrc/cuda/norm_arguments.h"
#include "csrc/cuda/norm_backward.cuh"

namespace dlplug::cuda {
namespace {

// Parts of the rows, one per block: enough to fill a device, few enough that adding them is cheap.
constexpr int64_t kMaxThreads = 65536;
constexpr int64_t kRowsPerThread = 4;  // that a part should have at least

int64_t parts_of(int64_t rows, const Shape& shape) {
  const int64_t rows_per_turn = shape.block / shape.threads * kRowsPerThread;
  return std::clamp<int64_t>((rows + rows_per_turn - 1) / rows_per_turn, 1,
                             kMaxThreads / shape.block);
}

ScalarType dtype_or_float(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? tensor->scalar_type() : ScalarType::Float;
}

}  // namespace

NormGradients norm_backward(bool is_centered, const Tensor& grad_y,
                            const std::optional<Tensor>& grad_h, const Tensor& h,
                            const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                            const Tensor& stats, ScalarType x_dtype, double dropout_p,
                            const std::optional<Tensor>& seed, bool needs_weights) {
  STD_TORCH_CHECK(is_on_gpu(h), "h must be on a CUDA device");
  const DeviceGuard guard(h.get_device_index());
  const Rows rows = rows_of(h), grads = rows_of(grad_y),
             others = rows_of(grad_h ? *grad_h : grad_y);
  auto fits = [&](const Rows& other) {
    return other.count == rows.count && other.width == rows.width &&
           dtype_of(other.tensor) == dtype_of(h) && is_beside(other.tensor, h);
  };
  STD_TORCH_CHECK(fits(grads) && fits(others), "gradients must have h's shape, dtype and device");
  STD_TORCH_CHECK(stats.numel() == (is_centered ? 2 : 1) * rows.count &&
                      stats.scalar_type() == ScalarType::Float && stats.is_contiguous() &&
                      is_beside(stats, h),
                  "stats must be contiguous float32, as the forward op returned them");
  // The probability itself decides, as in Python: one below 2^-33 drops nothing.
  const bool has_own_x = x_dtype != h.scalar_type() || dropout_p != 0;
  const int64_t width = needs_weights ? rows.width : 0;
  const Tensor grad_input = empty_contiguous_like(h);
  const Tensor grad_x = has_own_x ? empty(h, h.sizes(), x_dtype) : empty(h, {0}, x_dtype);
  const Tensor grad_weight = empty(h, {width}, dtype_or_float(weight));
  const Tensor grad_bias = empty(h, {is_centered ? width : 0}, dtype_or_float(bias));
  if (rows.width == 0) return {grad_input, grad_x, grad_weight, grad_bias};

  const cudaStream_t stream = current_stream(h);
  const Dropout dropout = dropout_of(dropout_p, seed, h);
  const int64_t length = is_centered ? 2 * width : width;
  std::optional<Tensor> kept_weight, kept_bias;
  with_types(x_dtype, h.scalar_type(), dtype_of(grad_x), [&](auto x_type, auto h_type) {
    using X = decltype(x_type);
    using H = decltype(h_type);
    NormBackward<X, H> args{};
    args.is_centered = is_centered;
    args.grad_y = static_cast<const H*>(grads.tensor.const_data_ptr());
    args.grad_y_stride = grads.stride;
    args.h = static_cast<const H*>(rows.tensor.const_data_ptr());
    args.h_stride = rows.stride;
    args.grad_input = static_cast<H*>(grad_input.mutable_data_ptr());
    bool regular = is_regular<H>(args.grad_y, grads.stride, rows.width) &&
                   is_regular<H>(args.h, rows.stride, rows.width) &&
                   is_regular<H>(args.grad_input, rows.width, rows.width);
    if (grad_h) {
      args.grad_h = static_cast<const H*>(others.tensor.const_data_ptr());
      args.grad_h_stride = others.stride;
      regular = regular && is_regular<H>(args.grad_h, others.stride, rows.width);
    }
    if (has_own_x) {
      args.grad_x = static_cast<X*>(grad_x.mutable_data_ptr());
      regular = regular && is_regular<H>(args.grad_x, rows.width, rows.width);
    }
    args.weight = row_of<H>(weight, h, rows.width, kept_weight, regular);
    row_of<H>(bias, h, rows.width, kept_bias, regular);  // for its checks: it is not read
    args.mean = static_cast<const float*>(stats.const_data_ptr());
    args.rstd = args.mean + (is_centered ? rows.count : 0);
    args.rows = rows.count;
    args.width = rows.width;
    args.dropout = dropout;
    with_count<H>(regular, [&](auto count) {
      constexpr int kCount = count();
      constexpr int kVectors = kCount == 1 ? 16 : 4, kHeld = kVectors * kCount;
      const Shape shape = shape_of(rows.width, kCount, kHeld);
      const int64_t parts = parts_of(rows.count, shape);
      const Tensor sums = empty(h, {parts, length}, ScalarType::Float);
      args.threads = shape.threads;
      args.sums = needs_weights ? static_cast<float*>(sums.mutable_data_ptr()) : nullptr;
      // Of gradient and h.
      const Plan plan = plan_of(h, rows.width, shape, kCount, kHeld, 2 * sizeof(H));
      args.blocks = plan.blocks;
      args.part = plan.part;
      const bool has_several = shape.block > shape.threads && needs_weights;
      const size_t shared = has_several ? 2 * rows.width * sizeof(float) : plan.shared;
      auto* const kernel = plan.place == Place::kShared ? norm_backward_wide<X, H, kCount, true>
                           : plan.place == Place::kMemory
                               ? norm_backward_wide<X, H, kCount, false>
                               : norm_backward_rows<X, H, kCount, kVectors>;
      launch_clusters(plan.blocks, kernel, static_cast<unsigned>(parts * plan.blocks), shape.block,
                      shared, stream, args);
      if (!needs_weights) return;
      launch(add_parts<H>, static_cast<unsigned>((length + kPartColumns - 1) / kPartColumns),
             dim3(kPartColumns, kPartLanes), 0, stream, args.sums, parts, width, length,
             grad_weight.mutable_data_ptr(), grad_weight.scalar_type() == ScalarType::Float,
             is_centered ? grad_bias.mutable_data_ptr() : nullptr,
             grad_bias.scalar_type() == ScalarType::Float);
    });
  });
  return {grad_input, grad_x, grad_weight, grad_bias};
}

}  // namespace dlplug::cuda
