// Sums over long rows, in parts that keep the rounding errors small.
#pragma once

#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// Terms that an accumulator takes before it is flushed to the sum of its row. Each addition rounds
// to the size of what was summed so far, so that long chains lose digits; the shorter the vectors,
// the longer the chains of a row.
constexpr int64_t kLongestChain = 32;

// body(begin, end) for each part of a row, in which each of the body's `vectors` accumulators takes
// at most kLongestChain terms; after each of them flush().
template <class Body, class Flush>
DLPLUG_INLINE void over_parts(int64_t width, int vectors, Body body, Flush flush) {
  const int64_t columns = kLongestChain * vectors * kWidth;
  for (int64_t begin = 0; begin < width; begin += columns) {
    body(begin, begin + columns < width ? begin + columns : width);
    flush();
  }
}

DLPLUG_INLINE Float added(const Float (&of)[1]) { return of[0]; }
DLPLUG_INLINE Float added(const Float (&of)[2]) { return of[0] + of[1]; }
DLPLUG_INLINE Float added(const Float (&of)[4]) { return (of[0] + of[1]) + (of[2] + of[3]); }

// The flush: adds the accumulators of each row to its sum, and sets them to 0.
template <int kRows, int kCount>
DLPLUG_INLINE void add_parts(Float (&row_sums)[kRows], Float (&parts)[kRows][kCount]) {
  for (int r = 0; r < kRows; ++r) {
    row_sums[r] += added(parts[r]);
    for (int i = 0; i < kCount; ++i) parts[r][i] = Float{};
  }
}

}  // namespace dlplug::DLPLUG_ISA
