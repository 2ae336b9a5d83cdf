// Matrix products whose result stays in registers: C (+)= A B for blocks that fit in the caches.
//
// A is read one element at a time and broadcast, B and C in whole vectors: the columns are padded
// to a multiple of kWidth, rows and depth to nothing. An element is a float, or two bfloat16 that
// are neighbours in the depth as one uint32_t (AVX512_BF16: twice the rate). B may also hold
// bfloat16 or float16 to be multiplied with floats.
//
// Rate: a tile of 6 x 4 vectors does 24 multiply-adds for 10 loads, which keeps both multipliers of
// a Zen 5 core busy: 255-265 of its 267 GFLOP/s from 48 x 64 x 32 on (MKL's sgemm there: 110).
#pragma once

#include "csrc/common/memory.h"

namespace dlplug::DLPLUG_ISA {

// Vectors in a row of a tile, and rows of a tile of that many vectors: as many accumulators as the
// registers hold beside one row of B and one broadcast.
#if defined(__AVX512F__)
constexpr int kMaxVectors = 4;
constexpr int max_rows(int vectors) { return vectors <= 2 ? 12 : vectors == 3 ? 8 : 6; }
#else
constexpr int kMaxVectors = 2;
constexpr int max_rows(int vectors) { return vectors == 1 ? 8 : 6; }
#endif

DLPLUG_INLINE Float broadcast_from(const float* a) { return broadcast(*a); }
template <class T>
DLPLUG_INLINE Float row_from(const T* b) {
  return load(b);
}
DLPLUG_INLINE Float multiply_add(Float a, Float b, Float c) { return fma(a, b, c); }

#if defined(__AVX512F__)
// A pair may be two bfloat16 of a tensor, which lie at any even address.
typedef uint32_t __attribute__((may_alias, aligned(2))) PairInPlace;
DLPLUG_INLINE UInt broadcast_from(const uint32_t* a) { return UInt{} + *(const PairInPlace*)a; }
DLPLUG_INLINE UInt row_from(const uint32_t* b) { return (UInt)_mm512_loadu_si512(b); }
// c += a.low * b.low + a.high * b.high. Spelled out because the intrinsic needs the whole file
// compiled with -mavx512bf16, and the file serves processors without it too.
DLPLUG_INLINE Float multiply_add(UInt a, UInt b, Float c) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
  return c;
}
#endif

// Lines of 64 bytes to be brought into the first cache: with the second alone, packed documents of
// 128 keys take 5 to 12 % longer.
struct Lines {
  const char* first;
  int64_t count;

  void fetch(int64_t line) const { __builtin_prefetch(first + line * 64, 0, 3); }
};

