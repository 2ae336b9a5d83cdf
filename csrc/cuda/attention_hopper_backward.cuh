// Backward of attention on Hopper GPUs, in two passes of one kernel: a block owns 128 queries of a
// head and gives their gradient, or 128 keys and gives theirs and the values'. One warp has the
// rows copied that it goes over, a tile after the other; two warpgroups of consumers own 64 rows
// each.
//
// The weights and their gradients are computed in both passes: 7 products instead of the 5 of a
// pass that has blocks add to the queries' gradient in memory. For that each sum is of one thread,
// in one order, so that every run gives the same bits; nothing is cleared or waited for between
// blocks; and with keys as rows in the one pass and queries in the other (scores or their
// transpose) a thread's weights always lie as the next product wants its left matrix, in registers.
//
// While the tensor cores multiply the gradients of the output with the values, a consumer turns
// scores into weights; where it owns keys, weights into gradients of the scores while they add the
// weights up.
#pragma once

#include "csrc/cuda/attention_hopper_backward_copies.cuh"
#include "csrc/cuda/attention_hopper_products.cuh"
#include "csrc/cuda/attention_hopper_softmax.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace dlplug {

// AttentionBackward::rows of the queries that a thread has scores of: of its two rows, or where
// queries are columns, of a tile in shared memory.
template <bool kOwnsKeys>
struct HopperStats {
  float4 rows[2];
  const float4* columns;

  __device__ float4 at(int n, int i) const {
    return kOwnsKeys ? columns[8 * n + threadIdx.x % 4 * 2 + i % 2] : rows[i / 2];
  }
};

// Scores to weights times the slope of the softcap; `left`: the weights for a product.
// `to_cap`: one divided by the softcap.
template <class T, bool kIsCapped, bool kOwnsKeys, int kOther>
__device__ inline void weigh(Sums<1, kOther>& scores, const HopperStats<kOwnsKeys>& stats,
                             float to_cap, uint32_t (&left)[kOther / 16][4]) {
#pragma unroll
  for (int n = 0; n < kOther / 8; ++n) {
    float weights[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& x = scores.at[0][n][i];
      const float4 row = stats.at(n, i);
      weights[i] = exp_of_difference(x - row.x - row.y);
      if constexpr (kIsCapped) {
        const float capped = x * to_cap;
        x = weights[i] == 0.0f ? 0.0f : weights[i] * (1.0f - capped * capped);  // not 0 * inf
      } else {
        x = weights[i];
      }
    }
    if constexpr (kOwnsKeys) pack<T>(weights, n, left);
  }
}

