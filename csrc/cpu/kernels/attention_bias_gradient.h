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

// The gradient of the head's slope: the score falls by slope * distance.
static double slope_gradient(const ScoreBlock& block, const float* changes) {
  double total = 0;
  for (int64_t row = 0; row < block.count; ++row) {
    Float sums = {};
    for (int64_t j = 0; j < block.columns; j += kWidth)
      sums = fma(distances(block, row, j), load(changes + row * block.stride + j), sums);
    total -= sum(sums);
  }
  return total;
}

}  // namespace dlplug::DLPLUG_ISA
