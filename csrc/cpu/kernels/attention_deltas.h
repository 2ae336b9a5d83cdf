// The deltas of the attention backward: what is subtracted from the gradients of a query's weights,
// their sum with the weights, which is also out_i . grad_out_i.
#pragma once

#include "csrc/cpu/kernels/attention_block.h"
#include "csrc/cpu/kernels/attention_lane_sums.h"

namespace dlplug::DLPLUG_ISA {

// Whether those of a block come from its weights, which is more exact, and `out` is not read: where
// no query sees a key outside of the chunk, and the scores have at most a mask added to them.
DLPLUG_INLINE bool finds_own_deltas(const ScoreBlock& block, Span chunk) {
  const Span seen = keys_seen_by(block.args, block.first, block.first + block.count - 1);
  return block.args.is_plain && chunk.begin <= seen.begin && seen.end <= chunk.end;
}

// The sum of the result's lanes is a . b.
template <class T>
DLPLUG_INLINE Float dot(const T* a, const T* b, int64_t width) {
  Float sums = {};
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) sums = fma(load(a + i), load(b + i), sums);
  if (i < width) sums = fma(load(a + i, (int)(width - i)), load(b + i, (int)(width - i)), sums);
  return sums;
}

// delta_i = out_i . grad_out_i of `rows` rows.
template <class T>
static void find_deltas(const T* out, int64_t out_stride, const T* grad_out, int64_t grad_stride,
                        int64_t rows, int64_t width, float* deltas) {
  for (int64_t first = 0; first < rows; first += kWidth) {
    const int64_t count = rows - first < kWidth ? rows - first : kWidth;
    Float sums[kWidth];
    for (int64_t i = 0; i < count; ++i)
      sums[i] = dot(out + (first + i) * out_stride, grad_out + (first + i) * grad_stride, width);
    for (int64_t i = count; i < kWidth; ++i) sums[i] = Float{};
    const Float totals = sums_of(sums);
    if (count == kWidth)
      store(deltas + first, totals);
    else
      store(deltas + first, totals, (int)count);
  }
}

}  // namespace dlplug::DLPLUG_ISA
