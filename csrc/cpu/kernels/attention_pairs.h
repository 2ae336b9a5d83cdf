// The layouts of attention_pack.h for products of bfloat16: an element holds two entries that are
// neighbours in the depth, the first in the low half.
#pragma once

#include "csrc/common/types.h"
#include "csrc/cpu/kernels/attention_pack.h"

#if defined(__AVX512F__)

namespace dlplug::DLPLUG_ISA {

// Up to 32 neighbouring bfloat16 as 16 pairs; `count` of them exist.
DLPLUG_INLINE UInt load_pairs(const BFloat16* from, int64_t count) {
  if (count >= 32) return (UInt)_mm512_loadu_si512(from);
  will_read(from, count);
  return (UInt)_mm512_maskz_loadu_epi16((__mmask32)((1ull << count) - 1), from);
}

// 16 bfloat16; `count` of them exist.
DLPLUG_INLINE __m256i load_half(const BFloat16* from, int64_t count) {
  if (count >= 16) return _mm256_loadu_si256((const __m256i*)from);
  will_read(from, count);
  return _mm256_maskz_loadu_epi16((__mmask16)((1u << count) - 1), from);
}

// The first half's entries in the low halves of 16 lanes, the second half's in the high ones.
DLPLUG_INLINE UInt zipped(__m512i halves) {
  const UInt order = (UInt)lanes() | ((UInt)lanes() + 16u) << 16;
  return (UInt)_mm512_permutexvar_epi16((__m512i)order, halves);
}

// 32 floats to bfloat16, rounded to nearest even, in order. See multiply_add for the assembler.
DLPLUG_INLINE __m512i narrow(Float low, Float high) {
  __m512i result;
  __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(result) : "v"(high), "v"(low));
  return result;
}

DLPLUG_INLINE void store_pairs(uint32_t* to, UInt pairs) {
  _mm512_storeu_si512(to, (__m512i)pairs);
}

// Pairs along the width, zeros up to whole vectors.
static Factor<uint32_t> copy_pairs(const BFloat16* from, int64_t stride, int64_t rows,
                                   int64_t width, uint32_t* space) {
  const int64_t space_stride = row_of<uint32_t>(width);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < width; column += 32)
      store_pairs(space + row * space_stride + column / 2,
                  load_pairs(from + row * stride + column, width - column));
  return {space, space_stride};
}

// Pairs along the width; rows of an even number of them are read where they lie.
[[maybe_unused]] static Factor<uint32_t> first_factor(const BFloat16* from, int64_t stride,
                                                      int64_t rows, int64_t width,
                                                      uint32_t* space) {
  if (width % 2 == 0 && stride % 2 == 0 && !is_crowded<BFloat16>(stride, width))
    return {(const uint32_t*)from, stride / 2};
  return copy_pairs(from, stride, rows, width, space);
}

// The same of computed floats, whose width is a multiple of kWidth.
[[maybe_unused]] static Factor<uint32_t> first_factor(const float* from, int64_t stride,
                                                      int64_t rows, int64_t width,
                                                      uint32_t* space) {
  const int64_t space_stride = row_of<uint32_t>(width);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < width; column += 32) {
      const float* x = from + row * stride + column;
      const Float high = column + 16 < width ? load(x + 16) : Float{};
      store_pairs(space + row * space_stride + column / 2, (UInt)narrow(load(x), high));
    }
  return {space, space_stride};
}

// Pairs of rows.
[[maybe_unused]] static Factor<uint32_t> second_factor(const BFloat16* from, int64_t stride,
                                                       int64_t rows, int64_t width,
                                                       uint32_t* space) {
  const int64_t space_stride = round_up(width, kWidth);
  for (int64_t row = 0; row < rows; row += 2) {
    const BFloat16* x = from + row * stride;
    for (int64_t column = 0; column < width; column += 16) {
      const __m256i low = load_half(x + column, width - column);
      const __m256i high =
          row + 1 < rows ? load_half(x + stride + column, width - column) : __m256i{};
      store_pairs(space + row / 2 * space_stride + column,
                  zipped(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)));
    }
  }
  return {space, space_stride};
}

// to[column / 2][row] holds two columns of a row.
[[maybe_unused]] static void transposed_second_factor(const BFloat16* from, int64_t stride,
                                                      int64_t rows, int64_t width, uint32_t* to,
                                                      int64_t to_stride) {
  for (int64_t row = 0; row < rows; row += kWidth) {
    for (int64_t column = 0; column < width; column += 2 * kWidth) {
      const BFloat16* x = from + row * stride + column;
      const int64_t num_rows = rows - row, num_columns = width - column;
      Float block[kWidth];
      if (num_rows >= kWidth && num_columns >= 2 * kWidth) {
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; ++i) block[i] = (Float)load_pairs(x + i * stride, 2 * kWidth);
      } else {
        for (int i = 0; i < kWidth; ++i)
          block[i] = i < num_rows ? (Float)load_pairs(x + i * stride, num_columns) : Float{};
      }
      transpose_block(block);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i)
        store_pairs(to + (column / 2 + i) * to_stride + row, (UInt)block[i]);
    }
  }
}

// Computed floats (rows, width), rows of a multiple of kWidth, times `factor` to bfloat16.
template <bool kStream = false>
[[maybe_unused]] static void write_pairs(const float* from, int64_t stride, int64_t rows,
                                         int64_t width, float factor, BFloat16* to,
                                         int64_t to_stride) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* x = from + row * stride;
    int64_t column = 0;
    for (; column + 32 <= width; column += 32) {
      const __m512i both = narrow(load(x + column) * factor, load(x + column + 16) * factor);
      auto* at = (__m512i*)(to + row * to_stride + column);
      if constexpr (kStream)
        _mm512_stream_si512(at, both);
      else
        _mm512_storeu_si512(at, both);
    }
    if (column < width) {
      const int64_t count = width - column;
      const Float high = count > 16 ? load(x + column + 16) * factor : Float{};
      const __m512i both = narrow(load(x + column) * factor, high);
      const auto mask = (__mmask32)((1ull << count) - 1);
      will_write(to + row * to_stride + column, count);
      _mm512_mask_storeu_epi16(to + row * to_stride + column, mask, both);
    }
  }
}

}  // namespace dlplug::DLPLUG_ISA

#endif
