// LayerNorm on a GPU. A row belongs to one warp (up to 1024 elements) or to one block of 256
// threads; thread t owns elements t * kCount + i of every stretch of kThreads * kCount. The later
// sweeps over a row find it in the L1 cache. Bytes per element: x and y once each; backward reads
// x and grad_y twice (once for grad_x, once for the sums over rows).
#include "csrc/cuda/launch.h"
#include "csrc/cuda/vector.cuh"
#include "csrc/ops/layer_norm.h"

namespace dlplug {
namespace {

constexpr int kBlock = 256;
constexpr int kWarpRow = 1024;  // the widest row that one warp takes

template <class T>
struct Forward {
  const T* x;
  int64_t x_stride;
  Row<T> weight, bias;
  T* y;
  float *mean, *rstd;
  int64_t rows, width;
  float eps;
};

template <class T, int kCount, int kThreads>
__global__ void __launch_bounds__(kBlock) forward_rows(Forward<T> args) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x) / kThreads;
  if (row >= args.rows) return;  // whole warps leave: rows do not share one
  const int64_t first = static_cast<int64_t>(threadIdx.x % kThreads) * kCount;
  const T* x = args.x + row * args.x_stride;
  using Part = Elements<T, kCount>;

  float sum = 0.0f;
  for (int64_t j = first; j < args.width; j += kThreads * kCount) {
    const Part part = Part::load(x + j);
#pragma unroll
    for (int i = 0; i < kCount; ++i) sum += part.value[i];
  }
  const float inverse_width = 1.0f / static_cast<float>(args.width);
  const float mean = row_sum<kThreads>(sum) * inverse_width;

  float squares = 0.0f;
  for (int64_t j = first; j < args.width; j += kThreads * kCount) {
    const Part part = Part::load(x + j);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float deviation = part.value[i] - mean;
      squares = fmaf(deviation, deviation, squares);
    }
  }
  const float rstd = 1.0f / sqrtf(row_sum<kThreads>(squares) * inverse_width + args.eps);
  if (first == 0) {
    args.mean[row] = mean;
    args.rstd[row] = rstd;
  }

  T* y = args.y + row * args.width;
  for (int64_t j = first; j < args.width; j += kThreads * kCount) {
    Part part = Part::load(x + j);
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      part.value[i] =
          fmaf((part.value[i] - mean) * rstd, args.weight.at(j + i), args.bias.at(j + i));
    part.store(y + j);
  }
}

template <class T>
struct Backward {
  const T *grad_y, *x;
  int64_t grad_y_stride, x_stride;
  Row<T> weight;
  const float *mean, *rstd;
  T* grad_x;
  int64_t rows, width;
};

template <class T, int kCount, int kThreads>
__global__ void __launch_bounds__(kBlock) backward_rows(Backward<T> args) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x) / kThreads;
  if (row >= args.rows) return;
  const int64_t first = static_cast<int64_t>(threadIdx.x % kThreads) * kCount;
  const T* grad_y = args.grad_y + row * args.grad_y_stride;
  const T* x = args.x + row * args.x_stride;
  const float mean = args.mean[row], rstd = args.rstd[row];
  using Part = Elements<T, kCount>;

  float sum_g = 0.0f, sum_g_xhat = 0.0f;
  for (int64_t j = first; j < args.width; j += kThreads * kCount) {
    const Part grad = Part::load(grad_y + j), part = Part::load(x + j);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float g = grad.value[i] * args.weight.at(j + i);
      sum_g += g;
      sum_g_xhat = fmaf(g, (part.value[i] - mean) * rstd, sum_g_xhat);
    }
  }
  const float inverse_width = 1.0f / static_cast<float>(args.width);
  const float mean_g = row_sum<kThreads>(sum_g) * inverse_width;
  const float mean_g_xhat = row_sum<kThreads>(sum_g_xhat) * inverse_width;

  T* grad_x = args.grad_x + row * args.width;
  for (int64_t j = first; j < args.width; j += kThreads * kCount) {
    const Part grad = Part::load(grad_y + j), part = Part::load(x + j);
    Part out;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float xhat = (part.value[i] - mean) * rstd;
      out.value[i] = (grad.value[i] * args.weight.at(j + i) - mean_g - xhat * mean_g_xhat) * rstd;
    }
    out.store(grad_x + j);
  }
}

// Sums over rows for weight and bias: block (c, b) takes 32 columns of one of kBlocks parts of the
// rows; the parts are added afterwards, in order. The split depends on the shape alone.
constexpr int kColumns = 32, kLanes = 8, kMaxParts = 128;

