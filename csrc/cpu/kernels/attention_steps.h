// Products of a block of queries that leave out what its positions hide, step by step: the upper
// half of a causal mask, the ends of a window, other documents. Sums over keys, or over queries,
// leave it out tile by tile within a step: with packed documents of 128 keys 7 % of their
// multiply-adds.
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

// multiply() of attention_product.h; by tiles of AMX where the call uses them, over all of `depth`.
template <bool kTransposed, class Element, class Depths, class Next>
DLPLUG_INLINE void multiply([[maybe_unused]] const AttentionScores& args, int64_t rows,
                            int64_t vectors, [[maybe_unused]] int64_t depth, const Depths& depths,
                            const Factor<Element>& a, const Factor<Element>& b, float* c,
                            int64_t c_stride, bool accumulate, const Next& next) {
#if defined(__AVX512F__)
  if constexpr (!__is_same(Element, float))
    if (args.use_tiles)
      return multiply_by_tiles<kTransposed>(rows, vectors, depth, a, b, c, c_stride, accumulate,
                                            next);
#endif
  multiply<kTransposed>(rows, vectors, depths, a.data, a.stride, b.data, b.stride, c, c_stride,
                        accumulate, next);
}
template <bool kTransposed, class Element, class Next>
DLPLUG_INLINE void multiply(const AttentionScores& args, int64_t rows, int64_t vectors,
                            int64_t depth, const Factor<Element>& a, const Factor<Element>& b,
                            float* c, int64_t c_stride, bool accumulate, const Next& next) {
  multiply<kTransposed>(args, rows, vectors, depth, WholeDepth{depth}, a, b, c, c_stride,
                        accumulate, next);
}

// Elements of the depth that hold the entries of `span`, counted from the element `first` on.
template <class Element>
DLPLUG_INLINE Depth depth_from(int64_t first, Span span) {
  if (span.end <= span.begin) return {0, 0};
  const int64_t begin = first_in_depth<Element>(span.begin);
  return {begin - first, depth_of<Element>(span.end) - begin};
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
    const auto seen_by = [&](int64_t tile, int64_t count) {
      const Span all{block.seen(row + tile).begin, block.seen(row + tile + count - 1).end};
      return depth_from<Element>(first, intersect(all, keys));
    };
    multiply<false, Element>(block.args, rows, width / kWidth, depth_of<Element>(keys.end) - first,
                             seen_by, {a.data + row * a.stride + first, a.stride},
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

// Those of `queries` that see some of the columns.
DLPLUG_INLINE Span those_that_see(const ScoreBlock& block, Span queries, Span columns) {
  while (queries.begin < queries.end && block.seen(queries.begin).end <= columns.begin)
    ++queries.begin;
  while (queries.begin < queries.end && block.seen(queries.end - 1).begin >= columns.end)
    --queries.end;
  return queries;
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
    const auto that_see = [&](int64_t tile, int64_t count) {
      return depth_from<Element>(first,
                                 those_that_see(block, queries, {key + tile, key + tile + count}));
    };
    multiply<true, Element>(
        block.args, end - key, width / kWidth, depth_of<Element>(queries.end) - first, that_see,
        {a.data + first * a.stride + key, a.stride}, {b.data + first * b.stride, b.stride},
        sums + key * width, width, accumulate, next);
  }
}

}  // namespace dlplug::DLPLUG_ISA
