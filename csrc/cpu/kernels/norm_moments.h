// Mean and variance of a group of rows, and the rows normalised by them.
#pragma once

#include "csrc/cpu/kernels/row_parts.h"

namespace dlplug::DLPLUG_ISA {

// One lane per row.
struct Moments {
  Float4 mean, variance;  // RMSNorm: 0 and the mean square
  Float4 shift;           // the mean, less the number that deviations were taken from
};

// (value - mean) * rstd, which gives exactly 0 for a row of equal numbers: value * rstd - mean *
// rstd would not, with an rstd that eps alone bounds.
template <bool kCentered>
DLPLUG_INLINE Float normalised(Float value, float mean, float rstd) {
  if constexpr (!kCentered)
    return value * rstd;
  else
    return (value - mean) * rstd;
}

// The moments from another sweep over the rows, as the first one kept them, by deviations from
// `mean`, which is that of the first sweep with its rounding errors.
template <class Row, int kRows>
DLPLUG_INLINE Moments moments_near(int64_t width, const Row (&at)[kRows], Float4 mean) {
  const float inverse_width = 1.0f / (float)width;
  // The sum of the deviations corrects the rounding error of `mean`.
  Float deviations[kRows][4] = {}, squares[kRows][4] = {}, all_deviations[kRows] = {},
        all_squares[kRows] = {};
  auto sweep = [&](int64_t j, int u, auto part) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Float deviation = used(load(at[r].kept + j, part) - mean[r], part);
      deviations[r][u] += deviation;
      squares[r][u] = fma(deviation, deviation, squares[r][u]);
    }
  };
  over_parts(
      width, 4,
      [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        over_row<4>(end - begin, [&](int64_t j, int u, auto part)
                                     __attribute__((always_inline)) { sweep(begin + j, u, part); });
      },
      [&]() __attribute__((always_inline)) {
        add_parts(all_deviations, deviations);
        add_parts(all_squares, squares);
      });
  const Float4 shift = sums(all_deviations) * inverse_width;
  return {mean + shift, sums(all_squares) * inverse_width - shift * shift, shift};
}

// The largest shift^2 / variance with which the variance of one sweep is kept. Squared deviations
// from a number that is `shift` off the mean add up to 1 + shift^2 / variance times those from the
// mean, and so do their rounding errors; the ratio can reach width / kWidth. At 4 float32 loses 2
// binary digits, whatever the width. Random rows hardly ever have more: the mean of their first 4,
// 8 or 16 numbers would have to be 4, 6 or 8 of its standard deviations off.
constexpr float kFar = 4.0f;

typedef int32_t Int4 __attribute__((vector_size(16)));

DLPLUG_INLINE bool any(Int4 lanes) {
  typedef int64_t Halves __attribute__((vector_size(16)));
  return (((Halves)lanes)[0] | ((Halves)lanes)[1]) != 0;
}

// All bits of a lane where the deviations were taken from too far off the mean, else 0, as in lanes
// without a row. A NaN counts as far: squares have left float32's range, within which those of
// deviations from the mean may still be.
DLPLUG_INLINE Int4 far(const Moments& of) { return ~(of.shift * of.shift <= kFar * of.variance); }

}  // namespace dlplug::DLPLUG_ISA
