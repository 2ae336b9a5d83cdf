// What the kernels for Hopper GPUs have in common: a first warpgroup that copies, two of consumers
// that own 64 of a block's 128 rows each, and the products of those.
#pragma once

#include "csrc/cuda/attention_hopper_tile.cuh"
#include "csrc/cuda/attention_tile.cuh"

// Code for other GPUs is not made: Python asks for these kernels on compute capability 9.0 alone.
#if defined(DLPLUG_EMULATION) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define DLPLUG_IS_HOPPER 1
#else
#define DLPLUG_IS_HOPPER 0
#endif

namespace dlplug {

constexpr int kHopperConsumers = 2;
constexpr int kHopperThreads = (1 + kHopperConsumers) * warpgroup::kThreads;
constexpr int kWarpsOfConsumers = kHopperConsumers * warpgroup::kThreads / kWarp;
constexpr int kHopperRowsOfConsumer = kHopperRows / kHopperConsumers;
// Of the 65,536 registers, 168 for each thread at first: a thread that copies needs few.
constexpr int kCopyingRegisters = 24, kConsumerRegisters = 240;

// Within the rows of the block.
__device__ inline int first_row_of_consumer() {
  return (threadIdx.x / warpgroup::kThreads - 1) * kHopperRowsOfConsumer;
}
__device__ inline int first_row_of_warp() {
  return first_row_of_consumer() + threadIdx.x % warpgroup::kThreads / kWarp * 16;
}

// sums = left * right^T of a consumer's rows from `first` on; begins it as a group.
template <class T, int kWidth, int kRows>
__device__ inline void begin_dot_products(Sums<1, kRows>& sums, const HopperTile<kWidth>& left,
                                          int first, const HopperTile<kWidth, kRows>& right) {
  warpgroup::fence();
#pragma unroll
  for (int step = 0; step < kWidth / 16; ++step)
    warpgroup::multiply_shared<T>(sums.at[0], left.rows(first, step), right.rows(0, step),
                                  step > 0);
  warpgroup::commit();
}

// sums += weights * rows, likewise.
template <class T, int kWidth, int kRows>
__device__ inline void begin_weighted_sum(Sums<1, kWidth>& sums, uint32_t (&weights)[kRows / 16][4],
                                          const HopperTile<kWidth, kRows>& rows) {
  warpgroup::keep(weights);  // else the compiler may write them behind the fence
  warpgroup::fence();
#pragma unroll
  for (int step = 0; step < kRows / 16; ++step)
    warpgroup::multiply_registers<T>(sums.at[0], weights[step], rows.columns(step));
  warpgroup::commit();
}

}  // namespace dlplug
