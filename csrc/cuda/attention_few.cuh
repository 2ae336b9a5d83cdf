// The kernels of attention_few.h. A block of threads owns up to 16 rows, queries of heads that
// share a key head, and one range of the keys; each of its warps takes its part of every tile of
// keys, for all rows. The parts, one a warp, are combined by their largest scores afterwards.
#pragma once

#include "csrc/cuda/attention_forward.cuh"

namespace dlplug {

// Shared memory as of the other kernels; a block of it has 32 KiB of keys and values on their way.
template <class T, int kWidth>
struct FewShape {
  static constexpr int kRows = 16, kWarps = kWidth > 128 ? 2 : 4, kThreads = kWarps * kWarp;
  static constexpr int kKeys = (16 << 10) / sizeof(T) / kWidth, kKeysPerWarp = kKeys / kWarps;
  using Queries = Tile<T, kRows, kWidth>;
  static constexpr int kScratch = kScratchOf<T, kKeysPerWarp>;  // floats of a warp
  static constexpr int kBytes =
      Queries::kBytes + TilePair<T, kKeys, kWidth>::kBytes + kWarps * kScratch * sizeof(float);
  static_assert(kShownBlock % kKeys == 0 && kBytes <= 99 << 10);
};

struct AttentionFew : AttentionForward {
  // The keys that any query sees, but for the mask, from a multiple of kShownBlock on; and of how
  // many of them, also such a multiple, a block makes a part of the result.
  int first_key, end_key, range, num_ranges;
  // (parts, batch * heads * num_queries): sums of weights e^(score - top) times values, value_width
  // floats each; the top; the sum of the weights.
  float *sums, *tops, *totals;
};

template <class T, int kWidth>
__global__ void __launch_bounds__(FewShape<T, kWidth>::kThreads) attention_few(AttentionFew args) {
  using Shape = FewShape<T, kWidth>;
  constexpr int kKeys = Shape::kKeys, kKeysPerWarp = Shape::kKeysPerWarp;
  constexpr int kThreads = Shape::kThreads;
  const int group = args.heads / args.kv_heads, rows = group * args.num_queries;
  const int tiles = (rows + Shape::kRows - 1) / Shape::kRows;
  const int range = blockIdx.x % args.num_ranges, tile = blockIdx.x / args.num_ranges % tiles;
  const int pair = blockIdx.x / args.num_ranges / tiles;
  const int batch = pair / args.kv_heads, kv_head = pair % args.kv_heads;
  const int first_head = kv_head * group, first_row = tile * Shape::kRows;
  const int last_row = (first_row + Shape::kRows < rows ? first_row + Shape::kRows : rows) - 1;
  const int warp = threadIdx.x / kWarp, g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;

  const HeadGroup<const T> query(args.query, batch, first_head, group, args.num_queries,
                                 args.width);
  const Head<const T> key(args.key, batch, kv_head, args.num_keys, args.width);
  const Head<const T> value(args.value, batch, kv_head, args.num_keys, args.value_width);
  T* shared = reinterpret_cast<T*>(dynamic_shared_memory());
  const typename Shape::Queries queries{shared};
  const TilePair<T, kKeys, kWidth> pairs{shared + Shape::kRows * kWidth};
  float* scratch = reinterpret_cast<float*>(pairs.end()) + warp * Shape::kScratch;

  const Dropout& dropout = args.dropout;
  const uint64_t seed = dropout.threshold == 0 ? 0 : static_cast<uint64_t>(*dropout.seed);
  // Of the queries of all heads: those of a group lie one after the other.
  const int64_t row_of_all =
      (static_cast<int64_t>(batch) * args.heads + first_head) * args.num_queries + first_row;
  const int first_key = args.first_key + range * args.range;
  const int end_key = first_key + args.range < args.end_key ? first_key + args.range : args.end_key;
  const auto head_of = [&](int row) {
    return first_head + (row < rows ? row : rows - 1) / args.num_queries;
  };
  const int own_rows[2] = {first_row + g, first_row + g + 8};
  const HeadScores heads[2] = {HeadScores(args, batch, head_of(own_rows[0])),
                               HeadScores(args, batch, head_of(own_rows[1]))};
  Span spans[2] = {};
#pragma unroll
  for (int r = 0; r < 2; ++r)
    if (own_rows[r] <= last_row) spans[r] = keys_of(args, own_rows[r] % args.num_queries);
  const auto next = [&](int first) {
    for (; first < end_key; first += kKeys)
      for (int head = head_of(first_row); head <= head_of(last_row); ++head)
        if (ShownKeys(args, batch, head, 0, args.num_queries).has(first)) return first;
    return first;
  };

  Sums<1, kWidth> sums;
  sums.clear();
  RunningSoftmax<1> softmax;
  AsyncCopies copies;
  const int begin = next(first_key);
  if (begin < end_key) {
    queries.template load<kThreads>(query, first_row, copies);
    pairs.template load<kThreads>(0, key, value, begin, copies);
  }
  copies.commit();
  for (int first = begin, following, stage = 0; first < end_key; first = following, stage ^= 1) {
    following = next(first + kKeys);
    if (following < end_key)
      pairs.template load<kThreads>(stage ^ 1, key, value, following, copies);
    copies.commit();
    copies.template wait<1>();
    __syncthreads();
    using Part = Tile<T, kKeysPerWarp, kWidth>;
    const int own_first = first + warp * kKeysPerWarp, offset = warp * Part::kRows * kWidth;
    Sums<1, kKeysPerWarp> scores;
    scores.clear();
    multiply_rows<T>(scores, queries, 0, Part{pairs.first(stage).data + offset});
#pragma unroll
    for (int n = 0; n < kKeysPerWarp / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = scores.at[0][n][i];
        const int r = i / 2, j = own_first + 8 * n + 2 * t + i % 2;
        float cap_slope;
        x = spans[r].has(j) ? heads[r].score(x, own_rows[r] % args.num_queries, j, &cap_slope)
                            : -kInfinity;
      }
    softmax.turn(scores, sums);
    if (dropout.threshold != 0) {
      uint64_t kept[2];
      kept_keys_of_rows(dropout, seed, row_of_all, own_first / 64, kept);
#pragma unroll
      for (int n = 0; n < kKeysPerWarp / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if ((kept[i / 2] >> (own_first % 64 + 8 * n + 2 * t + i % 2) & 1) == 0)
            scores.at[0][n][i] = 0.0f;
    }
    multiply_weights<T>(sums, scores, Part{pairs.second(stage).data + offset}, 0, scratch);
    __syncthreads();  // the next but one is loaded into what was read
  }

  softmax.finish(sums, -kInfinity);
  const int64_t all_rows = static_cast<int64_t>(args.batch) * args.heads * args.num_queries;
  const int64_t part = (static_cast<int64_t>(range) * Shape::kWarps + warp) * all_rows + row_of_all;
#pragma unroll
  for (int r = 0; r < 2; ++r)
    if (t == 0 && own_rows[r] <= last_row) {
      args.tops[part + g + 8 * r] = softmax.top[0][r];
      args.totals[part + g + 8 * r] = softmax.total[0][r];
    }
  const int width = args.value_width;
  const HeadRows to{args.sums + part * width, 0, 0, width, width % 4 == 0};
  const float as_they_are[1][2] = {{1.0f, 1.0f}};
  sums.store(Head<float>(to, 0, 0, last_row + 1 - first_row, width), 0, 0, as_they_are);
}

constexpr int kCombineThreads = 128;

// A block takes a row, a thread some columns. All threads find the same total, in one order.
template <class T>
__global__ void __launch_bounds__(kCombineThreads)
    attention_few_combine(AttentionFew args, int parts) {
  const int64_t row = blockIdx.x;
  const int64_t rows = static_cast<int64_t>(args.batch) * args.heads * args.num_queries;
  const int query = static_cast<int>(row % args.num_queries);
  const int pair = static_cast<int>(row / args.num_queries);
  const int batch = pair / args.heads, head = pair % args.heads;
  const float sink = args.sinks == nullptr ? -kInfinity : args.sinks[head];
  float top = sink;
  for (int part = 0; part < parts; ++part) top = fmaxf(top, args.tops[part * rows + row]);
  const float shift = top == -kInfinity ? 0.0f : top;  // of a row that sees nothing
  float total = exp_of(sink - shift);
  for (int part = 0; part < parts; ++part)
    total += args.totals[part * rows + row] * exp_of(args.tops[part * rows + row] - shift);
  const float factor = total == 0.0f ? 0.0f : args.dropout.scale / total;
  const Head<T> out(args.out, batch, head, args.num_queries, args.value_width);
  for (int column = threadIdx.x; column < args.value_width; column += kCombineThreads) {
    float sum = 0.0f;
#pragma unroll 4
    for (int part = 0; part < parts; ++part) {
      const int64_t at = part * rows + row;
      sum += args.sums[at * args.value_width + column] * exp_of(args.tops[at] - shift);
    }
    out.row(query)[column] = from_float<T>(factor == 0.0f ? 0.0f : sum * factor);
  }
  if (threadIdx.x == 0) args.lse[row] = static_cast<double>(top) + static_cast<double>(logf(total));
}

}  // namespace dlplug
