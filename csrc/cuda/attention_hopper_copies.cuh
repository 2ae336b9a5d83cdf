// What a block of the forward pass on a Hopper copies: its queries, then the keys and values that
// any of them sees, a tile after the other.
#pragma once

#include "csrc/cuda/attention_hopper_tile.cuh"
#include "csrc/cuda/attention_scores.cuh"

namespace dlplug {

// Which queries a block owns, and the tiles of keys that any of them sees.
struct HopperBlock {
  int batch, head, kv_head, first_query, first_key, num_tiles;

  __device__ explicit HopperBlock(const AttentionForward& args) {
    // The last queries first: with a causal mask they take longest.
    const int tiles = (args.num_queries + kHopperRows - 1) / kHopperRows;
    const int tile = tiles - 1 - blockIdx.x % tiles, pair = blockIdx.x / tiles;
    batch = pair / args.heads;
    head = pair % args.heads;
    kv_head = head / (args.heads / args.kv_heads);
    first_query = tile * kHopperRows;
    const Span span = keys_of(args, first_query, kHopperRows);
    first_key = span.begin / kHopperRows * kHopperRows;
    num_tiles = span.begin < span.end ? (span.end - first_key + kHopperRows - 1) / kHopperRows : 0;
  }
};

// By one thread, as places become free.
template <int kWidth>
__device__ inline void copy_tiles(const AttentionHopper& args, const HopperBlock& block,
                                  const HopperMemory<kWidth>& memory) {
  auto& barriers = memory.barriers();
  if (block.num_tiles > 0)
    memory.query().load(args.query_map, barriers.query, block.first_query, block.head, block.batch);
  for (int n = 0; n < block.num_tiles; ++n) {
    const Turn<HopperMemory<kWidth>::kStages> turn(n);
    const int first = block.first_key + n * kHopperRows;
    // The places are free at first: the phase before the first counts as complete.
    barriers.key_free[turn.stage].wait(turn.parity ^ 1);
    memory.key(turn.stage)
        .load(args.key_map, barriers.key[turn.stage], first, block.kv_head, block.batch);
    barriers.value_free[turn.stage].wait(turn.parity ^ 1);
    memory.value(turn.stage)
        .load(args.value_map, barriers.value[turn.stage], first, block.kv_head, block.batch);
  }
}

}  // namespace dlplug
