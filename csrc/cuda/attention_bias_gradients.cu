#include "csrc/cuda/attention_bias_gradients.h"
#include "csrc/cuda/row.cuh"

namespace dlplug::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_shares(const float* shares, int64_t count, int64_t numel, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= numel) return;
  float sum = 0.0f;
  for (int64_t share = 0; share < count; ++share) sum += shares[share * numel + i];
  to[i] = from_float<T>(sum);
}

// A warp takes a head.
__global__ void __launch_bounds__(kWarp)
    add_slopes(const double* shares, int batch, int64_t count, float* to) {
  double sum = 0.0;
  for (int b = 0; b < batch; ++b)
    for (int64_t i = threadIdx.x; i < count; i += kWarp)
      sum += shares[(static_cast<int64_t>(b) * gridDim.x + blockIdx.x) * count + i];
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (threadIdx.x == 0) to[blockIdx.x] = static_cast<float>(sum);
}

}  // namespace

void sum_mask_shares(const Tensor& shares, int64_t count, const Tensor& to) {
  const int64_t numel = to.numel();
  if (numel == 0) return;
  with_type(dtype_of(to), [&](auto type) {
    using T = decltype(type);
    launch(add_shares<T>, blocks_of(1, numel, kThreads), kThreads, 0, current_stream(to),
           static_cast<const float*>(shares.const_data_ptr()), count, numel,
           static_cast<T*>(to.mutable_data_ptr()));
  });
}

void sum_slope_shares(const Tensor& shares, int batch, int heads, int64_t count, const Tensor& to) {
  if (heads == 0) return;
  launch(add_slopes, heads, kWarp, 0, current_stream(to),
         static_cast<const double*>(shares.const_data_ptr()), batch, count,
         static_cast<float*>(to.mutable_data_ptr()));
}

}  // namespace dlplug::cuda
