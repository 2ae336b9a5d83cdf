// Brings rows of a tensor, or computed floats, into the layouts that the products read: floats
// here, pairs of bfloat16 in attention_pairs.h. Rows of floats are read where they lie if possible.
#pragma once

#include "csrc/common/memory.h"

namespace dlplug::DLPLUG_ISA {

constexpr int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// Elements that `count` entries of the depth take: floats, or pairs of bfloat16.
template <class Element>
constexpr int64_t depth_of(int64_t count) {
  return __is_same(Element, float) ? count : (count + 1) / 2;
}

// The element of the depth that holds this entry.
template <class Element>
constexpr int64_t first_in_depth(int64_t entry) {
  return __is_same(Element, float) ? entry : entry / 2;
}

// Elements that a row of `width` takes in the space of a factor, as either factor.
template <class Element>
constexpr int64_t row_of(int64_t width) {
  return round_up(depth_of<Element>(width), kWidth);
}

// A factor of a product, and the elements from one of its rows to the next.
template <class Element>
struct Factor {
  const Element* data;
  int64_t stride;
};

// Rows that lie a multiple of this many bytes apart share a few sets of the caches; a copy is
// cheaper than to fetch them again and again. Gaps of none are no gaps.
constexpr int64_t kCrowded = 1024;

template <class T>
DLPLUG_INLINE bool is_crowded(int64_t stride, int64_t width) {
  return stride != width && stride * (int64_t)sizeof(T) % kCrowded == 0;
}

// to[row][column] = from[row][column]; columns up to a multiple of kWidth are filled with zeros.
template <class T>
static Factor<float> copy_rows(const T* from, int64_t stride, int64_t rows, int64_t width,
                               float* to) {
  const int64_t to_stride = round_up(width, kWidth);
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = from + row * stride;
    float* y = to + row * to_stride;
    int64_t column = 0;
    for (; column + kWidth <= width; column += kWidth) store(y + column, load(x + column));
    if (column < width) store(y + column, load(x + column, (int)(width - column)));
  }
  return {to, to_stride};
}

// (rows, width) as the first factor of a product over the width.
template <class T>
static Factor<float> first_factor(const T* from, int64_t stride, int64_t rows, int64_t width,
                                  float* space) {
  if constexpr (__is_same(T, float))
    if (!is_crowded<float>(stride, width)) return {from, stride};
  return copy_rows(from, stride, rows, width, space);
}

// (rows, width) as the second factor of a product over the rows.
template <class T>
static Factor<float> second_factor(const T* from, int64_t stride, int64_t rows, int64_t width,
                                   float* space) {
  if constexpr (__is_same(T, float))
    if (width % kWidth == 0 && !is_crowded<float>(stride, width)) return {from, stride};
  return copy_rows(from, stride, rows, width, space);
}

// ---- transposing kWidth x kWidth blocks ----

#if defined(__AVX512F__)
#define DLPLUG_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define DLPLUG_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX2__)
#define DLPLUG_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define DLPLUG_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define DLPLUG_ZIP_LOW 0, 4, 1, 5
#define DLPLUG_ZIP_HIGH 2, 6, 3, 7
#endif

// Zipping row i with row i + kWidth / 2, log2(kWidth) times, transposes the block.
DLPLUG_INLINE void transpose_block(Float (&rows)[kWidth]) {
  Float zipped[kWidth];
#pragma GCC unroll 4
  for (int step = kWidth; step > 1; step /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; ++i) {
      zipped[2 * i] = __builtin_shufflevector(rows[i], rows[i + kWidth / 2], DLPLUG_ZIP_LOW);
      zipped[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + kWidth / 2], DLPLUG_ZIP_HIGH);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) rows[i] = zipped[i];
  }
}

// The transpose of (rows, width) as the second factor of a product over the width: to[column][row],
// whole blocks of it, zeros where there is nothing.
template <class T>
static void transposed_second_factor(const T* from, int64_t stride, int64_t rows, int64_t width,
                                     float* to, int64_t to_stride) {
  for (int64_t row = 0; row < rows; row += kWidth) {
    for (int64_t column = 0; column < width; column += kWidth) {
      const T* x = from + row * stride + column;
      const int64_t num_rows = rows - row, num_columns = width - column;
      Float block[kWidth];
      if (num_rows >= kWidth && num_columns >= kWidth) {
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; ++i) block[i] = load(x + i * stride);
      } else {
        for (int i = 0; i < kWidth; ++i)
          block[i] = i >= num_rows           ? Float{}
                     : num_columns >= kWidth ? load(x + i * stride)
                                             : load(x + i * stride, (int)num_columns);
      }
      transpose_block(block);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) store(to + (column + i) * to_stride + row, block[i]);
    }
  }
}

// Computed floats (rows, width) times `factor` to rows of T; past the caches, see
// AttentionScores::is_streaming.
template <bool kStream = false, class T>
static void write_rows(const float* from, int64_t stride, int64_t rows, int64_t width, float factor,
                       T* to, int64_t to_stride) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* x = from + row * stride;
    T* y = to + row * to_stride;
    int64_t column = 0;
    if constexpr (kStream)
      for (; column + 2 * kWidth <= width; column += 2 * kWidth)
        stream(y + column, load(x + column) * factor, load(x + column + kWidth) * factor);
    for (; column + kWidth <= width; column += kWidth) store(y + column, load(x + column) * factor);
    const int rest = (int)(width - column);
    if (rest > 0) store(y + column, load(x + column, rest) * factor, rest);
  }
}

}  // namespace dlplug::DLPLUG_ISA
