// Forward of attention. A block of threads owns some queries of one head and goes over the keys
// that any of them sees, a tile at a time, while the next is on its way. Scores and weights stay in
// registers: a warp owns whole rows. The largest score so far and the sum of the weights are kept
// per row; when the former grows, what was summed shrinks (Dao et al. 2022, arXiv:2205.14135).
#pragma once

#include "csrc/cuda/attention_product.cuh"
#include "csrc/cuda/attention_scores.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace dlplug {

// Sizes by element type and width; the shared memory fits into the 99 KiB of sm_86, sm_89, sm_120.
// A warp of 32 queries reads each key from shared memory half as often as two of 16.
template <class T, int kWidth>
struct ForwardShape {
  static constexpr bool kIsFloat = sizeof(T) == 4;
  static constexpr int kWarps = std::is_same_v<T, float> && kWidth > 64 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kBlocks = kIsFloat || kWidth > 128 ? 1 : 2;
  static constexpr int kRowsPerWarp = 16 * kBlocks, kQueries = kWarps * kRowsPerWarp;
  static constexpr int kKeys = kIsFloat ? 2048 / kWidth : kWidth > 64 ? 32 : 64;
  using Queries = Tile<T, kQueries, kWidth>;
  static constexpr int kScratch = kScratchOf<T, kKeys>;  // floats of a warp
  static constexpr int kBytes =
      Queries::kBytes + TilePair<T, kKeys, kWidth>::kBytes + kWarps * kScratch * sizeof(float);
  static_assert(kShownBlock % kKeys == 0 && kQueries <= 2 * kShownBlock);
  static_assert(kBytes <= 99 << 10);
};

// Largest score, and this thread's part of the sum of weights e^(score - top), of its rows.
template <int kBlocks>
struct RunningSoftmax {
  float top[kBlocks][2], total[kBlocks][2];

  __device__ RunningSoftmax() {
#pragma unroll
    for (int i = 0; i < 2 * kBlocks; ++i) {
      top[i / 2][i % 2] = -kInfinity;
      total[i / 2][i % 2] = 0.0f;
    }
  }

  // Scores to weights, and the sums of a row to the new top.
  template <int kKeys, int kWidth>
  __device__ void turn(Sums<kBlocks, kKeys>& scores, Sums<kBlocks, kWidth>& sums) {
#pragma unroll
    for (int i = 0; i < 2 * kBlocks; ++i) {
      const int block = i / 2, r = i % 2;
      float largest = top[block][r];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) largest = fmaxf(largest, scores.at[block][n][2 * r + e]);
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
      const float shift = largest == -kInfinity ? 0.0f : largest;  // of a row that sees nothing
      shrink(sums, block, r, exp_of(top[block][r] - shift));
      top[block][r] = largest;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = scores.at[block][n][2 * r + e];
          x = exp_of(x - shift);
          total[block][r] += x;
        }
    }
  }

  // The totals of whole rows, with a sink's weight.
  template <int kWidth>
  __device__ void finish(Sums<kBlocks, kWidth>& sums, float sink) {
#pragma unroll
    for (int i = 0; i < 2 * kBlocks; ++i) {
      const int block = i / 2, r = i % 2;
      float& sum = total[block][r];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      if (sink == -kInfinity) continue;
      const float largest = fmaxf(top[block][r], sink);
      shrink(sums, block, r, exp_of(top[block][r] - largest));
      sum += exp_of(sink - largest);
      top[block][r] = largest;
    }
  }

 private:
  template <int kWidth>
  __device__ void shrink(Sums<kBlocks, kWidth>& sums, int block, int r, float factor) {
    total[block][r] *= factor;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) sums.at[block][n][2 * r + e] *= factor;
  }
};

