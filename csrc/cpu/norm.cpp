#include "csrc/cpu/norm.h"

#include <algorithm>
#include <cmath>

#include "csrc/cpu/norm_weights.h"
#include "csrc/cpu/streaming.h"

namespace dlplug {
namespace {

// Elements that one task should have at least: below it, waking another thread costs more.
constexpr int64_t kGrain = 16384;

// Blocks of rows whose sums are added at the end: enough for many threads, few enough that adding
// them is cheap (64 * width floats against rows * width elements).
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMinRowsPerBlock = 16;

// Additions of sums that one task should have at least, which are far cheaper than elements.
constexpr int64_t kSumGrain = 262144;

int64_t grain_of(int64_t elements_per_item) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, elements_per_item));
}

// to[i] += from[i]
void add_floats(float* to, const float* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

// The kernel over blocks of rows, each with its own sums for weight and bias, which are then added
// as a tree. All of it depends on the shape alone: the same bits for any number of threads.
void run_backward(NormBackwardKernel* kernel, const NormBackward& args, int64_t rows, bool has_bias,
                  float* sums, int64_t blocks) {
  const int64_t width = args.width;
  const int64_t total = sums == nullptr ? 0 : has_bias ? 2 * width : width;
  torch::stable::parallel_for(
      0, blocks, grain_of(rows * width / blocks), [&](int64_t begin, int64_t end) {
        const Floats scratch(total);
        std::fill_n(scratch.data(), total, 0.0f);
        std::fill_n(sums + begin * total, (end - begin) * total, 0.0f);
        NormBackward part = args;
        for (int64_t block = begin; block < end; ++block) {
          if (total > 0) part.grad_weight = sums + block * total;
          if (total > width) part.grad_bias = part.grad_weight + width;
          kernel(part, rows * block / blocks, rows * (block + 1) / blocks, scratch.data());
        }
      });
  torch::stable::parallel_for(0, total, kSumGrain / blocks, [&](int64_t begin, int64_t end) {
    for (int64_t step = 1; step < blocks; step *= 2)
      for (int64_t block = 0; block + step < blocks; block += 2 * step)
        add_floats(sums + block * total + begin, sums + (block + step) * total + begin,
                   end - begin);
  });
}

// The pairs that a kernel exists for: with any other it would leave the outputs as they are.
void check_dtypes(ScalarType x, ScalarType h) {
  STD_TORCH_CHECK(h == x || h == ScalarType::Float, "residual must be of x's dtype or float32");
}

// `seed` is a scalar int64 tensor on the CPU; it may be absent when p is 0.
Dropout dropout_of(double p, const std::optional<Tensor>& seed) {
  if (p == 0) return {0, 0, 1.0f};
  STD_TORCH_CHECK(seed.has_value() && seed->is_cpu() && seed->numel() == 1 &&
                      seed->scalar_type() == ScalarType::Long,
                  "dropout needs a seed: one int64 on the CPU");
  const auto threshold = static_cast<uint64_t>(std::floor(p * 4294967296.0 + 0.5));
  const auto value = *static_cast<const int64_t*>(seed->const_data_ptr());
  return {static_cast<uint64_t>(value), threshold, p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0f};
}

}  // namespace

NormOutputs norm_forward(NormForwardKernel* kernel, bool is_centered, const Tensor& x,
                         const std::optional<Tensor>& residual, const std::optional<Tensor>& weight,
                         const std::optional<Tensor>& bias, double eps, double dropout_p,
                         const std::optional<Tensor>& seed) {
  const Rows rows = rows_of(x);
  const Tensor& like = residual ? *residual : x;
  const Rows added = rows_of(like);
  STD_TORCH_CHECK(added.count == rows.count && added.width == rows.width,
                  "residual must have x's shape");
  check_dtypes(x.scalar_type(), like.scalar_type());
  const Tensor y = empty_contiguous_like(like);
  const Tensor h = residual ? empty_contiguous_like(like) : x;
  const Tensor stats = empty(x, {is_centered ? 2 : 1, rows.count}, ScalarType::Float);
  const FloatRow weights(weight, rows.width, 1.0f), biases(bias, rows.width, 0.0f);

  NormForward args{};
  args.x_dtype = dtype_of(x);
  args.dtype = dtype_of(like);
  args.x = rows.tensor.const_data_ptr();
  args.x_stride = rows.stride;
  if (residual) {
    args.residual = added.tensor.const_data_ptr();
    args.residual_stride = added.stride;
    args.h = h.mutable_data_ptr();
  }
  args.weight = weights.data();
  args.bias = biases.data();
  args.y = y.mutable_data_ptr();
  args.mean = static_cast<float*>(stats.mutable_data_ptr());
  args.rstd = args.mean + (is_centered ? rows.count : 0);
  args.width = rows.width;
  args.eps = static_cast<float>(eps);
  args.dropout = dropout_of(dropout_p, seed);
  args.is_streaming = residual ? should_stream({&y, &h}) : should_stream({&y});
  args.use_bf16_rounding = has_bf16();
  torch::stable::parallel_for(0, rows.count, grain_of(rows.width), [&](int64_t begin, int64_t end) {
    const Floats scratch(norm_scratch_floats(args.width));
    kernel(args, begin, end, scratch.data());
  });
  return {y, h, stats};
}

