// The norm of several tensors on a GPU in one launch: their elements go in chunks to a fixed number
// of blocks, and the last block to end adds what these found. Which chunks a block takes and the
// order of all sums depend on the tensors' sizes alone: the same bits on every run. Bytes: each
// element once.
#include "csrc/cuda/last_block.cuh"
#include "csrc/cuda/launch.h"
#include "csrc/cuda/row.cuh"
#include "csrc/ops/total_norm.h"

namespace dlplug {
namespace {

constexpr int kThreads = 512, kBlocks = 512;
constexpr int64_t kChunk = 32768;  // elements

// The sum over the threads of a block, given to the first.
__device__ double sum_over_block(double value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  __shared__ double warps[kThreads / kWarp];
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  if (threadIdx.x != 0) return 0.0;
  value = 0.0;
  for (int i = 0; i < kThreads / kWarp; ++i) value += warps[i];
  return value;
}

// This thread's share of the squares of a chunk: whole vectors of 16 bytes, and one by one what
// lies before the first and after the last.
template <class T>
__device__ double share_of_squares(const T* values, int64_t count) {
  constexpr int kVector = 16 / sizeof(T);
  const auto address = reinterpret_cast<uintptr_t>(values);
  const auto before = static_cast<int64_t>((16 - address % 16) % 16 / sizeof(T));
  const int64_t head = before < count ? before : count;
  const int64_t vectors = (count - head) / kVector, tail = head + vectors * kVector;
  double sum = 0.0;
  auto add = [&](float value) { sum = fma(static_cast<double>(value), double{value}, sum); };
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    const auto part = Elements<T, kVector>::load(values + head + i * kVector);
#pragma unroll
    for (int k = 0; k < kVector; ++k) add(part.at(k));
  }
  for (int64_t i = threadIdx.x; i < head; i += kThreads) add(to_float(values[i]));
  for (int64_t i = tail + threadIdx.x; i < count; i += kThreads) add(to_float(values[i]));
  return sum;
}

__device__ double share_of_chunk(int64_t address, Dtype dtype, int64_t begin, int64_t count) {
  switch (dtype) {
    case Dtype::kFloat32:
      return share_of_squares(reinterpret_cast<const float*>(address) + begin, count);
    case Dtype::kBFloat16:
      return share_of_squares(reinterpret_cast<const __nv_bfloat16*>(address) + begin, count);
    case Dtype::kFloat16:
      return share_of_squares(reinterpret_cast<const __half*>(address) + begin, count);
  }
  return 0.0;
}

// Block b takes the chunks b, b + kBlocks, ... of all tensors in a row.
__global__ void __launch_bounds__(kThreads)
    find_norm(int64_t* table, int64_t count, double* sums, double* norm) {
  const int64_t *addresses = table + 1, *numels = addresses + count, *dtypes = numels + count;
  double sum = 0.0;
  int64_t next = blockIdx.x, first = 0;  // this block's next chunk, the tensor's first
  for (int64_t i = 0; i < count; ++i) {
    const int64_t numel = numels[i], chunks = (numel + kChunk - 1) / kChunk;
    for (; next < first + chunks; next += kBlocks) {
      const int64_t begin = (next - first) * kChunk, left = numel - begin;
      sum += share_of_chunk(addresses[i], static_cast<Dtype>(dtypes[i]), begin,
                            left < kChunk ? left : kChunk);
    }
    first += chunks;
  }
  sum = sum_over_block(sum);
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = sum;
    is_last = is_last_block(reinterpret_cast<int*>(table));
  }
  __syncthreads();
  if (!is_last) return;
  static_assert(kBlocks == kThreads);
  sum = sum_over_block(__ldcg(sums + threadIdx.x));
  if (threadIdx.x == 0) *norm = sqrt(sum);
}

}  // namespace

Tensor total_norm_table(const Tensor& table) {
  STD_TORCH_CHECK(is_on_gpu(table) && table.scalar_type() == ScalarType::Long &&
                      table.is_contiguous() && table.numel() % 3 == 1,
                  "expected a contiguous int64 table of a counter and 3 columns on a CUDA device");
  const DeviceGuard guard(table.get_device_index());
  const Tensor sums = empty(table, {kBlocks}, ScalarType::Double);
  Tensor norm = empty(table, {}, ScalarType::Double);
  launch(find_norm, kBlocks, kThreads, 0, current_stream(table),
         static_cast<int64_t*>(table.mutable_data_ptr()), table.numel() / 3,
         static_cast<double*>(sums.mutable_data_ptr()),
         static_cast<double*>(norm.mutable_data_ptr()));
  return norm;
}

}  // namespace dlplug
