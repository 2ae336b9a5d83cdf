// The gradient of the softmax: from a block's products to its weights again, and from the gradient
// of the weights to that of the scores.
#pragma once

#include "csrc/cpu/kernels/attention_dots.h"
#include "csrc/cpu/kernels/attention_scores.h"

namespace dlplug::DLPLUG_ISA {

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
    const Float totals = sums_of(sums);
    if (count == kWidth)
      store(deltas + first, totals);
    else
      store(deltas + first, totals, (int)count);
  }
}

// Products to weights e^(score - lse) in `weights`, and in `grads` the gradient of the weights to
// that of the products, but for the factor scale. In `bias_grads`, unless null, to that of what is
// added to the scores, and in `totals`, unless null, the sum of each row's weights.
template <class Row>
static void differentiate(const ScoreBlock& block, const double* lse, const float* deltas,
                          float* weights, float* grads, float* bias_grads, float* totals) {
  const Float scale = broadcast(block.args.scale);
  for (int64_t row = 0; row < block.count; ++row) {
    float *x = weights + row * block.stride, *g = grads + row * block.stride;
    const Span seen = block.seen(row), vectors = vectors_of(seen);
    fill_zeros(x, 0, vectors.begin);
    fill_zeros(g, 0, vectors.begin);
    fill_zeros(x, vectors.end, block.columns);
    fill_zeros(g, vectors.end, block.columns);
    float* b =
        bias_grads == nullptr || bias_grads == grads ? nullptr : bias_grads + row * block.stride;
    if (b != nullptr) {
      fill_zeros(b, 0, vectors.begin);
      fill_zeros(b, vectors.end, block.columns);
    }
    if (totals != nullptr) totals[row] = 0.0f;
    if (vectors.begin >= vectors.end) continue;

    // Where every score is -inf, lse is too, and no weight counts.
    const bool is_blind = lse[row] == -kInfinity;
    const float top = (float)lse[row];
    const Float shift = broadcast(is_blind ? -kInfinity : -top);
    const bool is_huge = is_huge_score(top);
    // What float leaves of lse: of a huge one it is subtracted, which is exact as the scores that
    // count lie near; of others it becomes a factor, which rounds less.
    const float left = is_blind ? 0.0f : (float)(top - lse[row]);
    const Float rest = broadcast(left);
    const Float factor = exp_of_score(broadcast(is_huge ? 0.0f : left));
    const Float delta = broadcast(deltas[row]);
    Row scores(block, row);
    Float total = {};
    for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
      const Float gradient = load(g + j);
      if constexpr (Row::kIsPlain) {
        Float score = shifted(load(x + j), scale, shift, is_huge);
        if (is_huge) score += rest;
        const Float weight = exp_of_score(hide(seen, j, score)) * factor;
        store(x + j, weight);
        store(g + j, weight * (gradient - delta));
      } else {
        Float cap_slope = broadcast(1.0f);
        Float score = scores.score(j, load(x + j), &cap_slope) + shift;
        if (is_huge) score += rest;
        const Float weight = exp_of_score(hide(seen, j, score)) * factor;
        total += weight;
        store(x + j, scores.drop(j, weight));
        const Float change = weight * (scores.drop(j, gradient) - delta);
        if (b != nullptr) store(b + j, change);
        store(g + j, change * cap_slope);
      }
    }
    if (totals != nullptr) totals[row] = sum(total);
  }
}

}  // namespace dlplug::DLPLUG_ISA
