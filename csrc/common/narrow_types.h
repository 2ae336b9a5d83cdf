// Vectors of bfloat16 and float16 from and to float32, in registers. Narrowing rounds to nearest,
// ties to even, as PyTorch does; denormals are kept and NaN stays NaN.
#pragma once

#include "csrc/common/simd.h"
#include "csrc/common/types.h"

namespace dlplug::DLPLUG_ISA {

// By intrinsics: GCC 12 splits __builtin_convertvector into halves.
DLPLUG_INLINE UInt widen(UShort bits) {
#if defined(__AVX512F__)
  return (UInt)_mm512_cvtepu16_epi32((__m256i)bits);
#elif defined(__AVX2__)
  return (UInt)_mm256_cvtepu16_epi32((__m128i)bits);
#else
  return __builtin_convertvector(bits, UInt);
#endif
}

// The low 16 bits of each lane.
DLPLUG_INLINE UShort narrow(UInt bits) {
#if defined(__AVX512F__)
  return (UShort)_mm512_cvtepi32_epi16((__m512i)bits);
#elif defined(__AVX2__)
  __m256i low = _mm256_and_si256((__m256i)bits, _mm256_set1_epi32(0xffff));
  __m256i packed = _mm256_packus_epi32(low, low);
  return (UShort)_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
#else
  return __builtin_convertvector(bits, UShort);
#endif
}

DLPLUG_INLINE Float to_float(UShort bits, BFloat16) { return (Float)(widen(bits) << 16); }

// The value's bits; for every NaN those of a quiet one, which stays NaN when it is rounded up.
DLPLUG_INLINE UInt bits_for_rounding(Float value) {
#if defined(__AVX512F__)
  // The third answer of the table, a quiet NaN, for both kinds of NaN; else the value.
  const __m512i table = _mm512_set1_epi32(0x11111133);
  return (UInt)_mm512_fixupimm_ps((__m512)value, (__m512)value, table, 0);
#else
  return (UInt)(value != value ? (Int)(UInt{} + 0x7fc00000u) : (Int)value);
#endif
}

// The value rounded to bfloat16, in the upper half of each lane; the lower half means nothing.
DLPLUG_INLINE UInt rounded_bits(Float value) {
  const UInt bits = bits_for_rounding(value);
#if defined(__AVX512F__)
  const __mmask16 is_odd = _mm512_test_epi32_mask((__m512i)bits, _mm512_set1_epi32(0x10000));
  const __m512i up = (__m512i)(bits + 0x7fffu);
  return (UInt)_mm512_mask_sub_epi32(up, is_odd, up, _mm512_set1_epi32(-1));
#else
  return bits + (0x7fffu + ((bits >> 16) & 1u));
#endif
}

DLPLUG_INLINE UShort from_float(Float value, BFloat16) { return narrow(rounded_bits(value) >> 16); }

DLPLUG_INLINE Float to_float(UShort half, Half) {
#if defined(__AVX512F__)
  return (Float)_mm512_cvtph_ps((__m256i)half);
#elif defined(__AVX2__)
  return (Float)_mm256_cvtph_ps((__m128i)half);
#else
  // Denormals are converted as integers: their shifted bits would be a denormal float32, which is
  // read as 0 where denormals are flushed (AdamW).
  UInt bits = widen(half), size = bits & 0x7fffu;
  Float denormal = __builtin_convertvector((Int)size, Float) * 0x1p-24f;
  Float magnitude = (Int)size < 0x400 ? denormal : (Float)(size << 13) * 0x1p112f;
  UInt special = (UInt)(magnitude >= 65536.0f) & 0x7f800000u;
  return (Float)((UInt)magnitude | special | ((bits & 0x8000u) << 16));
#endif
}

DLPLUG_INLINE UShort from_float(Float value, Half) {
#if defined(__AVX512F__)
  return (UShort)_mm512_cvtps_ph((__m512)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (UShort)_mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  UInt bits = (UInt)value;
  UInt sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  // Adding 0.5 aligns a denormal half's last place with the float's, so the addition rounds it.
  UInt denormal = (UInt)((Float)bits + 0.5f) - 0x3f000000u;
  UInt normal = (bits + (0xc8000fffu + ((bits >> 13) & 1u))) >> 13;
  UInt special = (UInt)((Int)bits > 0x7f800000 ? Int{} + 0x7e00 : Int{} + 0x7c00);
  Int small = (Int)bits < 0x38800000, large = (Int)bits >= 0x47800000;
  return narrow((UInt)(large ? (Int)special : (small ? (Int)denormal : (Int)normal)) | sign);
#endif
}

// What a value becomes when it is stored as T and read again.
DLPLUG_INLINE Float rounded_to(Float value, float) { return value; }
DLPLUG_INLINE Float rounded_to(Float value, BFloat16) {
  return (Float)(rounded_bits(value) & 0xffff0000u);
}
DLPLUG_INLINE Float rounded_to(Float value, Half type) {
  return to_float(from_float(value, type), type);
}

}  // namespace dlplug::DLPLUG_ISA
