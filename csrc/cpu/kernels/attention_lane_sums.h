// The sums of the lanes of several vectors, each in a lane of one.
#pragma once

#include "csrc/common/simd.h"

namespace dlplug::DLPLUG_ISA {

// Of each quarter of a vector, 128 bits, and the same of another one.
#if defined(__AVX512F__)
#define DLPLUG_QUARTERS_LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define DLPLUG_QUARTERS_HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define DLPLUG_QUARTERS_LEFT 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define DLPLUG_QUARTERS_RIGHT 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif defined(__AVX2__)
#define DLPLUG_QUARTERS_LOW 0, 8, 1, 9, 4, 12, 5, 13
#define DLPLUG_QUARTERS_HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define DLPLUG_QUARTERS_LEFT 0, 1, 8, 9, 4, 5, 12, 13
#define DLPLUG_QUARTERS_RIGHT 2, 3, 10, 11, 6, 7, 14, 15
#else
#define DLPLUG_QUARTERS_LOW 0, 4, 1, 5
#define DLPLUG_QUARTERS_HIGH 2, 6, 3, 7
#define DLPLUG_QUARTERS_LEFT 0, 1, 4, 5
#define DLPLUG_QUARTERS_RIGHT 2, 3, 6, 7
#endif

// The sums of four rows' lanes, quarter by quarter: lane 4 * q + i holds that of quarter q of row
// i. This way the shuffles stay within quarters, where they are cheapest.
DLPLUG_INLINE Float sums_of_quarters(Float a, Float b, Float c, Float d) {
  const Float ab = __builtin_shufflevector(a, b, DLPLUG_QUARTERS_LOW) +
                   __builtin_shufflevector(a, b, DLPLUG_QUARTERS_HIGH);
  const Float cd = __builtin_shufflevector(c, d, DLPLUG_QUARTERS_LOW) +
                   __builtin_shufflevector(c, d, DLPLUG_QUARTERS_HIGH);
  return __builtin_shufflevector(ab, cd, DLPLUG_QUARTERS_LEFT) +
         __builtin_shufflevector(ab, cd, DLPLUG_QUARTERS_RIGHT);
}

// The sum of row i in lane i, from `fours`[i / 4] of sums_of_quarters.
DLPLUG_INLINE Float sums_of_fours(const Float (&fours)[kWidth / 4]) {
#if defined(__AVX512F__)
#define DLPLUG_ADD_QUARTERS(a, b)                                                            \
  (__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) + \
   __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
  const Float low = DLPLUG_ADD_QUARTERS(fours[0], fours[1]);
  const Float high = DLPLUG_ADD_QUARTERS(fours[2], fours[3]);
  return DLPLUG_ADD_QUARTERS(low, high);
#elif defined(__AVX2__)
  return __builtin_shufflevector(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11) +
         __builtin_shufflevector(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15);
#else
  return fours[0];
#endif
}

// The sum of rows[i] in lane i.
DLPLUG_INLINE Float sums_of(const Float (&rows)[kWidth]) {
  Float fours[kWidth / 4];
#pragma GCC unroll 4
  for (int i = 0; i < kWidth / 4; ++i)
    fours[i] = sums_of_quarters(rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]);
  return sums_of_fours(fours);
}

}  // namespace dlplug::DLPLUG_ISA
