// Mean and variance of a group of rows whose means are known about.
#pragma once

#include "csrc/cpu/kernels/row_parts.h"

namespace dlplug::DLPLUG_ISA {

// One lane per row.
struct Moments {
  Float4 mean, variance;  // RMSNorm: 0 and the mean square
  Float4 shift;           // of the mean, from the number that the squares were taken around
};

// Of rows with about these means, as the first sweep kept them.
template <class Row, int kRows>
DLPLUG_INLINE Moments moments_near(int64_t width, const Row (&at)[kRows], Float4 mean) {
  const float inverse_width = 1.0f / (float)width;
  // The deviations' own sum takes back the rounding error of the first mean.
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

// Squares around a number that is `shift` off the mean add up to 1 + shift^2 / variance times those
// around the mean, and so do their roundings; the ratio may reach width / kWidth. Up to this one
// float32 loses 2 binary digits at any width, and random rows hardly ever have more: a mean of
// 4, 8 or 16 of their numbers is then 4, 6 or 8 of its standard deviations off.
constexpr float kFar = 4.0f;

typedef int32_t Int4 __attribute__((vector_size(16)));

DLPLUG_INLINE bool any(Int4 lanes) {
  typedef int64_t Halves __attribute__((vector_size(16)));
  return (((Halves)lanes)[0] | ((Halves)lanes)[1]) != 0;
}

// Lanes of rows that are not far are 0; those of no row, too. NaN is far: of squares beyond
// float32's range, where those around the mean may be within.
DLPLUG_INLINE Int4 far(const Moments& of) { return ~(of.shift * of.shift <= kFar * of.variance); }

}  // namespace dlplug::DLPLUG_ISA