// Element (row, k) of A stands at a[row * stride + k], or transposed at a[k * stride + row].
// `ahead` is fetched meanwhile, a line with each step of the depth: that is free, where a few at
// once between the tiles took 5 % of the time of packed documents of 128 keys. At least one line,
// which is fetched again where the depth has more steps.
template <int kRows, int kVectors, bool kTransposed, class A, class B>
[[gnu::noinline]] static void multiply_tile(const A* a, int64_t a_stride, const B* b,
                                            int64_t b_stride, float* c, int64_t c_stride,
                                            int64_t depth, bool accumulate, Lines ahead) {
  Float sums[kRows][kVectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    ahead.fetch(k < ahead.count ? k : ahead.count - 1);
    decltype(row_from(b)) row[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) row[v] = row_from(b + k * b_stride + v * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      auto factor = broadcast_from(kTransposed ? a + k * a_stride + r : a + r * a_stride + k);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(factor, row[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      // Added at the end, not started from: a sum of sums rounds less than one long sum.
      float* sum = c + r * c_stride + v * kWidth;
      store(sum, accumulate ? load(sum) + sums[r][v] : sums[r][v]);
    }
}

template <class A, class B>
using Tile = void (*)(const A*, int64_t, const B*, int64_t, float*, int64_t, int64_t, bool, Lines);

template <int kVectors, bool kTransposed, class A, class B, int kRows = max_rows(kVectors)>
static Tile<A, B> tile_of(int64_t rows) {
  if constexpr (kRows == 1) {
    return multiply_tile<1, kVectors, kTransposed, A, B>;
  } else {
    if (rows == kRows) return multiply_tile<kRows, kVectors, kTransposed, A, B>;
    return tile_of<kVectors, kTransposed, A, B, kRows - 1>(rows);
  }
}

// What is fetched during the tiles, if nothing else is asked for.
struct NothingAhead {
  Lines take(int64_t) const { return {}; }
};

// Elements [first, first + count) of the depth.
struct Depth {
  int64_t first, count;
};

// What a tile's rows need of the depth, if nothing else is asked for: all of it.
struct WholeDepth {
  int64_t count;

  Depth operator()(int64_t, int64_t) const { return {0, count}; }
};

// All rows of kVectors columns of vectors. The rows are shared out evenly: 50 rows are five tiles
// of 6 and four of 5, where eight of 6 and one of 2 would leave the multipliers waiting.
template <int kVectors, bool kTransposed, class A, class B, class Depths, class Next>
static void multiply_panel(int64_t rows, const A* a, int64_t a_stride, const B* b, int64_t b_stride,
                           float* c, int64_t c_stride, const Depths& depths, bool accumulate,
                           const Next& next) {
  const int64_t tiles = (rows + max_rows(kVectors) - 1) / max_rows(kVectors);
  const int64_t small = rows / tiles, num_large = rows % tiles;
  const auto tile = tile_of<kVectors, kTransposed, A, B>(small);
  const auto large_tile = tile_of<kVectors, kTransposed, A, B>(small + (num_large > 0));
  for (int64_t row = 0, i = 0; i < tiles; ++i) {
    const int64_t taken = small + (i < num_large);
    const Depth depth = depths(row, taken);
    const A* from = a + depth.first * (kTransposed ? a_stride : 1);
    Lines ahead = next.take(depth.count);
    if (ahead.count == 0) ahead = {(const char*)from, 1};
    (i < num_large ? large_tile : tile)(from, a_stride, b + depth.first * b_stride, b_stride, c,
                                        c_stride, depth.count, accumulate, ahead);
    row += taken;
    a += kTransposed ? taken : taken * a_stride;
    c += taken * c_stride;
  }
}

// C (rows, vectors * kWidth) = A (rows, depth) B (depth, vectors * kWidth), added to C where
// `accumulate`. With kTransposed A is stored as (depth, rows). rows >= 1. `depths(row, count)`
// tells which part of the depth the tile of these rows needs; the rest is 0 there. Each tile takes
// of `next` what is fetched meanwhile: `take(most)` gives at most so many lines.
template <bool kTransposed, class A, class B, class Depths, class Next = NothingAhead>
static void multiply(int64_t rows, int64_t vectors, const Depths& depths, const A* a,
                     int64_t a_stride, const B* b, int64_t b_stride, float* c, int64_t c_stride,
                     bool accumulate, const Next& next = {}) {
  for (int64_t panels = (vectors + kMaxVectors - 1) / kMaxVectors; panels > 0; --panels) {
    const int64_t taken = (vectors + panels - 1) / panels;
    auto panel = multiply_panel<1, kTransposed, A, B, Depths, Next>;
    if (taken == 2) panel = multiply_panel<2, kTransposed, A, B, Depths, Next>;
#if defined(__AVX512F__)
    if (taken == 3) panel = multiply_panel<3, kTransposed, A, B, Depths, Next>;
    if (taken == 4) panel = multiply_panel<4, kTransposed, A, B, Depths, Next>;
#endif
    panel(rows, a, a_stride, b, b_stride, c, c_stride, depths, accumulate, next);
    vectors -= taken;
    b += taken * kWidth;
    c += taken * kWidth;
  }
}

}  // namespace dlplug::DLPLUG_ISA
