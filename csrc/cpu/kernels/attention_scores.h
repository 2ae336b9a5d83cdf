// What the products of a block's queries and keys go through to become scores, and their weights
// afterwards: softcap, ALiBi, mask, dropout.
#pragma once

#include "csrc/common/memory.h"
#include "csrc/common/philox.h"
#include "csrc/cpu/kernels/attention_block.h"
#include "csrc/cpu/kernels/attention_math.h"

namespace dlplug::DLPLUG_ISA {

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
  static constexpr bool kIsPlain = true, kHasFactors = false;

  PlainRow(const ScoreBlock&, int64_t) {}

  __attribute__((always_inline)) Float score(int64_t, Float product, Float*) const {
    return product;
  }
  __attribute__((always_inline)) Float drop(int64_t, Float value) { return value; }
};

// Nothing but the mask, entries of T, is added to it.
template <class T>
struct MaskedRow {
  static constexpr bool kIsPlain = false, kHasFactors = false;

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
  // The softcap's slope or dropout may come between the gradients of scores and of products.
  static constexpr bool kIsPlain = false, kHasFactors = true;

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

  // `weight` of the vector at `column`, negative where it is dropped.
  __attribute__((always_inline)) Float mark(int64_t column, Float weight) {
    return drop(column, broadcast(1.0f)) == 0.0f ? -weight : weight;
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

}  // namespace dlplug::DLPLUG_ISA
