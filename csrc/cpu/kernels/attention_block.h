// A block of queries and keys: which of the keys its queries see, and in which steps these are
// multiplied.
#pragma once

#include "csrc/common/memory.h"
#include "csrc/cpu/kernels/attention.h"
#include "csrc/cpu/kernels/attention_mask.h"
#include "csrc/cpu/kernels/attention_scratch.h"

namespace dlplug::DLPLUG_ISA {

// The key that a query is beside: with no window it is the last one that a causal query sees.
DLPLUG_INLINE int64_t position_of(const AttentionScores& args, int64_t query) {
  const int64_t position = query + args.query_offset;
  return args.document_shift == nullptr ? position : position + args.document_shift[query];
}

// Both ends never decrease from one query to the next, so a block sees what lies between the begin
// of its first query and the end of its last.
DLPLUG_INLINE Span keys_seen_by(const AttentionScores& args, int64_t query) {
  const int64_t position = position_of(args, query);
  Span span = {position - args.left, position + args.right + 1};
  const int64_t first = args.document_begin != nullptr ? args.document_begin[query] : 0;
  const int64_t last = args.document_end != nullptr ? args.document_end[query] : args.num_keys;
  if (span.begin < first) span.begin = first;
  if (span.begin > last) span.begin = last;  // of a query beyond its document's keys
  if (span.end < first) span.end = first;
  if (span.end > last) span.end = last;
  return span;
}

DLPLUG_INLINE Span keys_seen_by(const AttentionScores& args, int64_t first, int64_t last) {
  return {keys_seen_by(args, first).begin, keys_seen_by(args, last).end};
}

// Columns of whole vectors that hold those of `seen`; none where nothing is seen.
DLPLUG_INLINE Span vectors_of(Span seen) {
  if (seen.end <= seen.begin) return {0, 0};
  return {seen.begin & -kWidth, (seen.end + kWidth - 1) & -kWidth};
}

// Queries of a block that do not all see the same keys are multiplied this many at a time with what
// these see. Products of 16 rows run at 0.95 of the rate of 64, and of packed documents of 128 keys
// 64 rows at a time would compute 12,288 pairs, these 9,216, of 8,256 that count.
constexpr int64_t kStepRows = 16;

// The scores of a block of queries with the keys of `span`, one row per query.
struct ScoreBlock {
  const AttentionScores& args;
  int64_t batch, head;
  int64_t first, count;               // queries
  Span span;                          // keys; begin is a multiple of kWidth
  int64_t columns;                    // of the span, rounded up to whole vectors
  int64_t stride;                     // floats from row to row
  bool is_whole;                      // every query sees every key of the span, but for the mask
  bool has_mask;                      // that hides or changes some score
  int64_t step_rows;                  // queries of a step
  Span steps[kMaxBlock / kStepRows];  // columns that any query of a step sees
  Span rows[kMaxBlock];               // columns that each query sees, unless the block is whole

  ScoreBlock(const AttentionScores& args, int64_t batch, int64_t head, int64_t first, int64_t count,
             Span chunk, int64_t stride)
      : args(args), batch(batch), head(head), first(first), count(count), stride(stride) {
    const Span first_sees = keys_seen_by(args, first);
    const Span last_sees = keys_seen_by(args, first + count - 1);
    span = intersect({first_sees.begin, last_sees.end}, chunk);
    span.begin = span.begin / kWidth * kWidth;  // the chunk's is a multiple of kWidth too
    has_mask = false;
    if (args.mask.type != MaskType::kNone && !is_empty()) {
      const MaskedSpan found = look_through(args, batch, head, first, count, span);
      span = found.span;
      has_mask = found.has_effect;
    }
    columns = (span.end - span.begin + kWidth - 1) / kWidth * kWidth;
    is_whole = last_sees.begin <= span.begin && first_sees.end >= span.end;
    step_rows = is_whole ? count : kStepRows;
    steps[0] = {0, span.end - span.begin};
    if (is_whole || is_empty()) return;
    for (int64_t row = 0; row < count; ++row) {
      const Span keys = intersect(keys_seen_by(args, first + row), span);
      rows[row] = {keys.begin - span.begin, keys.end - span.begin};
    }
    for (int64_t row = 0; row < count; row += step_rows) {
      const int64_t last = (row + step_rows < count ? row + step_rows : count) - 1;
      steps[row / step_rows] = {seen(row).begin, seen(last).end};
    }
  }

  bool is_empty() const { return span.end <= span.begin; }

  // Columns that the query of a row sees, within [0, span.end - span.begin).
  Span seen(int64_t row) const { return is_whole ? Span{0, span.end - span.begin} : rows[row]; }

  // Columns of a row that products may read: of its step, and of all kStepRows keys that take part
  // in sums over queries together. A step that sees nothing may lie between others.
  Span read(int64_t row) const {
    if (is_whole) return {0, columns};
    const Span step = steps[row / kStepRows];
    if (step.end <= step.begin) return {0, columns};
    const int64_t end = (step.end + kStepRows - 1) & -kStepRows;
    return {step.begin & -kStepRows, end < columns ? end : columns};
  }
};

// Whether a query that sees the columns `seen` sees all of the vector at `column`.
DLPLUG_INLINE bool covers(Span seen, int64_t column) {
  return seen.begin <= column && column + kWidth <= seen.end;
}

// -1 in the lanes of the columns that it does not see.
DLPLUG_INLINE Int hidden_lanes(Span seen, int64_t column) {
  const Int index = lanes() + (int32_t)column;
  return (index < (int32_t)seen.begin) | (index >= (int32_t)seen.end);
}

// A vector of a row, -inf in the columns that the query does not see.
DLPLUG_INLINE Float hide(Span seen, int64_t column, Float score) {
  if (covers(seen, column)) return score;
  return hidden_lanes(seen, column) ? broadcast(-kInfinity) : score;
}

DLPLUG_INLINE void fill_zeros(float* x, int64_t begin, int64_t end) {
  for (int64_t column = begin; column < end; column += kWidth) store(x + column, Float{});
}

}  // namespace dlplug::DLPLUG_ISA
