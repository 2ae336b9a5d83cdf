// What a block of the backward pass for Hopper GPUs owns, what it goes over, and the copies of both
// into shared memory.
#pragma once

#include "csrc/cuda/attention_hopper_tile.cuh"
#include "csrc/cuda/attention_scores.cuh"

namespace dlplug {

// A block owns 128 rows of two tensors, `one` and `other`, and goes over those of two others, a
// tile of `first` and `second` after the other:
//             one      other     first    second
//   queries   query    grad_out  key      value
//   keys      key      value     query    grad_out
// Boxes of the maps are a panel of a tile.
struct HopperBackward : AttentionBackward {
  CUtensorMap one_map, other_map, first_map, second_map;
};

// Rows of `first` and `second` at a time: as many as a thread has registers for their scores,
// beside its sums, of which it has twice as many where keys are owned.
template <bool kOwnsKeys>
constexpr int kHopperOther = kOwnsKeys ? 64 : 128;

template <bool kOwnsKeys>
struct HopperTurns {
  static constexpr int kOther = kHopperOther<kOwnsKeys>;
  int batch, owned_head, first_owned;
  int first_head, begin, steps;  // head after head, so many tiles from `begin` on
  int count;                     // of tiles, of all heads

  __device__ explicit HopperTurns(const AttentionScores& args) {
    const int rows = kOwnsKeys ? args.num_keys : args.num_queries;
    const int heads = kOwnsKeys ? args.kv_heads : args.heads, group = args.heads / args.kv_heads;
    const int tiles = (rows + kHopperRows - 1) / kHopperRows;
    const int tile = blockIdx.x % tiles, pair = blockIdx.x / tiles;
    batch = pair / heads;
    owned_head = pair % heads;
    // With a causal mask the last queries take longest, and the first keys: they come first.
    first_owned = (kOwnsKeys ? tile : tiles - 1 - tile) * kHopperRows;
    first_head = kOwnsKeys ? owned_head * group : owned_head / group;
    const Span span = kOwnsKeys ? queries_of(args, first_owned, kHopperRows)
                                : keys_of(args, first_owned, kHopperRows);
    begin = span.begin / kOther * kOther;
    steps = span.begin < span.end ? (span.end - begin + kOther - 1) / kOther : 0;
    count = kOwnsKeys ? group * steps : steps;
  }

  // The tile behind the one that begins at `first`: `begin` again, for the next head.
  __device__ int after(int first) const {
    first += kOther;
    return first == begin + steps * kOther ? begin : first;
  }
};

// Dynamic shared memory: what is owned, then kStages tiles each of `first` and `second` and, where
// these are queries, of their rows' statistics, then the barriers.
template <int kWidth, bool kOwnsKeys>
struct HopperBackwardMemory {
  static constexpr int kStages = 2, kOther = kHopperOther<kOwnsKeys>;
  using Owned = HopperTile<kWidth>;
  using Tile = HopperTile<kWidth, kOther>;
  struct Barriers {
    Barrier owned, first[kStages], second[kStages], free[kStages];
  };
  static constexpr uint32_t kStats = 2 * Owned::kBytes + 2 * kStages * Tile::kBytes;
  static constexpr uint32_t kBarriers =
      kStats + (kOwnsKeys ? kStages * kOther * sizeof(float4) : 0);
  static constexpr size_t kBytes = kTileAlignment + kBarriers + sizeof(Barriers);
  static_assert(kBytes <= 227 << 10);
  unsigned char* begin;

  __device__ explicit HopperBackwardMemory(void* memory) : begin(first_tile(memory)) {}

  __device__ Owned one() const { return {begin}; }
  __device__ Owned other() const { return {begin + Owned::kBytes}; }
  __device__ Tile first(int stage) const {
    return {begin + 2 * Owned::kBytes + 2 * stage * Tile::kBytes};
  }
  __device__ Tile second(int stage) const { return {first(stage).data + Tile::kBytes}; }
  __device__ float4* stats(int stage) const {
    return reinterpret_cast<float4*>(begin + kStats) + stage * kOther;
  }
  __device__ Barriers& barriers() const { return *reinterpret_cast<Barriers*>(begin + kBarriers); }
};

// By one warp, as places become free.
template <int kWidth, bool kOwnsKeys>
__device__ inline void copy_turns(const HopperBackward& args, const HopperTurns<kOwnsKeys>& turns,
                                  const HopperBackwardMemory<kWidth, kOwnsKeys>& memory) {
  constexpr int kOther = kHopperOther<kOwnsKeys>;
  auto& barriers = memory.barriers();
  const int lane = threadIdx.x;
  if (turns.count > 0 && lane == 0) {
    memory.one().load(args.one_map, barriers.owned, turns.first_owned, turns.owned_head,
                      turns.batch);
    memory.other().load(args.other_map, barriers.owned, turns.first_owned, turns.owned_head,
                        turns.batch);
  }
  int head = turns.first_head, first = turns.begin;
  for (int n = 0; n < turns.count; ++n) {
    const Turn<HopperBackwardMemory<kWidth, kOwnsKeys>::kStages> turn(n);
    // The places are free at first: the phase before the first counts as complete.
    barriers.free[turn.stage].wait(turn.parity ^ 1);
    if (lane == 0) {
      memory.first(turn.stage)
          .load(args.first_map, barriers.first[turn.stage], first, head, turns.batch);
      memory.second(turn.stage)
          .load(args.second_map, barriers.second[turn.stage], first, head, turns.batch);
    }
    if constexpr (kOwnsKeys) {
      const int64_t row =
          (static_cast<int64_t>(turns.batch) * args.heads + head) * args.num_queries + first;
      for (int i = lane; i < kOther; i += kWarp)
        memory.stats(turn.stage)[i] =
            first + i < args.num_queries ? args.rows[row + i] : float4{0.0f, 0.0f, 0.0f, 0.0f};
    }
    // No lane falls behind: it would wait for a phase when that is over, and the next one, too.
    __syncwarp();
    if constexpr (kOwnsKeys) barriers.first[turn.stage].arrive_if(lane == 0);
    first = turns.after(first);
    if (first == turns.begin) ++head;
  }
}

}  // namespace dlplug
