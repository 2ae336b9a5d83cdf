// Scores of a block of queries and keys: which of them count, and what they go through before the
// softmax.
#pragma once

#include "csrc/common/math.h"
#include "csrc/common/memory.h"
#include "csrc/common/philox.h"
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

// e^x for x <= 88, within 1 ulp; 0 below -87, where a weight no longer counts. The general exp
// takes half as long again.
DLPLUG_INLINE Float exp_of_score(Float x) {
  const Float lowest = broadcast(-87.0f);
  const Int is_zero = x < lowest;
  Float a = is_zero ? lowest : x;  // NaN stays
  // Adding the number rounds to a whole one whose low bits are ready to be a float's exponent.
  const Float magic = broadcast(0x1.8p23f + 127.0f);
  const Float shifted = fma(a, broadcast(0x1.715476p+0f), magic);
  const Float n = shifted - magic;
  Float r = fma(n, broadcast(-0x1.62e4p-1f), a);
  r = fma(n, broadcast(-0x1.7f7d1cp-20f), r);
  Float p = broadcast(1.9875691500e-4f);  // as in csrc/common/math.h
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, r * r, r + 1.0f);
  return is_zero ? Float{} : p * (Float)((Int)shifted << 23);
}

#if defined(__AVX512F__)
// e^x for x <= 88, within 3e-6 of it: of weights that are rounded to bfloat16, which keeps 4e-3,
// in half the time. e^-inf = 0.
DLPLUG_INLINE Float rough_exp_of_score(Float x) {
  const __m512 power = (__m512)(x * 0x1.715476p+0f);                          // of two
  const Float r = (Float)_mm512_reduce_ps(power, _MM_FROUND_TO_NEAREST_INT);  // 0 of -inf
  Float p = broadcast(9.582852945e-3f);
  p = fma(p, r, broadcast(5.590642616e-2f));
  p = fma(p, r, broadcast(2.402409911e-1f));
  p = fma(p, r, broadcast(6.931241751e-1f));
  p = fma(p, r, broadcast(1.0f));
  const __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT);
  return (Float)_mm512_scalef_ps((__m512)p, whole);
}
#endif

// The weight e^x that a product with elements of this type takes.
template <class Element>
DLPLUG_INLINE Float weight_of(Float x) {
#if defined(__AVX512F__)
  if constexpr (!__is_same(Element, float)) return rough_exp_of_score(x);
#endif
  return exp_of_score(x);
}

DLPLUG_INLINE float exp_of_score(float x) { return exp_of_score(broadcast(x))[0]; }

