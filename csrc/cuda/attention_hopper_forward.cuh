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
#include "csrc/cuda/attention_hopper_products.cuh"
#include "csrc/cuda/attention_hopper_softmax.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace dlplug {

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
  const int first = first_row_of_consumer(), lane = threadIdx.x % kWarp, g = lane / 4;
  const int first_row = block.first_query + first_row_of_warp();
  const WarpSpans spans(first_row, args.num_queries, [&](int row) { return keys_of(args, row); });

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
    begin_dot_products<T>(scores, memory.query(), first, memory.key(place.stage));
    if (n > 0) {
      begin_weighted_sum<T>(sums, weights, memory.value(before.stage));
      warpgroup::wait<1>(scores.at[0]);
    } else {
      warpgroup::wait<0>(scores.at[0]);
    }
    barriers.key_free[place.stage].arrive_if(lane == 0);
    score<kIsCapped>(scores, args, spans, first_key);
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
    begin_weighted_sum<T>(sums, weights, memory.value(last.stage));
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
