// Random bits for dropout: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
// 1, 2, 3"), a function of (seed, row, column) alone. No state, hence the same mask in any order,
// for any number of threads, in the backward pass, in dlplug/ops/fallback/philox.py and on a GPU.
//
// Layout: columns go in blocks of 64. Column j takes word (j / 16) % 4 of the counter
//   (16 * (j / 64) + j % 16, low half of row, high half of row, 0)   with the seed as the key,
// so that 16 neighbouring counters give four whole vectors without a shuffle. An element is
// dropped when its bits are < threshold = floor(p * 2^32 + 1/2).
#pragma once

#include "csrc/common/simd.h"

namespace dlplug::DLPLUG_ISA {

constexpr int kRandomBlock = 64;

struct Product {
  UInt high, low;
};

DLPLUG_INLINE Product multiply(UInt a, uint32_t b) {
#if defined(__AVX512F__)
  const __m512i factor = _mm512_set1_epi32((int)b);
  const __m512i even = _mm512_mul_epu32((__m512i)a, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
  return {(UInt)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd),
          (UInt)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32))};
#elif defined(__AVX2__)
  const __m256i factor = _mm256_set1_epi32((int)b);
  const __m256i even = _mm256_mul_epu32((__m256i)a, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
  return {(UInt)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa),
          (UInt)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa)};
#else
  Product product;
  for (int i = 0; i < kWidth; ++i) {
    const uint64_t whole = (uint64_t)a[i] * b;
    product.high[i] = (uint32_t)(whole >> 32);
    product.low[i] = (uint32_t)whole;
  }
  return product;
#endif
}

// The key of each round.
struct RandomKeys {
  uint32_t of[10][2];
};

DLPLUG_INLINE RandomKeys random_keys(uint64_t seed) {
  RandomKeys keys;
#pragma GCC unroll 10
  for (uint32_t round = 0; round < 10; ++round) {
    keys.of[round][0] = (uint32_t)seed + round * 0x9e3779b9u;
    keys.of[round][1] = (uint32_t)(seed >> 32) + round * 0xbb67ae85u;
  }
  return keys;
}

// Fills bits[0 .. 64 * kBlocks) for the columns of a row from 64 * block on. Each round waits for
// the one before: with two blocks the processor is less idle, with three the registers run out.
#if defined(__AVX512F__)
template <int kBlocks>
DLPLUG_INLINE void random_blocks(const RandomKeys& keys, int64_t row, int64_t block,
                                 uint32_t* bits) {
  // Even and odd counters in 64-bit lanes of their own: a product is both halves of the next round,
  // and what stands above a lane's lower 32 bits is never read.
  constexpr int kVectors = 2 * kBlocks;
  const __m512i m0 = _mm512_set1_epi64(0xd2511f53), m1 = _mm512_set1_epi64(0xcd9e8d57);
  __m512i c0[kVectors], c1[kVectors], c2[kVectors], c3[kVectors];
  const __m512i column =
      _mm512_add_epi64(_mm512_set1_epi64(16 * block), _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0));
  for (int i = 0; i < kVectors; ++i) {
    c0[i] = _mm512_add_epi64(column, _mm512_set1_epi64(16 * (i / 2) + i % 2));
    c1[i] = _mm512_set1_epi64(row);
    c2[i] = _mm512_set1_epi64((int64_t)((uint64_t)row >> 32));
    c3[i] = _mm512_setzero_si512();
  }
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const __m512i key0 = _mm512_set1_epi32((int)keys.of[round][0]);
    const __m512i key1 = _mm512_set1_epi32((int)keys.of[round][1]);
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const __m512i p0 = _mm512_mul_epu32(c0[i], m0), p1 = _mm512_mul_epu32(c2[i], m1);
      c0[i] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p1, 32), c1[i], key0, 0x96);
      c1[i] = p1;
      c2[i] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p0, 32), c3[i], key1, 0x96);
      c3[i] = p0;
    }
  }
  const __m512i* words[4] = {c0, c1, c2, c3};
#pragma GCC unroll 8
  for (int i = 0; i < 4 * kBlocks; ++i) {
    const __m512i* word = words[i % 4] + i / 4 * 2;
    const __m512i whole = _mm512_mask_blend_epi32(0xaaaa, word[0], _mm512_slli_epi64(word[1], 32));
    __builtin_memcpy(bits + 16 * i, &whole, sizeof(whole));
  }
}
#else
template <int kBlocks>
DLPLUG_INLINE void random_blocks(const RandomKeys& keys, int64_t row, int64_t block,
                                 uint32_t* bits) {
  for (int first = 0; first < 16 * kBlocks; first += kWidth) {
    UInt c0 = (UInt)lanes() + (uint32_t)(16 * block + first);
    UInt c1 = UInt{} + (uint32_t)row, c2 = UInt{} + (uint32_t)((uint64_t)row >> 32), c3 = {};
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const Product p0 = multiply(c0, 0xd2511f53u), p1 = multiply(c2, 0xcd9e8d57u);
      c0 = p1.high ^ c1 ^ keys.of[round][0];
      c1 = p1.low;
      c2 = p0.high ^ c3 ^ keys.of[round][1];
      c3 = p0.low;
    }
    const UInt words[4] = {c0, c1, c2, c3};
    uint32_t* own = bits + first / 16 * kRandomBlock + first % 16;
    for (int word = 0; word < 4; ++word)
      __builtin_memcpy(own + 16 * word, &words[word], sizeof(UInt));
  }
}
#endif

// Fills bits[0 .. 64) for the columns 64 * block .. 64 * block + 63 of a row.
DLPLUG_INLINE void random_block(uint64_t seed, int64_t row, int64_t block, uint32_t* bits) {
  random_blocks<1>(random_keys(seed), row, block, bits);
}

// `value * scale` where the bits are >= threshold, else 0 (also for an infinite or NaN value).
// 1 <= threshold <= 2^32. `bits` holds at least kWidth values.
DLPLUG_INLINE Float dropped_out(Float value, const uint32_t* bits, uint64_t threshold,
                                float scale) {
  UInt drawn;
  __builtin_memcpy(&drawn, bits, sizeof(drawn));
  // Compared with threshold - 1, which fits into 32 bits.
  const Int is_kept = (Int)(drawn > (uint32_t)(threshold - 1));
  return (Float)((Int)(value * scale) & is_kept);
}

}  // namespace dlplug::DLPLUG_ISA
