// The gradient of the softmax: from a block's products to its weights again, and from the gradient
// of the weights to that of the scores.
#pragma once

#include "csrc/cpu/kernels/attention_lane_sums.h"
#include "csrc/cpu/kernels/attention_pairs.h"
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

// From a row's products and the gradients of its weights to its weights e^(score - lse), and from
// these gradients to those of the scores; for products with elements of this type.
template <class Row, class Element>
struct RowGradient {
  struct Vector {
    Float weight;  // before dropout
    Float kept;    // after it
    Float change;  // gradient of what is added to the scores
    Float grad;    // of the product, but for the factor scale
  };

  Span seen, vectors;  // columns
  bool is_full;        // all columns of these vectors are seen
  bool is_huge;
  Float scale, shift, rest, factor, delta;
  Row scores;

  RowGradient(const ScoreBlock& block, int64_t row, double lse, float delta)
      : seen(block.seen(row)),
        vectors(vectors_of(seen)),
        is_full(vectors.begin == seen.begin && vectors.end == seen.end),
        scale(broadcast(block.args.scale)),
        delta(broadcast(delta)),
        scores(block, row) {
    // Where every score is -inf, lse is too, and no weight counts.
    const bool is_blind = lse == -kInfinity;
    const float top = (float)lse;
    shift = broadcast(is_blind ? -kInfinity : -top);
    is_huge = is_huge_score(top);
    // What float leaves of lse: of a huge one it is subtracted, which is exact as the scores that
    // count lie near; of others it becomes a factor, which rounds less.
    const float left = is_blind ? 0.0f : (float)(top - lse);
    rest = broadcast(left);
    factor = exp_of_score(broadcast(is_huge ? 0.0f : left));
  }

  bool sees(int64_t column) const { return vectors.begin <= column && column < vectors.end; }

  // 0 in the columns that the query does not see, whatever their keys and values are.
  __attribute__((always_inline)) Vector shown(int64_t column, const Vector& all) const {
    if (__builtin_expect(is_full || covers(seen, column), 1)) return all;
    const Int is_hidden = hidden_lanes(seen, column);
    const auto clear = [&](Float x)
                           __attribute__((always_inline)) { return is_hidden ? Float{} : x; };
    return {clear(all.weight), clear(all.kept), clear(all.change), clear(all.grad)};
  }

  __attribute__((always_inline)) Vector at(int64_t column, Float product, Float gradient) {
    if constexpr (Row::kIsPlain) {
      Float score = shifted(product, scale, shift, is_huge);
      if (is_huge) score += rest;
      const Float weight = weight_of<Element>(score) * factor;
      const Float grad = weight * (gradient - delta);
      return shown(column, {weight, weight, grad, grad});
    } else {
      Float cap_slope = broadcast(1.0f);
      Float score = scores.score(column, product, &cap_slope) + shift;
      if (is_huge) score += rest;
      const Float weight = weight_of<Element>(score) * factor;
      const Float change = weight * (scores.drop(column, gradient) - delta);
      return shown(column, {weight, scores.drop(column, weight), change, change * cap_slope});
    }
  }
};

// A block's weights and gradients of products as the factors of products with them.
template <class Element>
struct GradientFactors {
  Factor<Element> transposed_weights, transposed_grads, grads;
};

// Products become weights in `weights`, and in `grads` the gradients of the weights those of the
// products, but for the factor scale. In `bias_grads`, unless null, those of what is added to the
// scores, and in `totals`, unless null, the sum of each row's weights.
template <class Row>
static GradientFactors<float> differentiate(const ScoreBlock& block, const double* lse,
                                            const float* deltas, float* weights, float* grads,
                                            float* bias_grads, float* totals, float*) {
  for (int64_t row = 0; row < block.count; ++row) {
    float *x = weights + row * block.stride, *g = grads + row * block.stride;
    float* b =
        bias_grads == nullptr || bias_grads == grads ? nullptr : bias_grads + row * block.stride;
    RowGradient<Row, float> gradient(block, row, lse[row], deltas[row]);
    const Span vectors = gradient.vectors;
    float* const written[] = {x, g, b};
    for (float* each : written) {
      if (each == nullptr) continue;
      fill_zeros(each, 0, vectors.begin);
      fill_zeros(each, vectors.end, block.columns);
    }
    Float total = {};
    for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
      const auto found = gradient.at(j, load(x + j), load(g + j));
      total += found.weight;
      store(x + j, found.kept);
      if (b != nullptr) store(b + j, found.change);
      store(g + j, found.grad);
    }
    if (totals != nullptr) totals[row] = sum(total);
  }
  return {{weights, block.stride}, {grads, block.stride}, {grads, block.stride}};
}

#if defined(__AVX512F__)
// The same for products of bfloat16. Pairs of rows take the place of the first row; `factors` is
// space for pairs of columns, and `bias_grads` for more than `grads`.
template <class Row>
static GradientFactors<uint32_t> differentiate(const ScoreBlock& block, const double* lse,
                                               const float* deltas, float* weights, float* grads,
                                               float* bias_grads, float* totals,
                                               uint32_t* factors) {
  const int64_t factor_stride = row_of<uint32_t>(block.columns);
  for (int64_t row = 0; row < block.count; row += 2) {
    const int num_rows = row + 1 < block.count ? 2 : 1;
    float *x = weights + row * block.stride, *g = grads + row * block.stride;
    RowGradient<Row, uint32_t> rows[] = {
        {block, row, lse[row], deltas[row]},
        {block, row + num_rows - 1, lse[row + num_rows - 1], deltas[row + num_rows - 1]}};
    Float sums[2] = {};
    for (int64_t column = 0; column < block.columns; column += 2 * kWidth) {
      Float kept[2][2] = {}, found[2][2] = {};  // of each row and vector
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const int64_t j = column + v * kWidth, at = r * block.stride + j;
          if (r >= num_rows || j >= block.columns) continue;
          Float change = {};
          if (rows[r].sees(j)) {
            const auto all = rows[r].at(j, load(x + at), load(g + at));
            kept[r][v] = all.kept;
            found[r][v] = all.grad;
            change = all.change;
            sums[r] += all.weight;
          }
          if (bias_grads != nullptr) store(bias_grads + row * block.stride + at, change);
        }
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const int64_t j = column + v * kWidth;
        if (j >= block.columns) continue;
        store_pairs((uint32_t*)x + j, zipped(narrow(kept[0][v], kept[1][v])));
        store_pairs((uint32_t*)g + j, zipped(narrow(found[0][v], found[1][v])));
      }
      for (int r = 0; r < num_rows; ++r)
        store_pairs(factors + (row + r) * factor_stride + column / 2,
                    (UInt)narrow(found[r][0], found[r][1]));
    }
    for (int r = 0; r < num_rows; ++r)
      if (totals != nullptr) totals[row + r] = sum(sums[r]);
  }
  return {{(const uint32_t*)weights, 2 * block.stride},
          {(const uint32_t*)grads, 2 * block.stride},
          {factors, factor_stride}};
}
#endif

}  // namespace dlplug::DLPLUG_ISA
