// Sums over long rows, part by part.
#pragma once

#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// Additions to an accumulator before its sum is put by: each rounds as the sum so far asks for, so
// that long chains of them lose digits, and with short vectors the chains of a row are long.
constexpr int64_t kLongestChain = 32;

// body(begin, end) for the parts of a row in which each of a body's `vectors` accumulators takes up
// that many terms; then put_by().
template <class Body, class PutBy>
DLPLUG_INLINE void over_parts(int64_t width, int vectors, Body body, PutBy put_by) {
  const int64_t columns = kLongestChain * vectors * kWidth;
  for (int64_t begin = 0; begin < width; begin += columns) {
    body(begin, begin + columns < width ? begin + columns : width);
    put_by();
  }
}

DLPLUG_INLINE Float added(const Float (&of)[1]) { return of[0]; }
DLPLUG_INLINE Float added(const Float (&of)[2]) { return of[0] + of[1]; }
DLPLUG_INLINE Float added(const Float (&of)[4]) { return (of[0] + of[1]) + (of[2] + of[3]); }

// Adds the accumulators of each row's part to its sum, and begins anew.
template <int kRows, int kCount>
DLPLUG_INLINE void add_parts(Float (&row_sums)[kRows], Float (&parts)[kRows][kCount]) {
  for (int r = 0; r < kRows; ++r) {
    row_sums[r] += added(parts[r]);
    for (int i = 0; i < kCount; ++i) parts[r][i] = Float{};
  }
}

}  // namespace dlplug::DLPLUG_ISA
