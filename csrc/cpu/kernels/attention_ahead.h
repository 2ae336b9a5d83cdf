// Bringing rows into the cache before they are needed. The processor does so by itself only once it
// has seen some of them, which for a head of 64 rows is late.
#pragma once

#include "csrc/cpu/kernels/attention_scratch.h"

namespace dlplug::DLPLUG_ISA {

// Bytes of each tensor that are brought in at most, so that five of them leave room in the L2
// cache.
constexpr int64_t kMaxAhead = 1 << 16;

// One of `rows` rows, if there is such a one. Inline, because GCC takes a function that does
// nothing else for one that does nothing and drops its calls.
template <class T>
DLPLUG_INLINE void fetch_row(const HeadRows& x, int64_t batch, int64_t head, int64_t row,
                             int64_t rows, int64_t width) {
  constexpr int64_t kLine = 64 / (int64_t)sizeof(T);
  if (row >= rows || row * width * (int64_t)sizeof(T) >= kMaxAhead) return;
  for (int64_t column = 0; column < width; column += kLine)
    __builtin_prefetch(rows_at<const T>(x, batch, head, row) + column, 0, 2);
}

}  // namespace dlplug::DLPLUG_ISA
