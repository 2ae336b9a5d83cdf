// The deltas of the attention backward: what is subtracted from the gradients of a query's weights,
// their sum with the weights, which is also out_i . grad_out_i.
#pragma once

#include "csrc/cpu/kernels/attention_lane_sums.h"
#include "csrc/cpu/kernels/attention_row_gradient.h"

namespace dlplug::DLPLUG_ISA {

// Whether those of a block of queries come from its weights, which is more exact, and `out` is not
// read: where no query sees a key outside of one chunk.
DLPLUG_INLINE bool finds_own_deltas(const AttentionBackward& args, int64_t first, int64_t count) {
  const Span seen = keys_seen_by(args, first, first + count - 1);
  const int64_t item = seen.begin / args.item_keys * args.item_keys;
  const int64_t chunk = item + (seen.begin - item) / args.chunk * args.chunk;
  return seen.end <= chunk + args.chunk && seen.end <= item + args.item_keys;
}

// The sum of the result's lanes is a . b.
template <class T>
DLPLUG_INLINE Float dot(const T* a, const T* b, int64_t width) {
  Float sums = {};
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) sums = fma(load(a + i), load(b + i), sums);
  if (i < width) sums = fma(load(a + i, (int)(width - i)), load(b + i, (int)(width - i)), sums);
  return sums;
}

// delta_i = out_i . grad_out_i of `rows` rows.
template <class T>
static void find_deltas(const T* out, int64_t out_stride, const T* grad_out, int64_t grad_stride,
                        int64_t rows, int64_t width, float* deltas) {
  for (int64_t first = 0; first < rows; first += kWidth) {
    const int64_t count = rows - first < kWidth ? rows - first : kWidth;
    Float sums[kWidth];
    for (int64_t i = 0; i < count; ++i)
      sums[i] = dot(out + (first + i) * out_stride, grad_out + (first + i) * grad_stride, width);
    for (int64_t i = count; i < kWidth; ++i) sums[i] = Float{};
    store(deltas + first, sums_of(sums), (int)count);
  }
}

// The deltas of `rows` are the sums of weights times their gradients. They come of the very numbers
// that they are subtracted from: where these are alike, less is left of their difference than with
// out . grad_out. What a WeightedRow reads takes the place of products and gradients.
template <class Row, class Element>
static void find_own_deltas(const ScoreBlock& block, Span rows, const double* lse,
                            const GradientRows& space, float* deltas) {
  Float sums[kWidth] = {};
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    float *x = space.weights + row * block.stride, *g = space.grads + row * block.stride;
    float* cap_slopes = space.cap_slopes_of(row, block.stride);
    RowWeights<Row, Element> weights(block, row, lse[row]);
    Float total = {};
    for (int64_t j = weights.vectors.begin; j < weights.vectors.end; j += kWidth) {
      Float cap_slope, gradient = load(g + j);
      Float weight = weights.weight_at(j, load(x + j), &cap_slope);
      if constexpr (Row::kHasFactors) {
        gradient = weights.scores.drop(j, gradient);
        store(g + j, gradient);
        if (cap_slopes != nullptr) store(cap_slopes + j, cap_slope);
      }
      const auto found = weights.shown(j, {weight, Float{}, weight * gradient, Float{}});
      total += found.change;
      weight = found.weight;
      if constexpr (Row::kHasFactors) weight = weights.scores.mark(j, weight);
      store(x + j, weight);
    }
    sums[row - rows.begin] = total;
  }
  store(deltas + rows.begin, sums_of(sums), (int)(rows.end - rows.begin));
}

}  // namespace dlplug::DLPLUG_ISA
