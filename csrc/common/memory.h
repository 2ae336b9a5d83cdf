// Vectors to and from memory: float32, bfloat16 and float16 of any alignment, whole vectors, tails
// of n lanes, and streaming stores.
#pragma once

#include "csrc/common/narrow_types.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_loadN(void* address, long size);
extern "C" void __asan_storeN(void* address, long size);
#endif

namespace dlplug::DLPLUG_ISA {

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

// ---- the first n lanes, 0 <= n <= kWidth; the other lanes read as 0 and are not touched ----

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

}  // namespace dlplug::DLPLUG_ISA
