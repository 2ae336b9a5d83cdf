// Forward of attention on Hopper GPUs. A block owns 128 queries of one head. One thread of its
// first warpgroup has the keys and values copied, a tile after the other, as places become free;
// two warpgroups of consumers own 64 queries each. While the tensor cores add the weighted values
// of one tile, a consumer turns the scores of the next into weights (Shah et al. 2024,
// arXiv:2407.08608).
//
// Barriers: a consumer waits for `key` and `value` of a place, the copying thread for `key_free`
// and `value_free`, at which each consumer's warps arrive once the products that read it are over.
#pragma once

#include "csrc/cuda/attention_hopper_copies.cuh"
#include "csrc/cuda/attention_hopper_softmax.cuh"
#include "csrc/cuda/shared_memory.cuh"

// Code for other GPUs is not made: Python asks for this kernel on compute capability 9.0 alone.
#if defined(DLPLUG_EMULATION) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define DLPLUG_IS_HOPPER 1
#else
#define DLPLUG_IS_HOPPER 0
#endif

namespace dlplug {

constexpr int kHopperConsumers = 2;
constexpr int kHopperThreads = (1 + kHopperConsumers) * warpgroup::kThreads;
constexpr int kHopperRowsOfConsumer = 64;
// Of the 65,536 registers, 168 for each thread at first: a thread that copies needs few.
constexpr int kCopyingRegisters = 40, kConsumerRegisters = 232;

// scores = queries * keys^T of a consumer's rows from `first` on; begins it as a group.
template <class T, int kWidth>
__device__ inline void multiply_keys(Sums<1, kHopperRows>& scores,
                                     const HopperTile<kWidth>& queries, int first,
                                     const HopperTile<kWidth>& keys) {
  warpgroup::fence();
#pragma unroll
  for (int step = 0; step < kWidth / 16; ++step)
    warpgroup::multiply_shared<T>(scores.at[0], queries.rows(first, step), keys.rows(0, step),
                                  step > 0);
  warpgroup::commit();
}

// sums += weights * values, likewise.
template <class T, int kWidth>
__device__ inline void multiply_values(Sums<1, kWidth>& sums,
                                       const uint32_t (&weights)[kHopperRows / 16][4],
                                       const HopperTile<kWidth>& values) {
  warpgroup::fence();
#pragma unroll
  for (int step = 0; step < kHopperRows / 16; ++step)
    warpgroup::multiply_registers<T>(sums.at[0], weights[step], values.columns(step));
  warpgroup::commit();
}

template <int kWidth>
__device__ inline void scale(Sums<1, kWidth>& sums, const float (&factor)[2]) {
#pragma unroll
  for (int i = 0; i < kWidth / 2; ++i) sums.at[0][i / 4][i % 4] *= factor[i % 4 / 2];
}

// A consumer's rows, from products to the output.
template <class T, int kWidth, bool kIsCapped>
__device__ inline void attend(const AttentionHopper& args, const HopperBlock& block,
                              const HopperMemory<kWidth>& memory) {
  using Place = Turn<HopperMemory<kWidth>::kStages>;
  auto& barriers = memory.barriers();
  const int first = (threadIdx.x / warpgroup::kThreads - 1) * kHopperRowsOfConsumer;
  const int lane = threadIdx.x % kWarp, g = lane / 4;
  const int first_row = block.first_query + first + threadIdx.x % warpgroup::kThreads / kWarp * 16;
  const Span spans[2] = {keys_of(args, first_row + g), keys_of(args, first_row + 8 + g)};
  Span common{0, 0};  // keys that all of the warp's queries see
  if (first_row < args.num_queries) {
    const int end = first_row + 16, last = (end < args.num_queries ? end : args.num_queries) - 1;
    common = {keys_of(args, last).begin, keys_of(args, first_row).end};
  }

  Sums<1, kWidth> sums;
  sums.clear();
  HopperSoftmax softmax;
  uint32_t weights[kHopperRows / 16][4] = {};
  float factor[2];
  if (block.num_tiles > 0) barriers.query.wait(0);
  for (int n = 0; n < block.num_tiles; ++n) {
    const Place place(n), before(n - 1);
    const int first_key = block.first_key + n * kHopperRows;
    barriers.key[place.stage].wait(place.parity);
    if (n > 0) barriers.value[before.stage].wait(before.parity);
    __syncwarp();  // lanes may have parted while they waited
    Sums<1, kHopperRows> scores;
    multiply_keys<T>(scores, memory.query(), first, memory.key(place.stage));
    if (n > 0) {
      multiply_values<T>(sums, weights, memory.value(before.stage));
      warpgroup::wait<1>(scores.at[0]);
    } else {
      warpgroup::wait<0>(scores.at[0]);
    }
    barriers.key_free[place.stage].arrive_if(lane == 0);
    const bool sees_all = common.begin <= first_key && first_key + kHopperRows <= common.end;
    score<kIsCapped>(scores, args, spans, sees_all, first_key);
    softmax.turn(scores, factor);
    __syncwarp();
    warpgroup::wait<0>(sums.at[0]);
    warpgroup::keep(weights);
    if (n > 0) barriers.value_free[before.stage].arrive_if(lane == 0);
    scale(sums, factor);
    pack<T>(scores, weights);
  }
  if (block.num_tiles > 0) {
    const Place last(block.num_tiles - 1);
    barriers.value[last.stage].wait(last.parity);
    __syncwarp();
    multiply_values<T>(sums, weights, memory.value(last.stage));
    warpgroup::wait<0>(sums.at[0]);
  }

  softmax.finish(args.sinks == nullptr ? -kInfinity : args.sinks[block.head], factor);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first_row + 8 * r + g;
    const int64_t pair = static_cast<int64_t>(block.batch) * args.heads + block.head;
    if (lane % 4 == 0 && row < args.num_queries)
      args.lse[pair * args.num_queries + row] =
          static_cast<double>(softmax.top[r]) + static_cast<double>(logf(softmax.total[r]));
  }
  const float factors[1][2] = {{factor[0], factor[1]}};
  sums.store(Head<T>(args.out, block.batch, block.head, args.num_queries, kWidth), first_row, 0,
             factors);
}

template <class T, int kWidth, bool kIsCapped>
__global__ void __launch_bounds__(kHopperThreads, 1)
    attention_hopper_tiles(const __grid_constant__ AttentionHopper args) {
#if DLPLUG_IS_HOPPER
  const HopperMemory<kWidth> memory(dynamic_shared_memory());
  const HopperBlock block(args);
  if (threadIdx.x == 0) {
    auto& barriers = memory.barriers();
    constexpr unsigned kWarpsOfConsumers = kHopperConsumers * warpgroup::kThreads / kWarp;
    barriers.query.make(1);
    for (int stage = 0; stage < HopperMemory<kWidth>::kStages; ++stage) {
      barriers.key[stage].make(1);
      barriers.value[stage].make(1);
      barriers.key_free[stage].make(kWarpsOfConsumers);
      barriers.value_free[stage].make(kWarpsOfConsumers);
    }
    publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x < warpgroup::kThreads) {
    warpgroup::give_registers<kCopyingRegisters>();
    if (threadIdx.x == 0) copy_tiles(args, block, memory);
  } else {
    warpgroup::take_registers<kConsumerRegisters>();
    attend<T, kWidth, kIsCapped>(args, block, memory);
  }
#else
  __trap();
#endif
}

}  // namespace dlplug
