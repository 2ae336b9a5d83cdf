// Products of a block of queries that leave out what its positions hide, step by step: the upper
// half of a causal mask, the ends of a window, other documents.
#pragma once

#include "csrc/cpu/kernels/attention_ahead.h"
#include "csrc/cpu/kernels/attention_only_rows.h"
#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_product.h"
#include "csrc/cpu/kernels/attention_scores.h"
#include "csrc/cpu/kernels/attention_tiles.h"

namespace dlplug::DLPLUG_ISA {

// Brings in more rows: while tiles are multiplied, or between those of AMX.
struct Advance {
  Trickle& ahead;
  Lines take(int64_t most) const { return ahead.take(most); }
  void operator()() const { ahead.advance(); }
};

// multiply() of attention_product.h, by tiles where the call uses them.
template <bool kTransposed, class Element, class Next>
DLPLUG_INLINE void multiply([[maybe_unused]] const AttentionScores& args, int64_t rows,
                            int64_t vectors, int64_t depth, const Factor<Element>& a,
                            const Factor<Element>& b, float* c, int64_t c_stride, bool accumulate,
                            const Next& next) {
#if defined(__AVX512F__)
  if constexpr (!__is_same(Element, float))
    if (args.use_tiles)
      return multiply_by_tiles<kTransposed>(rows, vectors, depth, a, b, c, c_stride, accumulate,
                                            next);
#endif
  multiply<kTransposed>(rows, vectors, depth, a.data, a.stride, b.data, b.stride, c, c_stride,
                        accumulate, next);
}

// Calls visit(row, rows, columns) for each step of a block.
template <class Visit>
DLPLUG_INLINE void over_steps(const ScoreBlock& block, const Visit& visit) {
  for (int64_t row = 0; row < block.count; row += block.step_rows) {
    const int64_t rest = block.count - row;
    visit(row, rest < block.step_rows ? rest : block.step_rows, block.steps[row / block.step_rows]);
  }
}

// Each product asks first whether the block is whole: of short heads most are, and a loop over one
// step would cost 2 % of all.

// `to` (queries, columns) = a (queries, depth) b (depth, columns). What no query of a step sees is
// not written.
template <class Element>
DLPLUG_INLINE void multiply_to_keys(const ScoreBlock& block, const Factor<Element>& a,
                                    int64_t depth, const Factor<Element>& b, float* to,
                                    Trickle& ahead) {
  const Advance next{ahead};
  if (block.is_whole)
    return multiply<false>(block.args, block.count, block.columns / kWidth, depth, a, b, to,
                           block.stride, false, next);
  over_steps(block, [&](int64_t row, int64_t rows, Span seen) {
    const Span columns = vectors_of(seen);
    multiply<false, Element>(block.args, rows, (columns.end - columns.begin) / kWidth, depth,
                             {a.data + row * a.stride, a.stride},
                             {b.data + columns.begin, b.stride},
                             to + row * block.stride + columns.begin, block.stride, false, next);
  });
}

// sums (queries, width) (+)= a (queries, columns) b (keys, width). Keys that no query of a step
// sees are not multiplied, not even by their weight of 0, which would make NaN of NaN and infinity.
// `beside` is space for OnlyRows.
template <class Element>
DLPLUG_INLINE void multiply_by_keys(const ScoreBlock& block, const Factor<Element>& a,
                                    const Factor<Element>& b, int64_t width, Element* beside,
                                    float* sums, bool accumulate, Trickle& ahead) {
  const Advance next{ahead};
  if (block.is_whole) {
    const int64_t num_keys = block.span.end - block.span.begin;
    const OnlyRows<Element> only(b, 0, num_keys, width, beside);
    return multiply<false>(block.args, block.count, width / kWidth, depth_of<Element>(num_keys), a,
                           b, sums, width, accumulate, next);
  }
  over_steps(block, [&](int64_t row, int64_t rows, Span keys) {
    if (keys.end <= keys.begin) keys = {0, 0};
    const OnlyRows<Element> only(b, keys.begin, keys.end, width, beside);
    const int64_t first = first_in_depth<Element>(keys.begin);
    multiply<false, Element>(block.args, rows, width / kWidth, depth_of<Element>(keys.end) - first,
                             {a.data + row * a.stride + first, a.stride},
                             {b.data + first * b.stride, b.stride}, sums + row * width, width,
                             accumulate, next);
  });
}

// The queries [begin, end) of a block that see some of the columns.
static Span queries_that_see(const ScoreBlock& block, Span columns) {
  Span queries{block.count, 0};
  over_steps(block, [&](int64_t row, int64_t rows, Span seen) {
    seen = intersect(seen, columns);
    if (seen.end <= seen.begin) return;
    if (row < queries.begin) queries.begin = row;
    queries.end = row + rows;
  });
  return queries.end == 0 ? Span{0, 0} : queries;
}

// sums (keys, width) (+)= transposed a (queries, columns), b (queries, width).
template <class Element>
DLPLUG_INLINE void multiply_by_queries(const ScoreBlock& block, const Factor<Element>& a,
                                       const Factor<Element>& b, int64_t width, float* sums,
                                       bool accumulate, Trickle& ahead) {
  const Advance next{ahead};
  const int64_t num_keys = block.span.end - block.span.begin;
  if (block.is_whole)
    return multiply<true>(block.args, num_keys, width / kWidth, depth_of<Element>(block.count), a,
                          b, sums, width, accumulate, next);
  for (int64_t key = 0, end; key < num_keys; key = end) {
    const Span queries = queries_that_see(block, {key, key + kStepRows});
    for (end = key + kStepRows; end < num_keys;
         end += kStepRows) {  // all that the same queries see
      const Span others = queries_that_see(block, {end, end + kStepRows});
      if (others.begin != queries.begin || others.end != queries.end) break;
    }
    if (end > num_keys) end = num_keys;
    const int64_t first = depth_of<Element>(queries.begin);
    multiply<true, Element>(
        block.args, end - key, width / kWidth, depth_of<Element>(queries.end) - first,
        {a.data + first * a.stride + key, a.stride}, {b.data + first * b.stride, b.stride},
        sums + key * width, width, accumulate, next);
  }
}

}  // namespace dlplug::DLPLUG_ISA