// tanh within 2 ulp: near 0 the polynomial of Cephes' tanhf, else 1 - 2 / (e^2|x| + 1).
DLPLUG_INLINE Float tanh(Float x) {
  const Float size = abs(x), square = x * x;
  Float p = broadcast(-5.70498872745e-3f);
  p = fma(p, square, broadcast(2.06390887954e-2f));
  p = fma(p, square, broadcast(-5.37397155531e-2f));
  p = fma(p, square, broadcast(1.33314422036e-1f));
  p = fma(p, square, broadcast(-3.33332819422e-1f));
  const Float near = fma(p * square, x, x);
  const Float far = 1.0f - 2.0f / (exp(size + size) + 1.0f);
  const UInt sign = (UInt)x & 0x80000000u;
  return size < 0.625f ? near : (Float)((UInt)far | sign);
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
    for (int64_t row = 0; row < count; row += step_rows) {
      const int64_t last = (row + step_rows < count ? row + step_rows : count) - 1;
      steps[row / step_rows] = {seen(row).begin, seen(last).end};
    }
  }

  bool is_empty() const { return span.end <= span.begin; }

  // Columns that the query of a row sees, within [0, span.end - span.begin).
  Span seen(int64_t row) const {
    if (is_whole) return {0, span.end - span.begin};
    const Span keys = intersect(keys_seen_by(args, first + row), span);
    return {keys.begin - span.begin, keys.end - span.begin};
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

// |i + query_offset - j| of the vector at `column`.
DLPLUG_INLINE Float distances(const ScoreBlock& block, int64_t row, int64_t column) {
  const int64_t ahead = position_of(block.args, block.first + row) - block.span.begin - column;
  return abs(broadcast((float)ahead) - __builtin_convertvector(lanes(), Float));
}

// What a row's products go through to become scores comes as one of three types, so that the loops
// over the keys of the common ones hold nothing else. Each gives the score of the vector at a
// column, and says whether weights are dropped out.

// The score is the product times the factor scale, which the softmax applies.
struct PlainRow {
  static constexpr bool kIsPlain = true;

  PlainRow(const ScoreBlock&, int64_t) {}

  __attribute__((always_inline)) Float score(int64_t, Float product, Float*) const {
    return product;
  }
  __attribute__((always_inline)) Float drop(int64_t, Float value) { return value; }
};

// Nothing but the mask, entries of T, is added to it.
template <class T>
struct MaskedRow {
  static constexpr bool kIsPlain = false;

  RowMask<T> mask;
  Float scale;
  int64_t first_key;

  MaskedRow(const ScoreBlock& block, int64_t row)
      : mask(block.args, block.batch, block.head, block.first + row),
        scale(broadcast(block.args.scale)),
        first_key(block.span.begin) {}

  __attribute__((always_inline)) Float score(int64_t column, Float product, Float*) const {
    return product * scale + mask.bias(first_key + column);
  }
  __attribute__((always_inline)) Float drop(int64_t, Float value) { return value; }
};

// The dropout mask of one row, made 64 columns at a time as a loop goes through it.
struct RowDropout {
  const ScoreBlock& block;
  int64_t index;  // of the row among all rows of the call
  int64_t made = -1;
  uint32_t bits[kRandomBlock];

  RowDropout(const ScoreBlock& block, int64_t row)
      : block(block),
        index((block.batch * block.args.heads + block.head) * block.args.num_queries + block.first +
              row) {}

  // `value` of the vector at `column`, dropped or scaled up.
  __attribute__((always_inline)) Float apply(int64_t column, Float value) {
    const int64_t key = block.span.begin + column;
    if (key / kRandomBlock != made) {
      made = key / kRandomBlock;
      random_block(block.args.seed, index, made, bits);
    }
    return dropped_out(value, bits + key % kRandomBlock, block.args.threshold,
                       block.args.keep_scale);
  }
};

// Everything that a call may ask for.
struct AnyRow {
  static constexpr bool kIsPlain = false;

  const ScoreBlock& block;
  int64_t row;
  RowDropout dropout;

  AnyRow(const ScoreBlock& block, int64_t row) : block(block), row(row), dropout(block, row) {}

  // `cap_slope`, if asked for, is the softcap's derivative.
  __attribute__((always_inline)) Float score(int64_t column, Float product,
                                             Float* cap_slope) const {
    const AttentionScores& args = block.args;
    Float x = product * args.scale;
    if (args.softcap != 0.0f) {
      const Float t = tanh(x * (1.0f / args.softcap));
      x = t * args.softcap;
      if (cap_slope != nullptr) *cap_slope = fma(-t, t, broadcast(1.0f));
    }
    if (args.alibi_slopes != nullptr)
      x = fma(-broadcast(args.alibi_slopes[block.head]), distances(block, row, column), x);
    if (block.has_mask)
      with_mask_type(args.mask.type, [&](auto entry) __attribute__((always_inline)) {
        const RowMask<decltype(entry)> mask(args, block.batch, block.head, block.first + row);
        x += mask.bias(block.span.begin + column);
      });
    return x;
  }

  // `value` of the vector at `column`, dropped or scaled up.
  __attribute__((always_inline)) Float drop(int64_t column, Float value) {
    return block.args.threshold == 0 ? value : dropout.apply(column, value);
  }
};

// A type to be named in a call.
template <class T>
struct Type {
  using type = T;
};

// Calls `visit` with the type of a block's rows.
template <class Visit>
DLPLUG_INLINE void with_row_type(const ScoreBlock& block, const Visit& visit) {
  if (!block.args.is_plain) return visit(Type<AnyRow>{});
  if (!block.has_mask) return visit(Type<PlainRow>{});
  with_mask_type(block.args.mask.type,
                 [&](auto entry) { visit(Type<MaskedRow<decltype(entry)>>{}); });
}

// From here on the digits that the rounding of a score loses decide about its weight.
DLPLUG_INLINE bool is_huge_score(float score) { return score > 65536.0f || score < -65536.0f; }

// x * scale + shift, where shift is minus a score. A huge one has to be rounded before it is
// subtracted, as that one was: what fma keeps of it would be an exponent far from 0.
DLPLUG_INLINE Float shifted(Float x, Float scale, Float shift, bool is_huge) {
  return is_huge ? x * scale + shift : fma(x, scale, shift);
}

}  // namespace dlplug::DLPLUG_ISA
