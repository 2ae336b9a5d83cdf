// Products of few queries with keys that are read where they lie: each is a sum over whole vectors
// of both, and kWidth of them end in one vector. For few queries this is faster than to bring
// the keys into the layout of attention_product.h first.
#pragma once

#include "csrc/cpu/kernels/attention_lane_sums.h"
#include "csrc/cpu/kernels/attention_mask.h"
#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_product.h"

namespace dlplug::DLPLUG_ISA {

// (rows, width) packed as the first factor of a product over the width, zeros behind it.
template <class T>
static void pack_queries(const T* from, int64_t stride, int64_t rows, int64_t width, float* to) {
  copy_rows(from, stride, rows, width, to);
}
#if defined(__AVX512F__)
[[maybe_unused]] static void pack_queries(const BFloat16* from, int64_t stride, int64_t rows,
                                          int64_t width, uint32_t* to) {
  copy_pairs(from, stride, rows, width, to);
}
#endif

// A vector of elements of the depth from a row of a tensor, of which `count` entries are left.
template <class T>
DLPLUG_INLINE Float load_depth(const T* from, int64_t count, float) {
  return load_some(from, count);
}
DLPLUG_INLINE Float multiply_depth(Float a, const float* b, Float c) { return fma(a, load(b), c); }
#if defined(__AVX512F__)
DLPLUG_INLINE UInt load_depth(const BFloat16* from, int64_t count, uint32_t) {
  return load_pairs(from, count);
}
DLPLUG_INLINE Float multiply_depth(UInt a, const uint32_t* b, Float c) {
  return multiply_add(a, row_from(b), c);
}
#endif

// How far behind a row of keys or values the one lies that is brought in with it, in rows: 6 KiB.
// With less the memory has not answered by then; what comes too early leaves the first cache again.
DLPLUG_INLINE int64_t rows_ahead_of(int64_t row_bytes) {
  constexpr int64_t kBytes = 6144, kLeast = 16;
  return row_bytes > kBytes / kLeast ? kLeast : kBytes / (row_bytes > 0 ? row_bytes : 1);
}

constexpr int kLineBytes = 64;

// Brings in what lies there, or nothing where that is beyond the tensor: no address is a fault.
DLPLUG_INLINE void fetch(const void* at) { __builtin_prefetch(at, 0, 3); }

// kRows queries, packed as a first factor with zeros up to whole vectors, times kWidth / kRows
// keys. Lane row * (kWidth / kRows) + key. Few keys at a time are read, each from its begin to its
// end, which is how the processor expects it. For one query the memory is what takes time: with
// kFetch, every line brings in the one `ahead` entries further on, as many at once would be too
// many.
template <int kRows, bool kFetch, class T, class Element>
DLPLUG_INLINE Float multiply_keys(const Element* queries, int64_t query_stride, const T* keys,
                                  int64_t key_stride, int64_t width, int64_t ahead) {
  constexpr int kKeys = kWidth / kRows, kEntries = kWidth * 4 / (__is_same(Element, float) ? 4 : 2);
  constexpr int kTaken = kKeys < 4 ? kKeys : 4, kBlocks = kKeys / kTaken;
  constexpr int kVectorBytes = kEntries * (int)sizeof(T), kLine = kLineBytes / kVectorBytes;
  constexpr int kParts = kRows > 1 ? 1 : kLine > 2 ? kLine : 2;  // vectors, of whole lines
  Float fours[kWidth / 4];
#pragma GCC unroll 4
  for (int block = 0; block < kBlocks; ++block) {
    Float sums[kRows * kTaken] = {};
    const T* rows = keys + block * kTaken * key_stride;
    const auto add = [&](int64_t column, int key, int64_t count) __attribute__((always_inline)) {
      const auto entries = load_depth(rows + key * key_stride + column, count, Element{});
#pragma GCC unroll 4
      for (int row = 0; row < kRows; ++row) {
        const Element* factors = queries + row * query_stride + column * kWidth / kEntries;
        Float& sum = sums[row * kTaken + key];
        sum = multiply_depth(entries, factors, sum);
      }
    };
    int64_t column = 0;
    for (; column + kParts * kEntries <= width; column += kParts * kEntries) {
#pragma GCC unroll 4
      for (int key = 0; key < kTaken; ++key) {
#pragma GCC unroll 8
        for (int part = 0; part < kParts; ++part) {
          const int64_t at = column + part * kEntries;
          if (kFetch && part % kLine == 0) fetch(rows + key * key_stride + at + ahead);
          add(at, key, kEntries);
        }
      }
    }
    for (; column < width; column += kEntries) {
#pragma GCC unroll 4
      for (int key = 0; key < kTaken; ++key) {
        if (kFetch && column / kEntries % kLine == 0)
          fetch(rows + key * key_stride + column + ahead);
        add(column, key, width - column);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows * kTaken / 4; ++i)
      fours[i * kBlocks + block] =
          sums_of_quarters(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]);
  }
  return sums_of_fours(fours);
}

// Products with the last few keys, fewer than multiply_keys takes: with a copy that has zeros
// behind them. A call of its own, so that the loop over all the others stays as it is.
template <int kRows, class T, class Element>
[[gnu::noinline]] static Float multiply_last_keys(const Element* queries, int64_t query_stride,
                                                  const T* keys, int64_t key_stride,
                                                  int64_t num_keys, int64_t width, int64_t ahead,
                                                  T* copy) {
  for (int64_t i = 0; i < kWidth / kRows; ++i)
    for (int64_t j = 0; j < width; ++j)
      copy[i * width + j] = i < num_keys ? keys[i * key_stride + j] : T{};
  for (int64_t i = 0; kRows == 1 && i < num_keys; ++i)  // ahead of the keys, not of their copies
    for (int64_t j = 0; j < width; j += kLineBytes / (int64_t)sizeof(T))
      fetch(keys + i * key_stride + ahead + j);
  return multiply_keys<kRows, false, T, Element>(queries, query_stride, copy, width, width, 0);
}

// Products of kRows queries with all keys, rows of `to`; kWidth columns at a time are written.
// `last_keys` is space for kWidth keys of the width. `before`, if it counts, is called with the
// first of each few keys and their number.
template <int kRows, class T, class Element, class Before>
static void multiply_all_keys(const Element* queries, int64_t query_stride, const T* keys,
                              int64_t key_stride, int64_t num_keys, int64_t width, T* last_keys,
                              float* to, int64_t to_stride, bool before_counts,
                              const Before& before) {
  constexpr int kKeys = kWidth / kRows;
  constexpr bool kFetch = kRows == 1;
  const int64_t ahead = rows_ahead_of(width * (int64_t)sizeof(T)) * key_stride;
  for (int64_t key = 0; key < num_keys; key += kKeys) {
    if (before_counts) before(key, kKeys);
    const T* rows = keys + key * key_stride;
    const Float products =
        key + kKeys <= num_keys
            ? multiply_keys<kRows, kFetch, T, Element>(queries, query_stride, rows, key_stride,
                                                       width, ahead)
            : multiply_last_keys<kRows, T, Element>(queries, query_stride, rows, key_stride,
                                                    num_keys - key, width, ahead, last_keys);
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row)
      __builtin_memcpy(to + row * to_stride + key, (const float*)&products + row * kKeys,
                       sizeof(float) * kKeys);
  }
}

// Products of any number of queries; `before` counts with the first ones.
template <class T, class Element, class Before>
static void multiply_in_place(int64_t rows, const Element* queries, int64_t query_stride,
                              const T* keys, int64_t key_stride, int64_t num_keys, int64_t width,
                              T* last_keys, float* to, int64_t to_stride, const Before& before) {
  for (bool is_first = true; rows > 0; is_first = false) {
    const int64_t taken = rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    const auto multiply = taken == 4   ? multiply_all_keys<4, T, Element, Before>
                          : taken == 2 ? multiply_all_keys<2, T, Element, Before>
                                       : multiply_all_keys<1, T, Element, Before>;
    multiply(queries, query_stride, keys, key_stride, num_keys, width, last_keys, to, to_stride,
             is_first, before);
    rows -= taken;
    queries += taken * query_stride;
    to += taken * to_stride;
  }
}

}  // namespace dlplug::DLPLUG_ISA