// Gradients of the weights to those of the products but for `scale`, for a product.
template <class T, bool kOwnsKeys, int kOther>
__device__ inline void differentiate(const Sums<1, kOther>& weights, const Sums<1, kOther>& grads,
                                     const HopperStats<kOwnsKeys>& stats,
                                     uint32_t (&left)[kOther / 16][4]) {
#pragma unroll
  for (int n = 0; n < kOther / 8; ++n) {
    float changes[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      changes[i] = weights.at[0][n][i] * (grads.at[0][n][i] - stats.at(n, i).z);
    pack<T>(changes, n, left);
  }
}

// A consumer's rows, from products to gradients.
template <class T, int kWidth, bool kOwnsKeys, bool kIsCapped>
__device__ inline void give_gradients(const HopperBackward& args,
                                      const HopperTurns<kOwnsKeys>& turns,
                                      const HopperBackwardMemory<kWidth, kOwnsKeys>& memory) {
  constexpr int kOther = kHopperOther<kOwnsKeys>;
  using Place = Turn<HopperBackwardMemory<kWidth, kOwnsKeys>::kStages>;
  auto& barriers = memory.barriers();
  const int first = first_row_of_consumer(), lane = threadIdx.x % kWarp;
  const int first_row = turns.first_owned + first_row_of_warp();
  const WarpSpans spans(first_row, kOwnsKeys ? args.num_keys : args.num_queries, [&](int row) {
    return kOwnsKeys ? queries_of(args, row) : keys_of(args, row);
  });
  HopperStats<kOwnsKeys> stats{};
  const int64_t pair = static_cast<int64_t>(turns.batch) * args.heads + turns.owned_head;
  if constexpr (!kOwnsKeys)
#pragma unroll
    for (int r = 0; r < 2; ++r)
      if (const int row = first_row + lane / 4 + 8 * r; row < args.num_queries)
        stats.rows[r] = args.rows[pair * args.num_queries + row];

  Sums<1, kWidth> of_products, of_values;  // of_values: where keys are owned
  of_products.clear();
  of_values.clear();
  uint32_t weights[kOther / 16][4] = {}, changes[kOther / 16][4] = {};
  const float to_cap = kIsCapped ? 1.0f / args.softcap : 0.0f;
  if (turns.count > 0) barriers.owned.wait(0);
  for (int n = 0, column = turns.begin; n < turns.count; ++n, column = turns.after(column)) {
    const Place place(n);
    barriers.first[place.stage].wait(place.parity);
    __syncwarp();  // lanes may have parted while they waited
    Sums<1, kOther> scores, grads;
    begin_dot_products<T>(scores, memory.one(), first, memory.first(place.stage));
    barriers.second[place.stage].wait(place.parity);
    __syncwarp();
    begin_dot_products<T>(grads, memory.other(), first, memory.second(place.stage));
    warpgroup::wait<1>(scores.at[0]);
    score<kIsCapped>(scores, args, spans, column);
    if constexpr (kOwnsKeys) stats.columns = memory.stats(place.stage);
    weigh<T, kIsCapped>(scores, stats, to_cap, weights);
    __syncwarp();
    if constexpr (kOwnsKeys) {
      begin_weighted_sum<T>(of_values, weights, memory.second(place.stage));
      warpgroup::wait<1>(grads.at[0]);
    } else {
      warpgroup::wait<0>(grads.at[0]);
    }
    differentiate<T>(scores, grads, stats, changes);
    __syncwarp();
    begin_weighted_sum<T>(of_products, changes, memory.first(place.stage));
    // Sums that are under way at the end of a loop are copied by the compiler, which therefore lets
    // no products overlap at all. Meanwhile the tensor cores work for the other consumer.
    warpgroup::wait<0>(of_products.at[0]);
    warpgroup::keep(changes);
    if constexpr (kOwnsKeys) {
      warpgroup::keep(of_values.at[0]);
      warpgroup::keep(weights);
    }
    barriers.free[place.stage].arrive_if(lane == 0);
  }

  const float scale[1][2] = {{args.scale, args.scale}}, one[1][2] = {{1.0f, 1.0f}};
  const int rows = kOwnsKeys ? args.num_keys : args.num_queries;
  of_products.store(Head<T>(kOwnsKeys ? args.grad_key : args.grad_query, turns.batch,
                            turns.owned_head, rows, kWidth),
                    first_row, 0, scale);
  if constexpr (kOwnsKeys)
    of_values.store(Head<T>(args.grad_value, turns.batch, turns.owned_head, rows, kWidth),
                    first_row, 0, one);
}

template <class T, int kWidth, bool kOwnsKeys, bool kIsCapped>
__global__ void __launch_bounds__(kHopperThreads, 1)
    attention_hopper_gradients(const __grid_constant__ HopperBackward args) {
#if DLPLUG_IS_HOPPER
  using Memory = HopperBackwardMemory<kWidth, kOwnsKeys>;
  const Memory memory(dynamic_shared_memory());
  const HopperTurns<kOwnsKeys> turns(args);
  if (threadIdx.x == 0) {
    auto& barriers = memory.barriers();
    barriers.owned.make(2);
    for (int stage = 0; stage < Memory::kStages; ++stage) {
      barriers.first[stage].make(kOwnsKeys ? 2 : 1);  // the copy, and the statistics
      barriers.second[stage].make(1);
      barriers.free[stage].make(kWarpsOfConsumers);
    }
    publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x < warpgroup::kThreads) {
    warpgroup::give_registers<kCopyingRegisters>();
    if (threadIdx.x < kWarp) copy_turns(args, turns, memory);
  } else {
    warpgroup::take_registers<kConsumerRegisters>();
    give_gradients<T, kWidth, kOwnsKeys, kIsCapped>(args, turns, memory);
  }
#else
  __trap();
#endif
}

}  // namespace dlplug