template <class T>
__global__ void sum_rows(Backward<T> args, int64_t parts, float* sums) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const int64_t part = blockIdx.y;
  const int64_t begin = args.rows * part / parts, end = args.rows * (part + 1) / parts;
  float weight = 0.0f, bias = 0.0f;
  if (column < args.width) {
    for (int64_t row = begin + threadIdx.y; row < end; row += kLanes) {
      const float grad = to_float(args.grad_y[row * args.grad_y_stride + column]);
      const float x = to_float(args.x[row * args.x_stride + column]);
      weight = fmaf(grad, (x - args.mean[row]) * args.rstd[row], weight);
      bias += grad;
    }
  }
  __shared__ float weights[kLanes][kColumns], biases[kLanes][kColumns];
  weights[threadIdx.y][threadIdx.x] = weight;
  biases[threadIdx.y][threadIdx.x] = bias;
  __syncthreads();
  if (threadIdx.y != 0 || column >= args.width) return;
  for (int lane = 1; lane < kLanes; ++lane) {
    weight += weights[lane][threadIdx.x];
    bias += biases[lane][threadIdx.x];
  }
  sums[(2 * part) * args.width + column] = weight;
  sums[(2 * part + 1) * args.width + column] = bias;
}

template <class T>
__global__ void add_parts(const float* sums, int64_t parts, int64_t width, void* weight,
                          bool weight_is_float, void* bias, bool bias_is_float) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= 2 * width) return;
  float total = 0.0f;
  for (int64_t part = 0; part < parts; ++part) total += sums[2 * part * width + column];
  const bool is_weight = column < width;
  const int64_t j = is_weight ? column : column - width;
  void* to = is_weight ? weight : bias;
  if (is_weight ? weight_is_float : bias_is_float)
    static_cast<float*>(to)[j] = total;
  else
    static_cast<T*>(to)[j] = from_float<T>(total);
}

// ---- launchers ----

template <class Body>
void with_type(Dtype dtype, Body body) {
  switch (dtype) {
    case Dtype::kFloat32:
      return body(float{});
    case Dtype::kBFloat16:
      return body(__nv_bfloat16{});
    case Dtype::kFloat16:
      return body(__half{});
  }
}

bool is_beside(const Tensor& tensor, const Tensor& x) {
  return tensor.is_cuda() && tensor.get_device_index() == x.get_device_index();
}

// A weight or bias of `x`: the kernels read and write its dtype or float32.
void check_row(const std::optional<Tensor>& tensor, const Tensor& x) {
  if (!tensor.has_value()) return;
  STD_TORCH_CHECK(tensor->dim() == 1 && tensor->size(0) == x.size(x.dim() - 1),
                  "weight and bias must have the length of x's last axis");
  STD_TORCH_CHECK(
      tensor->scalar_type() == x.scalar_type() || tensor->scalar_type() == ScalarType::Float,
      "weight and bias must be of x's dtype or float32");
  STD_TORCH_CHECK(is_beside(*tensor, x), "weight and bias must be on x's device");
}

template <class T>
Row<T> row_of(const std::optional<Tensor>& tensor, float absent, std::optional<Tensor>& kept) {
  if (!tensor.has_value()) return {nullptr, false, absent};
  kept = as_contiguous(*tensor);
  return {kept->const_data_ptr(), kept->scalar_type() == ScalarType::Float, absent};
}

// Whether every row begins at a multiple of 16 bytes and is whole multiples long.
bool is_regular(const void* data, int64_t stride, int64_t width, int64_t size) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride * size % 16 == 0 &&
         width * size % 16 == 0;
}

unsigned blocks_for(int64_t rows, int64_t threads_per_row) {
  const int64_t rows_per_block = kBlock / threads_per_row;
  return static_cast<unsigned>((rows + rows_per_block - 1) / rows_per_block);
}

// Calls body(count, threads) with the elements per load and the threads per row as constants.
template <class T, class Body>
void with_layout(bool regular, int64_t width, Body body) {
  constexpr int kVector = 16 / sizeof(T);
  using Warp = std::integral_constant<int, 32>;
  using Block = std::integral_constant<int, kBlock>;
  using One = std::integral_constant<int, 1>;
  using Vector = std::integral_constant<int, kVector>;
  if (regular && width <= kWarpRow) return body(Vector{}, Warp{});
  if (regular) return body(Vector{}, Block{});
  if (width <= kWarpRow) return body(One{}, Warp{});
  return body(One{}, Block{});
}

}  // namespace

