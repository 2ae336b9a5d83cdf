// The gradient of the softmax: from a block's products to its weights again, and from the gradient
// of the weights to that of the scores.
#pragma once

#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_scores.h"

namespace dlplug::DLPLUG_ISA {

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
  bool has_weights = false;  // the products are weights already
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
    // count lie near; of others it becomes a factor, which rounds less: e^left by its first terms,
    // since left is half of lse's last digit, at most 0.004.
    const double left = is_blind ? 0.0 : top - lse;
    rest = broadcast((float)left);
    factor = broadcast(is_huge ? 1.0f : (float)(1.0 + left * (1.0 + 0.5 * left)));
  }

  // The delta of a row that sees no further key, in a call that is plain; `products` become
  // weights. It comes of the very numbers that it is subtracted from: where these are alike, less
  // is left of their difference than with out . grad_out.
  __attribute__((always_inline)) void find_delta(float* products, const float* gradients) {
    Float sums = {};
    for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
      const Float weight = weight_at(j, load(products + j), nullptr);
      const Vector found = shown(j, {weight, weight, weight * load(gradients + j), Float{}});
      store(products + j, found.weight);
      sums += found.change;
    }
    delta = broadcast(sum(sums));
    has_weights = true;
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

  __attribute__((always_inline)) Float weight_at(int64_t column, Float product,
                                                 Float* cap_slope) const {
    Float score;
    if constexpr (Row::kIsPlain)
      score = shifted(product, scale, shift, is_huge);
    else
      score = scores.score(column, product, cap_slope) + shift;
    if (is_huge) score += rest;
    return weight_of<Element>(score) * factor;
  }

  __attribute__((always_inline)) Vector at(int64_t column, Float product, Float gradient) {
    Float cap_slope = broadcast(1.0f);
    const Float weight = has_weights ? product : weight_at(column, product, &cap_slope);
    const Float change = weight * (scores.drop(column, gradient) - delta);
    return shown(column, {weight, scores.drop(column, weight), change, change * cap_slope});
  }
};

// A block's weights and gradients of products as the factors of products with them.
template <class Element>
struct GradientFactors {
  Factor<Element> transposed_weights, transposed_grads, grads;
};

// Products become weights in `weights`, and in `grads` the gradients of the weights those of the
// products, but for the factor scale. `deltas` of null: each row's own. In `bias_grads`, unless
// null, those of what is added to the scores, and in `totals`, unless null, the sum of each row's
// weights.
template <class Row>
static GradientFactors<float> differentiate(const ScoreBlock& block, const double* lse,
                                            const float* deltas, float* weights, float* grads,
                                            float* bias_grads, float* totals, float*) {
  for (int64_t row = 0; row < block.count; ++row) {
    float *x = weights + row * block.stride, *g = grads + row * block.stride;
    float* b =
        bias_grads == nullptr || bias_grads == grads ? nullptr : bias_grads + row * block.stride;
    RowGradient<Row, float> gradient(block, row, lse[row], deltas == nullptr ? 0.0f : deltas[row]);
    if (deltas == nullptr) gradient.find_delta(x, g);
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
    const int64_t last = row + num_rows - 1;
    RowGradient<Row, uint32_t> rows[] = {
        {block, row, lse[row], deltas == nullptr ? 0.0f : deltas[row]},
        {block, last, lse[last], deltas == nullptr ? 0.0f : deltas[last]}};
    for (int r = 0; deltas == nullptr && r < num_rows; ++r)
      rows[r].find_delta(x + r * block.stride, g + r * block.stride);
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
