// The gradient of the softmax: from a block's products to its weights again, and from the gradient
// of the weights to that of the scores.
#pragma once

#include "csrc/cpu/kernels/attention_deltas.h"
#include "csrc/cpu/kernels/attention_pairs.h"

namespace dlplug::DLPLUG_ISA {

// A block's weights and gradients of products as the factors of products with them.
template <class Element>
struct GradientFactors {
  Factor<Element> transposed_weights, transposed_grads, grads;
};

template <class Gradient>
static void differentiate_rows(const ScoreBlock& block, Span rows, const double* lse,
                               const float* deltas, const GradientRows& space, float*) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    float *x = space.weights + row * block.stride, *g = space.grads + row * block.stride;
    float* b = space.bias_grads == nullptr ? nullptr : space.bias_grads + row * block.stride;
    Gradient gradient(block, row, lse, deltas, space.cap_slopes_of(row, block.stride));
    const Span vectors = gradient.vectors;
    const Span read = space.bias_grads == nullptr ? block.read(row) : Span{0, block.columns};
    const auto clear_hidden = [&](float* x) __attribute__((always_inline)) {
      fill_zeros(x, read.begin, vectors.begin);
      fill_zeros(x, vectors.end, read.end);
    };
    clear_hidden(x);
    clear_hidden(g);
    if (b != nullptr) clear_hidden(b);
    Float total = {};
    for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
      const auto found = gradient.at(j, load(x + j), load(g + j));
      store(g + j, found.grad);
      if (b != nullptr) store(b + j, found.change);
      if constexpr (Gradient::kHasWeights) continue;
      total += found.weight;
      store(x + j, found.kept);
    }
    if (space.totals != nullptr) space.totals[row] = sum(total);
  }
}

[[maybe_unused]] static GradientFactors<float> factors_of(const ScoreBlock& block,
                                                          const GradientRows& space, float*) {
  const Factor<float> grads = {space.grads, block.stride};
  return {{space.weights, block.stride}, grads, grads};
}

#if defined(__AVX512F__)
// The same for products of bfloat16. Pairs of rows take the place of the first row; `factors` is
// space for pairs of columns.
template <class Gradient>
static void differentiate_rows(const ScoreBlock& block, Span rows, const double* lse,
                               const float* deltas, const GradientRows& space, uint32_t* factors) {
  const int64_t factor_stride = row_of<uint32_t>(block.columns);
  for (int64_t row = rows.begin; row < rows.end; row += 2) {
    const int num_rows = row + 1 < rows.end ? 2 : 1;
    float *x = space.weights + row * block.stride, *g = space.grads + row * block.stride;
    const int64_t last = row + num_rows - 1;
    Gradient both[] = {{block, row, lse, deltas, space.cap_slopes_of(row, block.stride)},
                       {block, last, lse, deltas, space.cap_slopes_of(last, block.stride)}};
    const Span read = space.bias_grads == nullptr ? block.read(row) : Span{0, block.columns};
    Float sums[2] = {};
    for (int64_t column = read.begin & -2 * kWidth; column < read.end; column += 2 * kWidth) {
      Float kept[2][2] = {}, found[2][2] = {};  // of each row and vector
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const int64_t j = column + v * kWidth, at = r * block.stride + j;
          if (r >= num_rows || j >= block.columns) continue;
          Float change = {};
          if (both[r].has(j)) {
            const auto all = both[r].at(j, load(x + at), load(g + at));
            kept[r][v] = all.kept;
            found[r][v] = all.grad;
            change = all.change;
            sums[r] += all.weight;
          }
          if (space.bias_grads != nullptr)
            store(space.bias_grads + row * block.stride + at, change);
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
      if (space.totals != nullptr) space.totals[row + r] = sum(sums[r]);
  }
}

[[maybe_unused]] static GradientFactors<uint32_t> factors_of(const ScoreBlock& block,
                                                             const GradientRows& space,
                                                             uint32_t* factors) {
  return {{(const uint32_t*)space.weights, 2 * block.stride},
          {(const uint32_t*)space.grads, 2 * block.stride},
          {factors, row_of<uint32_t>(block.columns)}};
}
#endif

// All rows of a block. Their own deltas are found for a few rows at a time, which still lie in the
// nearest cache when they are differentiated. `factors` is space for pairs of bfloat16.
template <class Row, class Element>
static GradientFactors<Element> differentiate(const ScoreBlock& block, const double* lse,
                                              float* deltas, bool has_own_deltas,
                                              const GradientRows& space, Element* factors) {
  if (!has_own_deltas) {
    differentiate_rows<RowGradient<Row, Element>>(block, {0, block.count}, lse, deltas, space,
                                                  factors);
    return factors_of(block, space, factors);
  }
  for (int64_t row = 0; row < block.count; row += kWidth) {
    const Span rows = intersect({row, row + kWidth}, {0, block.count});
    find_own_deltas<Row, Element>(block, rows, lse, space, deltas);
    differentiate_rows<WeightedRow<Row>>(block, rows, lse, deltas, space, factors);
  }
  return factors_of(block, space, factors);
}

}  // namespace dlplug::DLPLUG_ISA
