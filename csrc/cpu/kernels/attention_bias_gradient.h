// Gradients of what is added to the scores, from a block's gradients of the scores: of the mask,
// summed over the axes that it is broadcast over, and of ALiBi's slopes.
#pragma once

#include "csrc/cpu/kernels/attention_scores.h"

namespace dlplug::DLPLUG_ISA {

// Adds a block of rows of `stride` floats, 0 where a key is not seen, to share `share`.
static void add_mask_gradient(const AttentionBackward& args, const ScoreBlock& block,
                              const float* changes, int64_t share) {
  const MaskRows& to = args.grad_mask;
  const int64_t first_key = block.span.begin;
  const int64_t offset = share * args.mask_share + block.batch * to.batch + block.head * to.head +
                         block.first * to.row;
  if (to.key == 0) {
    float* sums = (float*)to.data + offset;
    for (int64_t row = 0; row < block.count; ++row) {
      Float total = {};
      for (int64_t j = 0; j < block.columns; j += kWidth)
        total += load(changes + row * block.stride + j);
      sums[row * to.row] += sum(total);
    }
    return;
  }
  // The last vector may reach past the last key.
  const auto put = [&](auto* at, int64_t column, Float value, bool is_sum)
                       __attribute__((always_inline)) {
                         const int64_t count = args.num_keys - first_key - column;
                         if (is_sum) value += load_some(at, count);
                         if (count >= kWidth)
                           store(at, value);
                         else
                           store(at, value, (int)count);
                       };
  if (to.row == 0) {
    float* sums = (float*)to.data + offset + first_key;
    for (int64_t j = 0; j < block.columns; j += kWidth) {
      Float total = {};
      for (int64_t row = 0; row < block.count; ++row)
        total += load(changes + row * block.stride + j);
      put(sums + j, j, total, true);
    }
    return;
  }
  for (int64_t row = 0; row < block.count; ++row) {
    const float* from = changes + row * block.stride;
    const int64_t at = offset + row * to.row + first_key;
    for (int64_t j = 0; j < block.columns; j += kWidth) {
      if (to.type == MaskType::kFloat32)
        put((float*)to.data + at + j, j, load(from + j), true);
      else if (to.type == MaskType::kBFloat16)
        put((BFloat16*)to.data + at + j, j, load(from + j), false);
      else
        put((Half*)to.data + at + j, j, load(from + j), false);
    }
  }
}

// How far a query lies from the nearest of all keys, or of its document's.
DLPLUG_INLINE int64_t least_distance(const AttentionScores& args, int64_t query) {
  Span keys = {0, args.num_keys};
  if (args.document_shift != nullptr) keys = {args.document_begin[query], args.document_end[query]};
  const int64_t position = position_of(args, query), behind = position - (keys.end - 1);
  return position < keys.begin ? keys.begin - position : behind > 0 ? behind : 0;
}

// The gradient of the head's slope: the score falls by slope * distance. A row's changes sum up to
// delta_i * (1 - the sum of its weights), which is 0 without a sink; but delta_i is as far off as
// the output was rounded, and a query far from all keys would multiply that by its distance. So
// distances count from the least one c_i:
//   sum of change * distance = sum of change * (distance - c_i) + c_i delta_i (1 - sum of weights)
// where slope_gradient_of_deltas is what does not depend on the keys: added here where a block
// holds all of its rows.
static double slope_gradient(const ScoreBlock& block, const float* changes, const float* totals,
                             const float* deltas, bool is_whole) {
  double total = 0;
  for (int64_t row = 0; row < block.count; ++row) {
    const int64_t least = least_distance(block.args, block.first + row);
    const Float nearest = broadcast((float)least);
    Float sums = {};
    for (int64_t j = 0; j < block.columns; j += kWidth)
      sums = fma(distances(block, row, j) - nearest, load(changes + row * block.stride + j), sums);
    total -= sum(sums);
    if (least != 0) total += (double)least * deltas[row] * (totals[row] - is_whole);
  }
  return total;
}

static double slope_gradient_of_deltas(const AttentionBackward& args, int64_t first, int64_t count,
                                       const double* lse, const float* deltas) {
  double total = 0;
  for (int64_t row = 0; row < count; ++row) {
    const int64_t least = least_distance(args, first + row);
    if (least != 0 && lse[row] != -kInfinity) total -= (double)least * deltas[row];
  }
  return total;
}

}  // namespace dlplug::DLPLUG_ISA
