// Vectors to and from memory: float32, bfloat16 and float16 of any alignment, whole vectors, tails
// of n lanes, and streaming stores. Narrowing rounds to nearest, ties to even, as PyTorch does;
// denormals are kept and NaN stays NaN.
#pragma once

#include "csrc/common/simd.h"
#include "csrc/common/types.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_loadN(void* address, long size);
extern "C" void __asan_storeN(void* address, long size);
#endif

namespace dlplug::DLPLUG_ISA {

// ---- bits of the narrow types in registers ----

// GCC 12 splits __builtin_convertvector into halves, hence the instructions by name.
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

// The value's bits, and for every NaN those of one from which rounding up makes no number.
DLPLUG_INLINE UInt bits_for_rounding(Float value) {
#if defined(__AVX512F__)
  // The third answer of the table, a quiet NaN, for both kinds of NaN; else the value.
  const __m512i table = _mm512_set1_epi32(0x11111133);
  return (UInt)_mm512_fixupimm_ps((__m512)value, (__m512)value, table, 0);
#else
  return (UInt)(value != value ? (Int)(UInt{} + 0x7fc00000u) : (Int)value);
#endif
}

// The bfloat16 stands in the upper half of each lane; the lower half is of no meaning.
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
  // Denormals are converted as integers: as the float of their shifted bits they would be denormal
  // there too, and read as 0 by whoever flushes denormals (AdamW).
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

// ---- whole vectors ----

DLPLUG_INLINE Float load(const float* from) {
  Float value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}

template <class T>
DLPLUG_INLINE Float load(const T* from) {
  UShort bits;
  __builtin_memcpy(&bits, from, sizeof(bits));
  return to_float(bits, T{});
}

DLPLUG_INLINE void store(float* to, Float value) { __builtin_memcpy(to, &value, sizeof(value)); }

template <class T>
DLPLUG_INLINE void store(T* to, Float value) {
  UShort bits = from_float(value, T{});
  __builtin_memcpy(to, &bits, sizeof(bits));
}

// ---- two vectors at once: those of a narrow type fill one register ----

#if defined(__AVX512BW__)
// The upper halves of the lanes, in order.
DLPLUG_INLINE __m512i upper_halves(UInt first, UInt second) {
  const UInt from = ((UInt)lanes() << 2) * 0x10001u + 0x00030001u;
  return _mm512_permutex2var_epi16((__m512i)first, (__m512i)from, (__m512i)second);
}

// kWidth numbers of 16 bits, from the one `begin` on, each as the upper half of a lane.
DLPLUG_INLINE Float as_upper_halves(__m512i numbers, int begin) {
  const UInt from = ((UInt)lanes() + (uint32_t)begin) << 16;
  return (Float)_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, (__m512i)from, numbers);
}
#endif

DLPLUG_INLINE void load(const float* from, Float& first, Float& second) {
  first = load(from);
  second = load(from + kWidth);
}

template <class T>
DLPLUG_INLINE void load(const T* from, Float& first, Float& second) {
#if defined(__AVX512BW__)
  if constexpr (__is_same(T, BFloat16)) {
    __m512i numbers;
    __builtin_memcpy(&numbers, from, sizeof(numbers));
    first = as_upper_halves(numbers, 0);
    second = as_upper_halves(numbers, kWidth);
    return;
  }
#endif
  first = load(from);
  second = load(from + kWidth);
}

// The upper halves of the lanes, as they are.
DLPLUG_INLINE void store_upper(void* to, UInt first, UInt second) {
#if defined(__AVX512BW__)
  const __m512i both = upper_halves(first, second);
  __builtin_memcpy(to, &both, sizeof(both));
#else
  const UShort low = narrow(first >> 16), high = narrow(second >> 16);
  __builtin_memcpy(to, &low, sizeof(low));
  __builtin_memcpy((char*)to + sizeof(low), &high, sizeof(high));
#endif
}

