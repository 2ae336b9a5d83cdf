// The vector in which every CPU kernel is written once. A kernel file is compiled once per
// instruction set, with DLPLUG_ISA = scalar | avx2 | avx512 as its namespace. Everything here
// is static and always inlined, and nothing of the C++ standard library is included: an inline
// function of <algorithm> compiled with AVX-512 could be the one copy that the linker keeps for the
// whole library, and an older processor would stop in it.
//
// `scalar` is the compiler's baseline (SSE2 on x86-64, NEON on ARM) through 16-byte vectors.
// Loads and stores stand in memory.h, conversions in narrow_types.h, exp and its like in math.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef DLPLUG_ISA
#error "kernel files are compiled through CMakeLists.txt, which sets DLPLUG_ISA"
#endif

#define DLPLUG_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

namespace dlplug::DLPLUG_ISA {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

// Vectors of kWidth lanes. The compiler's vector extension gives them + - * / < == ?: and casts
// that keep the bits; a comparison gives an Int of 0 and -1.
typedef float Float __attribute__((vector_size(4 * kWidth)));
typedef int32_t Int __attribute__((vector_size(4 * kWidth)));
typedef uint32_t UInt __attribute__((vector_size(4 * kWidth)));
typedef uint16_t UShort __attribute__((vector_size(2 * kWidth)));

DLPLUG_INLINE Float broadcast(float value) { return value - Float{}; }

// 0, 1, 2, ...
DLPLUG_INLINE Int lanes() {
  Int index = {};
  for (int i = 0; i < kWidth; ++i) index[i] = i;
  return index;
}

// a * b + c, rounded once where the instruction set can.
DLPLUG_INLINE Float fma(Float a, Float b, Float c) {
#if defined(__AVX512F__)
  return (Float)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (Float)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// A NaN in either operand is kept, as in torch.maximum.
DLPLUG_INLINE Float max(Float a, Float b) { return a > b ? a : (a != a ? a : b); }
DLPLUG_INLINE Float abs(Float a) { return (Float)((UInt)a & 0x7fffffffu); }

DLPLUG_INLINE Float sqrt(Float a) {
#if defined(__AVX512F__)
  return (Float)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
  return (Float)_mm256_sqrt_ps((__m256)a);
#else
  for (int i = 0; i < kWidth; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}

// The lower and the upper half are combined until one lane is left: a fixed order, hence the same
// bits for any number of threads.
typedef float Float4 __attribute__((vector_size(16)));

DLPLUG_INLINE Float4 quarter(Float a, int which) {
  Float4 part;
  __builtin_memcpy(&part, (const char*)&a + 16 * which, 16);
  return part;
}

DLPLUG_INLINE float sum(Float a) {
#if defined(__AVX512F__)
  Float4 q = (quarter(a, 0) + quarter(a, 2)) + (quarter(a, 1) + quarter(a, 3));
#elif defined(__AVX2__)
  Float4 q = quarter(a, 0) + quarter(a, 1);
#else
  Float4 q = quarter(a, 0);
#endif
  return (q[0] + q[2]) + (q[1] + q[3]);
}

#if defined(__AVX512F__)
// The lower half of each added to its upper half: a's, then b's.
DLPLUG_INLINE Float halves(Float a, Float b) {
  return (Float)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)a, (__m512)b, 0x44) +
         (Float)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)a, (__m512)b, 0xee);
}
#endif

// The sums of up to four vectors, each as by sum(); 0 in the lanes of the result that are left.
template <int kCount>
DLPLUG_INLINE Float4 sums(const Float (&of)[kCount]) {
  static_assert(kCount <= 4);
#if defined(__AVX512F__)
  if constexpr (kCount == 4) {
    const Float half0 = halves(of[0], of[1]), half1 = halves(of[2], of[3]);
    const Float even =
        (Float)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)half0, (__m512)half1, 0x88);
    const Float odd = (Float)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)half0, (__m512)half1, 0xdd);
    Float q = even + odd;  // a quarter of the register for each
    q += (Float)_mm512_maskz_permute_ps(0xffff, (__m512)q, 0x4e);
    q += (Float)_mm512_maskz_permute_ps(0xffff, (__m512)q, 0xb1);
    const UInt from = (UInt)lanes() << 2;
    return quarter((Float)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)from, (__m512)q), 0);
  }
#endif
  Float4 result = {};
  for (int i = 0; i < kCount; ++i) result[i] = sum(of[i]);
  return result;
}

}  // namespace dlplug::DLPLUG_ISA
