// The gradients of the queries, of a float mask and of ALiBi's slopes: a block owns some queries
// and goes over the keys that any of them sees, as the forward does.
#pragma once

#include "csrc/cuda/attention_backward.cuh"

namespace dlplug {

// How far a query lies from the nearest of all keys, or of its document's.
__device__ inline int64_t least_distance(const AttentionScores& args, int query) {
  Span keys{0, args.num_keys};
  if (args.document_shift != nullptr) keys = {args.document_begin[query], args.document_end[query]};
  const int64_t position = position_of(args, query), behind = position - (keys.end - 1);
  return position < keys.begin ? keys.begin - position : behind > 0 ? behind : 0;
}

// One thread's part of what is summed for the mask and for the slope: of its rows g and g + 8.
//
// The score falls by slope * distance. A row's changes sum up to delta_i * (1 - the sum of its
// weights), which is 0 without a sink; but delta_i is as far off as the output was rounded, and a
// query far from all keys would multiply that by its distance. So distances count from the least
// one c_i:
//   sum of change * distance = sum of change * (distance - c_i) + c_i delta_i (1 - sum of weights)
struct BiasSums {
  const AttentionBackward& args;
  float change[2], fall[2], weight[2];

  __device__ explicit BiasSums(const AttentionBackward& args)
      : args(args), change{}, fall{}, weight{} {}

  __device__ void add(const WeightGradient& found, int r, int query, int key) {
    change[r] += found.change;
    if (args.grad_slopes == nullptr || query >= args.num_queries) return;
    weight[r] += found.weight;
    const int64_t behind = position_of(args, query) - key;
    const int64_t beyond = (behind < 0 ? -behind : behind) - least_distance(args, query);
    fall[r] = fmaf(found.change, static_cast<float>(beyond), fall[r]);
  }

  // The slope's gradient of the 16 rows of a warp, given to each lane; first_row + g, + 8.
  __device__ double of_slope(int first_row, const float4 (&stats)[2]) const {
    const int lane = threadIdx.x % kWarp;
    double total = 0.0;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int query = first_row + lane / 4 + 8 * r;
      total -= fall[r];
      if (query >= args.num_queries) continue;
      const auto least = static_cast<double>(least_distance(args, query));
      total += least * stats[r].z * weight[r];
      if (lane % 4 == 0 && stats[r].x != kInfinity) total -= least * stats[r].z;
    }
    for (int offset = kWarp / 2; offset > 0; offset /= 2)
      total += __shfl_xor_sync(0xffffffffu, total, offset);
    return total;
  }
};

// Adds the changes of 16 rows and a tile of keys; 0 where a key is not seen. `to`: this head's, and
// of this warp's share. Each element has one owner, that adds to it turn by turn.
template <int kKeys>
__device__ inline void add_mask_gradient(const MaskGradient& mask, float* to,
                                         const Sums<1, kKeys>& changes, const Span (&spans)[2],
                                         int first_row, int first_key, int num_keys) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = first_key + 8 * n + 2 * t + e;
      if (mask.row != 0) {
#pragma unroll
        for (int r = 0; r < 2; ++r)
          if (spans[r].has(key))
            to[(first_row + g + 8 * r) * mask.row + key] += changes.at[0][n][2 * r + e];
        continue;
      }
      float sum = changes.at[0][n][e] + changes.at[0][n][2 + e];
      for (int offset = 4; offset < kWarp; offset *= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, offset);
      if (g == 0 && key < num_keys) to[key] += sum;
    }
}

