// The gradients of keys and values: a block owns some keys of one head and goes over the queries
// that see any of them, of all heads that share it. Products are transposed, keys by queries, so
// that each thread's weights lie as the next product wants them.
#pragma once

#include "csrc/cuda/attention_backward.cuh"

namespace dlplug {

template <class T, int kWidth>
__global__ void __launch_bounds__(BackwardShape<T, kWidth>::kThreads)
    attention_backward_keys(AttentionBackward args) {
  using Shape = BackwardShape<T, kWidth>;
  constexpr int kThreads = Shape::kThreads, kQueries = Shape::kOther;
  const int tiles = (args.num_keys + Shape::kOwned - 1) / Shape::kOwned;
  const int tile = blockIdx.x % tiles, part = blockIdx.x / tiles % Shape::kParts;
  const int pair = blockIdx.x / tiles / Shape::kParts;
  const int batch = pair / args.kv_heads, kv_head = pair % args.kv_heads;
  const int group = args.heads / args.kv_heads, first_head = kv_head * group;
  const int first_key = tile * Shape::kOwned, first_column = part * Shape::kColumns;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;

  const BackwardMemory<T, kWidth> shared;
  AsyncCopies copies;
  const Span span = queries_of(args, first_key, Shape::kOwned);
  const int begin = span.begin / kQueries * kQueries;
  const int steps = span.begin < span.end ? (span.end - begin + kQueries - 1) / kQueries : 0;
  const int turns = group * steps;  // a tile of queries of one head each
  const auto is_shown = [&](int turn) {
    const int head = first_head + turn / steps, first = begin + turn % steps * kQueries;
    return ShownKeys(args, batch, head, first, kQueries).has(first_key);
  };
  const auto next = [&](int turn) {
    while (turn < turns && !is_shown(turn)) ++turn;
    return turn;
  };
  const int first_turn = next(0);
  if (first_turn < turns) {  // else nobody sees these keys, or waits for the copies
    shared.one.template load<kThreads>(
        Head<const T>(args.key, batch, kv_head, args.num_keys, args.width), first_key, copies);
    shared.other.template load<kThreads>(
        Head<const T>(args.value, batch, kv_head, args.num_keys, args.value_width), first_key,
        copies);
  }
  const auto load = [&](int stage, int turn) {
    const int head = first_head + turn / steps, first = begin + turn % steps * kQueries;
    shared.pairs.template load<kThreads>(
        stage, Head<const T>(args.query, batch, head, args.num_queries, args.width),
        Head<const T>(args.grad_out, batch, head, args.num_queries, args.value_width), first,
        copies);
  };
  const Dropout& dropout = args.dropout;
  const uint64_t seed = dropout.threshold == 0 ? 0 : static_cast<uint64_t>(*dropout.seed);

  Sums<1, Shape::kColumns> grad_keys, grad_values;
  grad_keys.clear();
  grad_values.clear();
  if (first_turn < turns) load(0, first_turn);
  copies.commit();
  for (int turn = first_turn, following, stage = 0; turn < turns; turn = following, stage ^= 1) {
    following = next(turn + 1);
    if (following < turns) load(stage ^ 1, following);
    copies.commit();
    const int head = first_head + turn / steps, first = begin + turn % steps * kQueries;
    const int64_t first_row =
        (static_cast<int64_t>(batch) * args.heads + head) * args.num_queries + first;
    for (int i = threadIdx.x; i < kQueries; i += kThreads) {
      shared.rows[i].span = keys_of(args, first + i);
      if (first + i < args.num_queries) shared.rows[i].stats = args.rows[first_row + i];
    }
    for (int i = 2 * warp; dropout.threshold != 0 && i < kQueries; i += 2 * Shape::kWarps) {
      uint64_t kept[2];
      kept_keys(dropout, seed, first_row + i, first_key / 64, kept);
      if (lane < 2) shared.rows[i + lane].kept = lane == 0 ? kept[0] : kept[1];
    }
    copies.template wait<1>();
    __syncthreads();
    Sums<1, kQueries> weights, changes;
    weights.clear();
    changes.clear();
    multiply_rows<T>(weights, shared.one, 16 * warp, shared.pairs.first(stage));
    multiply_rows<T>(changes, shared.other, 16 * warp, shared.pairs.second(stage));
    const HeadScores scores(args, batch, head);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = 8 * n + 2 * t + i % 2, key = first_key + 16 * warp + g + i / 2 * 8;
        const QueryRow& row = shared.rows[column];
        const bool is_kept = dropout.threshold == 0 || (row.kept >> (key % 64) & 1) != 0;
        float &weight = weights.at[0][n][i], &change = changes.at[0][n][i];
        const WeightGradient found = differentiate(scores, row.stats, first + column, key,
                                                   row.span.has(key), is_kept, weight, change);
        weight = found.dropped;
        change = found.of_product;
      }
    multiply_weights<T>(grad_values, weights, shared.pairs.second(stage), first_column,
                        shared.scratch);
    multiply_weights<T>(grad_keys, changes, shared.pairs.first(stage), first_column,
                        shared.scratch);
    __syncthreads();  // the next but one is loaded into what was read
  }

  const float scale[1][2] = {{args.scale, args.scale}}, one[1][2] = {{1.0f, 1.0f}};
  const int row = first_key + 16 * warp;
  grad_keys.store(Head<T>(args.grad_key, batch, kv_head, args.num_keys, args.width), row,
                  first_column, scale);
  grad_values.store(Head<T>(args.grad_value, batch, kv_head, args.num_keys, args.value_width), row,
                    first_column, one);
}

}  // namespace dlplug
