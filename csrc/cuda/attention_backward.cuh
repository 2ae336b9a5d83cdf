// What the two passes of attention's backward share: sizes, and a weight and its gradient once more
// from the products. One pass owns queries and gives their gradient, the mask's and the slopes';
// the other owns keys and gives the keys' and values'. Each adds up in registers, in one order.
#pragma once

#include "csrc/cuda/attention_product.cuh"
#include "csrc/cuda/attention_scores.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace dlplug {

// What the pass over the keys keeps of a query in shared memory.
struct QueryRow {
  float4 stats;   // AttentionBackward::rows
  Span span;      // keys that it sees
  uint64_t kept;  // weights that dropout keeps, of 64 keys
};

// A block owns kOwned rows of two tensors and goes over kOther rows of two others at a time. The
// shared memory fits into the 99 KiB of sm_86, sm_89 and sm_120.
template <class T, int kWidth>
struct BackwardShape {
  static constexpr bool kIsFloat = sizeof(T) == 4;
  static constexpr int kWarps = kIsFloat && kWidth > 64 ? 2 : 4, kThreads = kWarps * kWarp;
  static constexpr int kOwned = 16 * kWarps;
  static constexpr int kOther = (kIsFloat ? 2048 : 4096) / kWidth;
  // Columns of the keys' and values' gradients that a block adds up.
  static constexpr int kColumns = kWidth < 128 ? kWidth : 128, kParts = kWidth / kColumns;
  using Owned = Tile<T, kOwned, kWidth>;
  using Others = TilePair<T, kOther, kWidth>;
  static constexpr int kScratch = kScratchOf<T, kOther>;  // floats of a warp
  static constexpr int kBytes = 2 * Owned::kBytes + Others::kBytes +
                                kWarps * kScratch * sizeof(float) + kOther * sizeof(QueryRow);
  static_assert(kShownBlock % kOwned == 0 && kShownBlock % kOther == 0);
  static_assert(kBytes <= 99 << 10);
};

// The shared memory of a block.
template <class T, int kWidth>
struct BackwardMemory {
  using Shape = BackwardShape<T, kWidth>;
  typename Shape::Owned one, other;
  typename Shape::Others pairs;
  QueryRow* rows;
  float* scratch;  // of this thread's warp

  __device__ BackwardMemory() {
    T* shared = reinterpret_cast<T*>(dynamic_shared_memory());
    one.data = shared;
    other.data = shared + Shape::kOwned * kWidth;
    pairs.data = shared + 2 * Shape::kOwned * kWidth;
    rows = reinterpret_cast<QueryRow*>(pairs.end());
    scratch =
        reinterpret_cast<float*>(rows + Shape::kOther) + threadIdx.x / kWarp * Shape::kScratch;
  }
};

// A weight after dropout, the gradient of its score, and that of its product but for `scale`.
struct WeightGradient {
  float weight, dropped, change, of_product;
};

__device__ inline WeightGradient differentiate(const HeadScores& scores, const float4& stats,
                                               int query, int key, bool is_seen, bool is_kept,
                                               float product, float grad) {
  if (!is_seen) return {0.0f, 0.0f, 0.0f, 0.0f};
  const float keep = scores.args.dropout.scale;
  float cap_slope;
  const float x = scores.score(product, query, key, &cap_slope);
  const float weight = exp_of(x - stats.x - stats.y);
  const float change = weight * ((is_kept ? grad * keep : 0.0f) - stats.z);
  return {weight, is_kept ? weight * keep : 0.0f, change, change * cap_slope};
}

constexpr int kRowThreads = 256;

// A warp takes a row: lse in two floats, out . grad_out.
template <class T>
__global__ void __launch_bounds__(kRowThreads) attention_backward_rows(AttentionBackward args) {
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * (kRowThreads / kWarp) + threadIdx.x / kWarp;
  const int64_t heads = static_cast<int64_t>(args.batch) * args.heads;
  if (row >= heads * args.num_queries) return;
  const int query = static_cast<int>(row % args.num_queries);
  const int pair = static_cast<int>(row / args.num_queries);
  const int batch = pair / args.heads, head = pair % args.heads;
  const Head<const T> out(args.out, batch, head, args.num_queries, args.value_width);
  const Head<const T> grad(args.grad_out, batch, head, args.num_queries, args.value_width);
  const int lane = threadIdx.x % kWarp;
  float delta = 0.0f;
  for (int i = lane; i < args.value_width; i += kWarp)
    delta = fmaf(to_float(out.data[query * out.stride + i]),
                 to_float(grad.data[query * grad.stride + i]), delta);
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    delta += __shfl_xor_sync(0xffffffffu, delta, offset);
  if (lane != 0) return;
  const double lse = args.lse[row];
  const float top = static_cast<float>(lse);
  const bool is_blind = top == -kInfinity;
  args.rows[row] = {is_blind ? kInfinity : top, is_blind ? 0.0f : static_cast<float>(lse - top),
                    delta, 0.0f};
}

}  // namespace dlplug
