// How threads share a row. A row belongs to `threads` of them, a power of two: part of a warp, a
// warp, or a whole block. A thread owns groups of four vectors of kCount neighbours:
//   column of vector v = base + (v % 4) * inner + (v / 4) * outer
// Neighbouring threads own neighbouring vectors; with dropout the four are 16 columns apart, since
// those columns share their random words (philox.cuh).
#pragma once

#include <cstdint>

#include "csrc/cuda/vector.cuh"

namespace dlplug {

constexpr int kWarp = 32;
constexpr int kMaxThreadsPerRow = 512;
constexpr int kVectorsPerGroup = 4;

template <int kCount>
struct Columns {
  int64_t base, inner, outer;

  __device__ Columns(int thread, int threads, bool has_dropout) {
    constexpr int kSharers = 16 / kCount;  // threads that own a block of 64 columns, with dropout
    outer = static_cast<int64_t>(kVectorsPerGroup) * kCount * threads;
    inner = has_dropout ? 16 : static_cast<int64_t>(kCount) * threads;
    base = has_dropout ? 64 * (thread / kSharers) + kCount * (thread % kSharers) : kCount * thread;
  }
  __device__ int64_t of(int v) const {
    return base + (v % kVectorsPerGroup) * inner + (v / kVectorsPerGroup) * outer;
  }
};

// The sums over the threads of a row, given to each of them. The additions have one order.
template <int kSums>
__device__ inline void sum_over_row(float (&values)[kSums], int threads) {
  const int lanes = threads < kWarp ? threads : kWarp;
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) values[s] += __shfl_xor_sync(0xffffffffu, values[s], offset);
  }
  if (threads <= kWarp) return;
  __shared__ float warps[kSums][kMaxThreadsPerRow / kWarp];
  __syncthreads();  // earlier sums have been read
  if (threadIdx.x % kWarp == 0) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) warps[s][threadIdx.x / kWarp] = values[s];
  }
  __syncthreads();
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    values[s] = 0.0f;
    for (int i = 0; i < threads / kWarp; ++i) values[s] += warps[s][i];
  }
}

}  // namespace dlplug
