// What the gradient of the softmax does with one row of a block, vector by vector: from its
// products to its weights again, and from the gradients of these to those of the products.
#pragma once

#include "csrc/cpu/kernels/attention_scores.h"

namespace dlplug::DLPLUG_ISA {

// Rows of a block, (queries, stride) each: products become weights, and in `grads` the gradients
// of the weights those of the products.
struct GradientRows {
  float *weights, *grads;
  float* bias_grads;  // unless null, those of what is added to the scores
  float* totals;      // unless null, (queries,): the sum of each row's weights
  float* cap_slopes;  // unless null, (kWidth, stride): the softcap's, of rows at work

  __attribute__((always_inline)) float* cap_slopes_of(int64_t row, int64_t stride) const {
    return cap_slopes == nullptr ? nullptr : cap_slopes + row % kWidth * stride;
  }
};

// What is found of a vector of a row.
struct Differentiated {
  Float weight;  // before dropout
  Float kept;    // after it
  Float change;  // gradient of what is added to the scores
  Float grad;    // of the product
};

// The columns of a row that its query sees.
struct SeenRow {
  Span seen, vectors;
  bool is_full;  // all columns of these vectors are seen

  __attribute__((always_inline)) SeenRow(const ScoreBlock& block, int64_t row)
      : seen(block.seen(row)),
        vectors(vectors_of(seen)),
        is_full(vectors.begin == seen.begin && vectors.end == seen.end) {}

  bool has(int64_t column) const { return vectors.begin <= column && column < vectors.end; }

  // 0 in the columns that the query does not see, whatever their keys and values are.
  __attribute__((always_inline)) Differentiated shown(int64_t column,
                                                      const Differentiated& all) const {
    if (__builtin_expect(is_full || covers(seen, column), 1)) return all;
    const Int is_hidden = hidden_lanes(seen, column);
    const auto clear = [&](Float x)
                           __attribute__((always_inline)) { return is_hidden ? Float{} : x; };
    return {clear(all.weight), clear(all.kept), clear(all.change), clear(all.grad)};
  }
};

// The weights e^(score - lse) of a row's products, for products with elements of this type.
template <class Row, class Element>
struct RowWeights : SeenRow {
  bool is_huge;
  Float scale, shift, rest, factor;
  Row scores;

  RowWeights(const ScoreBlock& block, int64_t row, double lse)
      : SeenRow(block, row), scale(broadcast(block.args.scale)), scores(block, row) {
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
};

// A row whose delta is known, from its products.
template <class Row, class Element>
struct RowGradient : RowWeights<Row, Element> {
  static constexpr bool kHasWeights = false;

  Float delta;

  RowGradient(const ScoreBlock& block, int64_t row, const double* lse, const float* deltas,
              const float*)
      : RowWeights<Row, Element>(block, row, lse[row]), delta(broadcast(deltas[row])) {}

  __attribute__((always_inline)) Differentiated at(int64_t column, Float product, Float gradient) {
    Float cap_slope = broadcast(1.0f);
    const Float weight = this->weight_at(column, product, &cap_slope);
    const Float change = weight * (this->scores.drop(column, gradient) - delta);
    return this->shown(column, {weight, this->scores.drop(column, weight), change,
                                change * (cap_slope * this->scale)});
  }
};

// The same where all that needs the products is done: in their place are the weights, negative
// where dropout takes them out, beside gradients after dropout and the softcap's slopes.
template <class Row>
struct WeightedRow : SeenRow {
  static constexpr bool kHasWeights = !Row::kHasFactors;

  Float delta, scale, keep_scale;
  const float* cap_slopes;  // null: 1

  WeightedRow(const ScoreBlock& block, int64_t row, const double*, const float* deltas,
              const float* cap_slopes)
      : SeenRow(block, row),
        delta(broadcast(deltas[row])),
        scale(broadcast(block.args.scale)),
        keep_scale(broadcast(block.args.keep_scale)),
        cap_slopes(cap_slopes) {}

  __attribute__((always_inline)) Differentiated at(int64_t column, Float weight,
                                                   Float gradient) const {
    Float kept = weight, slope = scale;
    if constexpr (Row::kHasFactors) {
      kept = weight < 0.0f ? Float{} : weight * keep_scale;
      weight = abs(weight);
      if (cap_slopes != nullptr) slope *= load(cap_slopes + column);
    }
    const Float change = weight * (gradient - delta);
    return shown(column, {weight, kept, change, change * slope});
  }
};

}  // namespace dlplug::DLPLUG_ISA
