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

// Adds the sums of a part to those of the row, and begins anew.
template <int kCount>
DLPLUG_INLINE void add_part(Float (&sums)[kCount], Float (&part)[kCount]) {
  for (int i = 0; i < kCount; ++i) {
    sums[i] += part[i];
    part[i] = Float{};
  }
}

}  // namespace dlplug::DLPLUG_ISA