std::tuple<Tensor, Tensor> layer_norm_forward(const Tensor& x, const std::optional<Tensor>& weight,
                                              const std::optional<Tensor>& bias, double eps) {
  STD_TORCH_CHECK(x.is_cuda(), "x must be on a CUDA device");
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  const Rows rows = rows_of(x);
  check_row(weight, x);
  check_row(bias, x);
  const Tensor y = empty_contiguous_like(x);
  const Tensor stats = empty(x, {2, rows.count}, ScalarType::Float);
  if (rows.count == 0) return {y, stats};
  const cudaStream_t stream = current_stream(x.get_device_index());
  std::optional<Tensor> kept_weight, kept_bias;
  with_type(dtype_of(x), [&](auto type) {
    using T = decltype(type);
    Forward<T> args{};
    args.x = static_cast<const T*>(rows.tensor.const_data_ptr());
    args.x_stride = rows.stride;
    args.weight = row_of<T>(weight, 1.0f, kept_weight);
    args.bias = row_of<T>(bias, 0.0f, kept_bias);
    args.y = static_cast<T*>(y.mutable_data_ptr());
    args.mean = static_cast<float*>(stats.mutable_data_ptr());
    args.rstd = args.mean + rows.count;
    args.rows = rows.count;
    args.width = rows.width;
    args.eps = static_cast<float>(eps);
    const bool regular = is_regular(args.x, rows.stride, rows.width, sizeof(T));
    with_layout<T>(regular, rows.width, [&](auto count, auto threads) {
      forward_rows<T, count(), threads()>
          <<<blocks_for(rows.count, threads()), kBlock, 0, stream>>>(args);
    });
  });
  check_launch();
  return {y, stats};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(const Tensor& grad_y, const Tensor& x,
                                                       const std::optional<Tensor>& weight,
                                                       const std::optional<Tensor>& bias,
                                                       const Tensor& stats, bool needs_weights) {
  STD_TORCH_CHECK(x.is_cuda(), "x must be on a CUDA device");
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  const Rows rows = rows_of(x), grads = rows_of(grad_y);
  check_row(weight, x);
  check_row(bias, x);
  STD_TORCH_CHECK(grads.count == rows.count && grads.width == rows.width &&
                      dtype_of(grad_y) == dtype_of(x) && is_beside(grad_y, x),
                  "grad_y must have x's shape, dtype and device");
  STD_TORCH_CHECK(
      stats.numel() == 2 * rows.count && stats.scalar_type() == ScalarType::Float &&
          stats.is_contiguous() && is_beside(stats, x),
      "stats must be contiguous float32 on x's device, as the forward op returned them");
  const int64_t width = needs_weights ? rows.width : 0;
  const Tensor grad_x = empty_contiguous_like(x);
  const Tensor grad_weight = empty(x, {width}, weight ? weight->scalar_type() : ScalarType::Float);
  const Tensor grad_bias = empty(x, {width}, bias ? bias->scalar_type() : ScalarType::Float);
  const cudaStream_t stream = current_stream(x.get_device_index());
  std::optional<Tensor> kept_weight;
  with_type(dtype_of(x), [&](auto type) {
    using T = decltype(type);
    Backward<T> args{};
    args.grad_y = static_cast<const T*>(grads.tensor.const_data_ptr());
    args.x = static_cast<const T*>(rows.tensor.const_data_ptr());
    args.grad_y_stride = grads.stride;
    args.x_stride = rows.stride;
    args.weight = row_of<T>(weight, 1.0f, kept_weight);
    args.mean = static_cast<const float*>(stats.const_data_ptr());
    args.rstd = args.mean + rows.count;
    args.grad_x = static_cast<T*>(grad_x.mutable_data_ptr());
    args.rows = rows.count;
    args.width = rows.width;
    if (rows.count > 0) {
      const bool regular = is_regular(args.x, rows.stride, rows.width, sizeof(T)) &&
                           is_regular(args.grad_y, grads.stride, rows.width, sizeof(T));
      with_layout<T>(regular, rows.width, [&](auto count, auto threads) {
        backward_rows<T, count(), threads()>
            <<<blocks_for(rows.count, threads()), kBlock, 0, stream>>>(args);
      });
      check_launch();
    }
    if (width == 0) return;
    const int64_t parts = std::min<int64_t>(kMaxParts, std::max<int64_t>(1, rows.count / kLanes));
    const Tensor sums = empty(x, {parts, 2, width}, ScalarType::Float);
    float* data = static_cast<float*>(sums.mutable_data_ptr());
    const dim3 grid(static_cast<unsigned>((width + kColumns - 1) / kColumns),
                    static_cast<unsigned>(parts));
    sum_rows<T><<<grid, dim3(kColumns, kLanes), 0, stream>>>(args, parts, data);
    check_launch();
    add_parts<T><<<static_cast<unsigned>((2 * width + kBlock - 1) / kBlock), kBlock, 0, stream>>>(
        data, parts, width, grad_weight.mutable_data_ptr(),
        grad_weight.scalar_type() == ScalarType::Float, grad_bias.mutable_data_ptr(),
        grad_bias.scalar_type() == ScalarType::Float);
    check_launch();
  });
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace dlplug