template <class T, int kWidth>
__global__ void __launch_bounds__(ForwardShape<T, kWidth>::kThreads)
    attention_forward_tiles(AttentionForward args) {
  using Shape = ForwardShape<T, kWidth>;
  constexpr int kBlocks = Shape::kBlocks, kKeys = Shape::kKeys, kThreads = Shape::kThreads;
  // The last queries first: with a causal mask they take longest.
  const int tiles = (args.num_queries + Shape::kQueries - 1) / Shape::kQueries;
  const int tile = tiles - 1 - blockIdx.x % tiles, pair = blockIdx.x / tiles;
  const int batch = pair / args.heads, head = pair % args.heads;
  const int kv_head = head / (args.heads / args.kv_heads);
  const int first_query = tile * Shape::kQueries;
  const int warp = threadIdx.x / kWarp, g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
  const int warp_row = warp * Shape::kRowsPerWarp, first_row = first_query + warp_row;

  const Head<const T> query(args.query, batch, head, args.num_queries, args.width);
  const Head<const T> key(args.key, batch, kv_head, args.num_keys, args.width);
  const Head<const T> value(args.value, batch, kv_head, args.num_keys, args.value_width);
  T* shared = reinterpret_cast<T*>(dynamic_shared_memory());
  const typename Shape::Queries queries{shared};
  const TilePair<T, kKeys, kWidth> pairs{shared + Shape::kQueries * kWidth};
  float* scratch = reinterpret_cast<float*>(pairs.end()) + warp * Shape::kScratch;

  const HeadScores head_scores(args, batch, head);
  const Dropout& dropout = args.dropout;
  const uint64_t seed = dropout.threshold == 0 ? 0 : static_cast<uint64_t>(*dropout.seed);
  Span spans[kBlocks][2];
#pragma unroll
  for (int i = 0; i < 2 * kBlocks; ++i) spans[i / 2][i % 2] = keys_of(args, first_row + 8 * i + g);
  const Span span = keys_of(args, first_query, Shape::kQueries);
  const ShownKeys shown(args, batch, head, first_query, Shape::kQueries);
  const int begin = shown.next(span.begin / kKeys * kKeys, span.end, kKeys);

  Sums<kBlocks, kWidth> sums;
  sums.clear();
  RunningSoftmax<kBlocks> softmax;
  uint64_t kept[kBlocks][2] = {};
  AsyncCopies copies;
  if (begin < span.end) {
    queries.template load<kThreads>(query, first_query, copies);
    pairs.template load<kThreads>(0, key, value, begin, copies);
  }
  copies.commit();
  for (int first = begin, following, stage = 0; first < span.end; first = following, stage ^= 1) {
    following = shown.next(first + kKeys, span.end, kKeys);
    if (following < span.end)
      pairs.template load<kThreads>(stage ^ 1, key, value, following, copies);
    copies.commit();
    copies.template wait<1>();
    __syncthreads();
    Sums<kBlocks, kKeys> scores;
    scores.clear();
    multiply_rows<T>(scores, queries, warp_row, pairs.first(stage));
#pragma unroll
    for (int i = 0; i < 2 * kBlocks; ++i)
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = scores.at[i / 2][n][i % 2 * 2 + e];
          const int j = first + 8 * n + 2 * t + e;
          float cap_slope;
          x = spans[i / 2][i % 2].has(j)
                  ? head_scores.score(x, first_row + 8 * i + g, j, &cap_slope)
                  : -kInfinity;
        }
    softmax.turn(scores, sums);
    if (dropout.threshold != 0) {
      const int64_t row = static_cast<int64_t>(pair) * args.num_queries + first_row;
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        if (first % 64 == 0 || first == begin)
          kept_keys_of_rows(dropout, seed, row + 16 * block, first / 64, kept[block]);
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            if ((kept[block][i / 2] >> (first % 64 + 8 * n + 2 * t + i % 2) & 1) == 0)
              scores.at[block][n][i] = 0.0f;
      }
    }
    multiply_weights<T>(sums, scores, pairs.second(stage), 0, scratch);
    __syncthreads();  // the next but one is loaded into what was read
  }

  softmax.finish(sums, args.sinks == nullptr ? -kInfinity : args.sinks[head]);
  float factor[kBlocks][2];
#pragma unroll
  for (int i = 0; i < 2 * kBlocks; ++i) {
    const float total = softmax.total[i / 2][i % 2], top = softmax.top[i / 2][i % 2];
    factor[i / 2][i % 2] = total == 0.0f ? 0.0f : dropout.scale / total;
    const int row = first_row + 8 * i + g;
    if (t == 0 && row < args.num_queries)
      args.lse[static_cast<int64_t>(pair) * args.num_queries + row] =
          static_cast<double>(top) + static_cast<double>(logf(total));
  }
  sums.store(Head<T>(args.out, batch, head, args.num_queries, args.value_width), first_row, 0,
             factor);
}

}  // namespace dlplug