// The same of a mask that is broadcast over the keys.
__device__ inline void add_mask_gradient_of_rows(const MaskGradient& mask, float* to,
                                                 const float (&changes)[2], int first_row,
                                                 int num_queries) {
  const int lane = threadIdx.x % kWarp;
  float sums[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    sums[r] = changes[r];
    sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], 1);
    sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], 2);
    const int row = first_row + lane / 4 + 8 * r;
    if (mask.row != 0 && lane % 4 == 0 && row < num_queries) to[row * mask.row] += sums[r];
  }
  if (mask.row != 0) return;
  float sum = sums[0] + sums[1];
  for (int offset = 4; offset < kWarp; offset *= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (lane == 0) *to += sum;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(BackwardShape<T, kWidth>::kThreads)
    attention_backward_queries(AttentionBackward args) {
  using Shape = BackwardShape<T, kWidth>;
  constexpr int kThreads = Shape::kThreads, kKeys = Shape::kOther;
  const int tiles = (args.num_queries + Shape::kOwned - 1) / Shape::kOwned;
  const int tile = tiles - 1 - blockIdx.x % tiles, bundle = blockIdx.x / tiles;
  const int single = bundle / args.num_bundles, part = bundle % args.num_bundles;
  const int64_t shared_heads = args.num_shared;
  const int begin_shared = static_cast<int>(part * shared_heads / args.num_bundles);
  const int end_shared = static_cast<int>((part + 1) * shared_heads / args.num_bundles);
  const int first_query = tile * Shape::kOwned;
  const int warp = threadIdx.x / kWarp, g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
  const int first_row = first_query + 16 * warp;

  const BackwardMemory<T, kWidth> shared;
  const Dropout& dropout = args.dropout;
  const uint64_t seed = dropout.threshold == 0 ? 0 : static_cast<uint64_t>(*dropout.seed);
  const Span spans[2] = {keys_of(args, first_row + g), keys_of(args, first_row + g + 8)};
  const Span span = keys_of(args, first_query, Shape::kOwned);
  const int warp_of_head = tile * Shape::kWarps + warp;
  const MaskGradient& mask = args.grad_mask;
  const int64_t share = mask.row != 0 ? part : part * tiles * Shape::kWarps + warp_of_head;
  AsyncCopies copies;

  for (int j = begin_shared; j < end_shared; ++j) {
    const int pair = single * args.single_stride + j * args.shared_stride;
    const int batch = pair / args.heads, head = pair % args.heads;
    const int kv_head = head / (args.heads / args.kv_heads);
    const Head<const T> key(args.key, batch, kv_head, args.num_keys, args.width);
    const Head<const T> value(args.value, batch, kv_head, args.num_keys, args.value_width);
    const int64_t row = static_cast<int64_t>(pair) * args.num_queries + first_row;
    const ShownKeys shown(args, batch, head, first_query, Shape::kOwned);
    const int begin = shown.next(span.begin / kKeys * kKeys, span.end, kKeys);
    float* to_mask = mask.data == nullptr
                         ? nullptr
                         : mask.data + share * mask.share + batch * mask.batch + head * mask.head;
    float4 stats[2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r)
      if (first_row + g + 8 * r < args.num_queries) stats[r] = args.rows[row + g + 8 * r];
    const HeadScores scores(args, batch, head);
    BiasSums biases(args);
    Sums<1, kWidth> grads;
    grads.clear();
    uint64_t kept[2] = {};
    if (begin < span.end) {
      shared.one.template load<kThreads>(
          Head<const T>(args.query, batch, head, args.num_queries, args.width), first_query,
          copies);
      shared.other.template load<kThreads>(
          Head<const T>(args.grad_out, batch, head, args.num_queries, args.value_width),
          first_query, copies);
      shared.pairs.template load<kThreads>(0, key, value, begin, copies);
    }
    copies.commit();
    for (int first = begin, following, stage = 0; first < span.end; first = following, stage ^= 1) {
      following = shown.next(first + kKeys, span.end, kKeys);
      if (following < span.end)
        shared.pairs.template load<kThreads>(stage ^ 1, key, value, following, copies);
      copies.commit();
      copies.template wait<1>();
      __syncthreads();
      if (dropout.threshold != 0 && (first % 64 == 0 || first == begin))
        kept_keys_of_rows(dropout, seed, row, first / 64, kept);
      Sums<1, kKeys> products, changes;
      products.clear();
      changes.clear();
      multiply_rows<T>(products, shared.one, 16 * warp, shared.pairs.first(stage));
      multiply_rows<T>(changes, shared.other, 16 * warp, shared.pairs.second(stage));
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int r = i / 2, column = 8 * n + 2 * t + i % 2;
          const bool is_kept =
              dropout.threshold == 0 || (kept[r] >> (first % 64 + column) & 1) != 0;
          float &product = products.at[0][n][i], &change = changes.at[0][n][i];
          const WeightGradient found =
              differentiate(scores, stats[r], first_row + g + 8 * r, first + column,
                            spans[r].has(first + column), is_kept, product, change);
          product = found.of_product;
          change = found.change;
          biases.add(found, r, first_row + g + 8 * r, first + column);
        }
      if (to_mask != nullptr && mask.key != 0)
        add_mask_gradient(mask, to_mask, changes, spans, first_row, first, args.num_keys);
      multiply_weights<T>(grads, products, shared.pairs.first(stage), 0, shared.scratch);
      __syncthreads();  // the next but one is loaded into what was read
    }
    if (to_mask != nullptr && mask.key == 0)
      add_mask_gradient_of_rows(mask, to_mask, biases.change, first_row, args.num_queries);
    if (args.grad_slopes != nullptr) {
      const double of_slope = biases.of_slope(first_row, stats);
      const int64_t warps = static_cast<int64_t>(tiles) * Shape::kWarps;
      if (threadIdx.x % kWarp == 0) args.grad_slopes[pair * warps + warp_of_head] = of_slope;
    }
    const float scale[1][2] = {{args.scale, args.scale}};
    grads.store(Head<T>(args.grad_query, batch, head, args.num_queries, args.width), first_row, 0,
                scale);
  }
}

}  // namespace dlplug