DLPLUG_INLINE void store(float* to, Float first, Float second) {
  store(to, first);
  store(to + kWidth, second);
}

template <class T>
DLPLUG_INLINE void store(T* to, Float first, Float second) {
  if constexpr (__is_same(T, BFloat16)) {
    store_upper(to, rounded_bits(first), rounded_bits(second));
  } else {
    store(to, first);
    store(to + kWidth, second);
  }
}

// ---- the first n lanes, 0 <= n < kWidth; the other lanes read as 0 and are not touched ----

// AddressSanitizer does not look at masked instructions.
template <class T>
DLPLUG_INLINE void will_read([[maybe_unused]] const T* from, [[maybe_unused]] int64_t n) {
#if defined(__SANITIZE_ADDRESS__)
  if (n > 0) __asan_loadN((void*)from, n * sizeof(T));
#endif
}

template <class T>
DLPLUG_INLINE void will_write([[maybe_unused]] T* to, [[maybe_unused]] int64_t n) {
#if defined(__SANITIZE_ADDRESS__)
  if (n > 0) __asan_storeN((void*)to, n * sizeof(T));
#endif
}

DLPLUG_INLINE Float load(const float* from, int n) {
  will_read(from, n);
#if defined(__AVX512F__)
  return (Float)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), from);
#elif defined(__AVX2__)
  return (Float)_mm256_maskload_ps(from, (__m256i)(lanes() < n));
#else
  Float value = {};
  for (int i = 0; i < n; ++i) value[i] = from[i];
  return value;
#endif
}

template <class T>
DLPLUG_INLINE Float load(const T* from, int n) {
  will_read(from, n);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  return to_float((UShort)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), from), T{});
#else
  UShort bits = {};
  for (int i = 0; i < n; ++i) bits[i] = from[i].bits;
  return to_float(bits, T{});
#endif
}

DLPLUG_INLINE void store(float* to, Float value, int n) {
  will_write(to, n);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1), (__m512)value);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, (__m256i)(lanes() < n), (__m256)value);
#else
  for (int i = 0; i < n; ++i) to[i] = value[i];
#endif
}

template <class T>
DLPLUG_INLINE void store(T* to, Float value, int n) {
  will_write(to, n);
  UShort bits = from_float(value, T{});
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  _mm256_mask_storeu_epi16(to, (__mmask16)((1u << n) - 1), (__m256i)bits);
#else
  for (int i = 0; i < n; ++i) to[i].bits = bits[i];
#endif
}

// ---- past the caches: `to` is aligned to the bytes written; fence() before others read it ----

DLPLUG_INLINE void stream(float* to, Float value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, (__m512)value);
#elif defined(__AVX2__)
  _mm256_stream_ps(to, (__m256)value);
#else
  store(to, value);
#endif
}

// Two vectors at once: a narrow one alone is half a cache line, and half lines cost as much as
// whole ones on their way to memory.
template <class T>
DLPLUG_INLINE void stream(T* to, Float first, Float second) {
  if constexpr (sizeof(T) == 4) {
    stream(to, first);
    stream(to + kWidth, second);
#if defined(__AVX512BW__)
  } else if constexpr (__is_same(T, BFloat16)) {
    _mm512_stream_si512((__m512i*)to, upper_halves(rounded_bits(first), rounded_bits(second)));
#endif
  } else {
    const UShort low = from_float(first, T{}), high = from_float(second, T{});
#if defined(__AVX512F__)
    const __m512i whole = _mm512_castsi256_si512((__m256i)low);
    _mm512_stream_si512((__m512i*)to, _mm512_inserti64x4(whole, (__m256i)high, 1));
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i*)to, _mm256_set_m128i((__m128i)high, (__m128i)low));
#else
    __builtin_memcpy(to, &low, sizeof(low));
    __builtin_memcpy(to + kWidth, &high, sizeof(high));
#endif
  }
}

DLPLUG_INLINE void fence() {
#if defined(__AVX2__)
  _mm_sfence();
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
