// Products of few queries with keys that are read where they lie: each is a sum over whole vectors
// of both, and kWidth of them end in one vector. For few queries this is faster than to bring
// the keys into the layout of attention_product.h first.
#pragma once

#include "csrc/cpu/kernels/attention_ahead.h"
#include "csrc/cpu/kernels/attention_mask.h"
#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_product.h"

namespace dlplug::DLPLUG_ISA {

// The sum of rows[i] in lane i.
DLPLUG_INLINE Float sums_of(Float (&rows)[kWidth]) {
#pragma GCC unroll 4
  for (int count = kWidth / 2; count > 0; count /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i)
      rows[i] = __builtin_shufflevector(rows[i], rows[i + count], DLPLUG_ZIP_LOW) +
                __builtin_shufflevector(rows[i], rows[i + count], DLPLUG_ZIP_HIGH);
  }
  return rows[0];
}

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

// kRows queries, packed as a first factor with zeros up to whole vectors, times kWidth / kRows
// keys. Lane row * (kWidth / kRows) + key.
template <int kRows, class T, class Element>
DLPLUG_INLINE Float multiply_keys(const Element* queries, int64_t query_stride, const T* keys,
                                  int64_t key_stride, int64_t width) {
  constexpr int kKeys = kWidth / kRows, kEntries = kWidth * 4 / (__is_same(Element, float) ? 4 : 2);
  Float sums[kWidth] = {};
  for (int64_t column = 0; column < width; column += kEntries) {
#pragma GCC unroll 16
    for (int key = 0; key < kKeys; ++key) {
      const auto entries = load_depth(keys + key * key_stride + column, width - column, Element{});
#pragma GCC unroll 4
      for (int row = 0; row < kRows; ++row) {
        Float& sum = sums[row * kKeys + key];
        sum =
            multiply_depth(entries, queries + row * query_stride + column * kWidth / kEntries, sum);
      }
    }
  }
  return sums_of(sums);
}

// The key that is brought in with each: the memory has answered by the time it is read. With 64
// floats a key this reads 26 GB/s where the processor by itself reads 22, of 31.
constexpr int64_t kKeysAhead = 64;

// Products of kRows queries with all keys, rows of `to`; kWidth columns at a time are written.
// `last_keys` is space for kWidth keys of the width.
template <int kRows, class T, class Element>
static void multiply_all_keys(const Element* queries, int64_t query_stride, const T* keys,
                              int64_t key_stride, int64_t num_keys, int64_t width, T* last_keys,
                              float* to, int64_t to_stride, const Ahead& next_keys,
                              const Ahead& values) {
  constexpr int kKeys = kWidth / kRows;
  for (int64_t key = 0; key < num_keys; key += kKeys) {
    for (int64_t i = key; i < key + kKeys && i < num_keys; ++i) {
      next_keys.fetch(i);
      values.fetch(i);
    }
    const T* rows = keys + key * key_stride;
    int64_t stride = key_stride;
    if (key + kKeys > num_keys) {
      for (int64_t i = 0; i < kKeys; ++i)
        for (int64_t j = 0; j < width; ++j)
          last_keys[i * width + j] = key + i < num_keys ? rows[i * key_stride + j] : T{};
      rows = last_keys;
      stride = width;
    }
    const Float products =
        multiply_keys<kRows, T, Element>(queries, query_stride, rows, stride, width);
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row)
      __builtin_memcpy(to + row * to_stride + key, (const float*)&products + row * kKeys,
                       sizeof(float) * kKeys);
  }
}

// Products of any number of queries.
template <class T, class Element>
static void multiply_in_place(int64_t rows, const Element* queries, int64_t query_stride,
                              const T* keys, int64_t key_stride, int64_t num_keys, int64_t width,
                              T* last_keys, float* to, int64_t to_stride, Ahead next_keys,
                              Ahead values) {
  while (rows > 0) {
    const int64_t taken = rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    const auto multiply = taken == 4   ? multiply_all_keys<4, T, Element>
                          : taken == 2 ? multiply_all_keys<2, T, Element>
                                       : multiply_all_keys<1, T, Element>;
    multiply(queries, query_stride, keys, key_stride, num_keys, width, last_keys, to, to_stride,
             next_keys, values);
    next_keys.count = values.count = 0;  // the first queries have brought them
    rows -= taken;
    queries += taken * query_stride;
    to += taken * to_stride;
  }
}

}  // namespace dlplug::DLPLUG_ISA