NormGradients norm_backward(NormBackwardKernel* kernel, bool is_centered, const Tensor& grad_y,
                            const std::optional<Tensor>& grad_h, const Tensor& h,
                            const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                            const Tensor& stats, ScalarType x_dtype, double dropout_p,
                            const std::optional<Tensor>& seed, bool needs_weights) {
  const Rows rows = rows_of(h), grads = rows_of(grad_y),
             others = rows_of(grad_h ? *grad_h : grad_y);
  auto fits = [&](const Rows& other) {
    return other.count == rows.count && other.width == rows.width &&
           dtype_of(other.tensor) == dtype_of(h);
  };
  STD_TORCH_CHECK(fits(grads) && fits(others), "gradients must have h's shape and dtype");
  STD_TORCH_CHECK(stats.numel() == (is_centered ? 2 : 1) * rows.count &&
                      stats.scalar_type() == ScalarType::Float && stats.is_contiguous(),
                  "stats must be contiguous float32, as the forward op returned them");
  check_dtypes(x_dtype, h.scalar_type());
  // The probability itself decides, as in Python: one below 2^-33 drops nothing.
  const bool has_own_x = x_dtype != h.scalar_type() || dropout_p != 0;
  const int64_t width = needs_weights ? rows.width : 0;
  const Tensor grad_input = empty_contiguous_like(h);
  const Tensor grad_x = has_own_x ? empty(h, h.sizes(), x_dtype) : empty(h, {0}, x_dtype);
  const Tensor grad_weight = empty(h, {width}, dtype_or_float(weight));
  const Tensor grad_bias = empty(h, {is_centered ? width : 0}, dtype_or_float(bias));
  const FloatRow weights(weight, rows.width, 1.0f);

  NormBackward args{};
  args.dtype = dtype_of(h);
  args.x_dtype = has_own_x ? dtype_of(grad_x) : args.dtype;
  args.grad_y = grads.tensor.const_data_ptr();
  args.grad_y_stride = grads.stride;
  if (grad_h) {
    args.grad_h = others.tensor.const_data_ptr();
    args.grad_h_stride = others.stride;
  }
  args.h = rows.tensor.const_data_ptr();
  args.h_stride = rows.stride;
  args.weight = weights.data();
  args.mean = static_cast<const float*>(stats.const_data_ptr());
  args.rstd = args.mean + (is_centered ? rows.count : 0);
  args.grad_input = grad_input.mutable_data_ptr();
  args.grad_x = has_own_x ? grad_x.mutable_data_ptr() : nullptr;
  args.width = rows.width;
  args.dropout = dropout_of(dropout_p, seed);
  args.is_streaming = should_stream({&grad_input, &grad_x});
  args.use_bf16_rounding = has_bf16();

  const int64_t blocks =
      std::clamp<int64_t>((rows.count + kMinRowsPerBlock - 1) / kMinRowsPerBlock, 1, kMaxBlocks);
  const Floats sums(blocks * width * (is_centered ? 2 : 1));
  run_backward(kernel, args, rows.count, is_centered, needs_weights ? sums.data() : nullptr,
               blocks);
  if (needs_weights) {
    copy_out(sums.data(), grad_weight);
    if (is_centered) copy_out(sums.data() + width, grad_bias);
  }
  return {grad_input, grad_x, grad_weight, grad_bias};
}

}  // namespace dlplug
