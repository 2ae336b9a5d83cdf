// Dropout within the sweeps over a row: its bits are drawn a few columns ahead of their use, so
// that the processor computes them while it waits for the row.
#pragma once

#include "csrc/common/philox.h"
#include "csrc/cpu/kernels/norm.h"

namespace dlplug::DLPLUG_ISA {

// Columns of which random bits are drawn at once.
constexpr int64_t kDrawn = 2 * kRandomBlock;

// What dropout needs while a row is handled from column 0 on, part by part.
struct DropoutRow {
  RandomKeys keys;
  alignas(64) uint32_t bits[kDrawn];
  int64_t from = -1;  // their first column, a multiple of kDrawn
};

// Not inlined: it is as long as all the rest of a row.
static __attribute__((noinline)) void draw(int64_t row, int64_t j, int64_t width,
                                           DropoutRow& drawn) {
  if (width - j > kRandomBlock)
    random_blocks<2>(drawn.keys, row, j / kRandomBlock, drawn.bits);
  else
    random_blocks<1>(drawn.keys, row, j / kRandomBlock, drawn.bits);
  drawn.from = j;
}

// Of the values of a row from column j on.
template <int kVectors>
DLPLUG_INLINE void drop_out(const Dropout& dropout, int64_t row, int64_t width, int64_t j,
                            DropoutRow& drawn, Float (&values)[kVectors]) {
  const int64_t within = j % kDrawn;
  if (within == 0 && drawn.from != j) draw(row, j, width, drawn);
#pragma GCC unroll 2
  for (int i = 0; i < kVectors; ++i)
    values[i] =
        dropped_out(values[i], drawn.bits + within + i * kWidth, dropout.threshold, dropout.scale);
}

}  // namespace dlplug::DLPLUG_ISA
