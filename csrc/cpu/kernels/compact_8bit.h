// AdamW with states of 8 bits, which share scales by blocks of kCompactUnit elements.
//
// m = sign(q) (q / 127)^2 s with a signed byte q, v = (q / 255)^4 s with an unsigned one; s is the
// largest |m| or v of a block. The powers give small values, of which there are most, the finer
// steps (as the dynamic map of Dettmers et al. 2022, arXiv:2110.02861, without its table), and let
// v reach lower than m^2, so that m / sqrt(v) stays bounded.
#pragma once

#include "csrc/common/math.h"
#include "csrc/cpu/kernels/compact_average.h"

namespace dlplug::DLPLUG_ISA {

constexpr float kSignedSteps = 127.0f, kSteps = 255.0f;

// kWidth bytes as numbers, by intrinsics: GCC 12 converts vectors of bytes lane by lane.
template <class Byte>
DLPLUG_INLINE Float widened(const Byte* bytes) {
  [[maybe_unused]] constexpr bool kIsSigned = Byte(-1) < Byte(0);
#if defined(__AVX512F__)
  const __m128i packed = _mm_loadu_si128((const __m128i*)bytes);
  const __m512i words = kIsSigned ? _mm512_cvtepi8_epi32(packed) : _mm512_cvtepu8_epi32(packed);
  return (Float)_mm512_cvtepi32_ps(words);
#elif defined(__AVX2__)
  const __m128i packed = _mm_loadl_epi64((const __m128i*)bytes);
  const __m256i words = kIsSigned ? _mm256_cvtepi8_epi32(packed) : _mm256_cvtepu8_epi32(packed);
  return (Float)_mm256_cvtepi32_ps(words);
#else
  Float value;
  for (int i = 0; i < kWidth; ++i) value[i] = bytes[i];
  return value;
#endif
}

// The low byte of each value rounded to a whole number in [-128, 256).
DLPLUG_INLINE void narrowed(Float value, void* bytes) {
  const Int words = (Int)(value + 0x1.8p23f);  // rounds to a whole number, in the lowest bits
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)bytes, _mm512_cvtepi32_epi8((__m512i)words));
#else
  for (int i = 0; i < kWidth; ++i) static_cast<uint8_t*>(bytes)[i] = (uint8_t)words[i];
#endif
}

template <class Byte, class Part, int n>
DLPLUG_INLINE void load_bytes(const Byte* from, Part, Float (&to)[n]) {
  for (int k = 0; k < n; ++k) to[k] = widened(from + k * kWidth);
}
template <class Byte>
DLPLUG_INLINE void load_bytes(const Byte* from, Tail tail, Float (&to)[1]) {
  Byte bytes[kWidth] = {};
  __builtin_memcpy(bytes, from, tail.count);
  to[0] = widened(bytes);
}

template <class Byte, class Part, int n>
DLPLUG_INLINE void store_bytes(Byte* to, const Float (&values)[n], Part) {
  for (int k = 0; k < n; ++k) narrowed(values[k], to + k * kWidth);
}
template <class Byte>
DLPLUG_INLINE void store_bytes(Byte* to, const Float (&values)[1], Tail tail) {
  uint8_t bytes[kWidth];
  narrowed(values[0], bytes);
  __builtin_memcpy(to, bytes, tail.count);
}

// 1 / scale; 0 where all of a block is 0 or too small for a quotient.
DLPLUG_INLINE float inverse_of(float scale) { return scale >= 0x1p-126f ? 1.0f / scale : 0.0f; }

// The larger of two magnitudes, compared by their bits, among which NaN's are the largest: one
// instruction, where max() takes four.
DLPLUG_INLINE UInt larger(UInt a, UInt b) {
#if defined(__AVX512F__)
  return (UInt)_mm512_max_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (UInt)_mm256_max_epu32((__m256i)a, (__m256i)b);
#else
  return a > b ? a : b;
#endif
}

DLPLUG_INLINE float largest(UInt magnitudes) {
  for (int step = kWidth / 2; step > 0; step /= 2)
    magnitudes = larger(magnitudes, __builtin_shuffle(magnitudes, (lanes() + step) & (kWidth - 1)));
  return ((Float)magnitudes)[0];
}

template <class T>
static void update_8bit(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin,
                        int64_t end) {
  const AdamWConstants c = constants_of(options, row.negative_step, row.inverse_root);
  T* param = static_cast<T*>(row.param);
  T* grad = static_cast<T*>(row.grad);
  int8_t* m = static_cast<int8_t*>(row.exp_avg);
  uint8_t* v = static_cast<uint8_t*>(row.exp_avg_sq);
  for (int64_t first = begin; first < end; first += kCompactUnit) {
    const int count = static_cast<int>(end - first < kCompactUnit ? end - first : kCompactUnit);
    float& m_scale = row.exp_avg_scale[first / kCompactUnit];
    float& v_scale = row.exp_avg_sq_scale[first / kCompactUnit];
    const Float m_factor = broadcast(m_scale / (kSignedSteps * kSignedSteps));
    const Float v_factor = broadcast(v_scale / (kSteps * kSteps * kSteps * kSteps));
    alignas(64) float new_m[kCompactUnit], new_v[kCompactUnit];
    UInt m_max = {}, v_max = {};
    over_pairs(count, [&](int64_t j, auto part) __attribute__((always_inline)) {
      constexpr int n = part.kVectors;
      const int64_t i = first + j;
      Float params[n], grads[n], ms[n], vs[n];
      load(param + i, part, params);
      load(grad + i, part, grads);
      load_bytes(m + i, part, ms);
      load_bytes(v + i, part, vs);
#pragma GCC unroll 2
      for (int k = 0; k < n; ++k) {
        AdamWValues x{params[k], grads[k], ms[k] * abs(ms[k]) * m_factor,
                      (vs[k] * vs[k]) * (vs[k] * vs[k]) * v_factor, Float{}};
        update_values<false>(c, x);
        params[k] = x.param;
        grads[k] = x.grad;
        store(new_m + j + k * kWidth, x.m);
        store(new_v + j + k * kWidth, x.v);
        m_max = larger(m_max, (UInt)used(abs(x.m), part));
        v_max = larger(v_max, (UInt)used(abs(x.v), part));
      }
      store(param + i, params, part);
      if (c.is_unscaling) store(grad + i, grads, part);
      if (row.average != nullptr) move_average(row, c, param, i, part);
    });
    m_scale = largest(m_max);
    v_scale = largest(v_max);
    const Float m_inverse = broadcast(inverse_of(m_scale));
    const Float v_inverse = broadcast(inverse_of(v_scale));
    over_pairs(count, [&](int64_t j, auto part) __attribute__((always_inline)) {
      constexpr int n = part.kVectors;
      Float roots[n], fourth_roots[n];
#pragma GCC unroll 2
      for (int k = 0; k < n; ++k) {
        const Float a = load(new_m + j + k * kWidth), b = load(new_v + j + k * kWidth);
        const Float root = quick_sqrt(abs(a) * m_inverse) * kSignedSteps;
        roots[k] = (Float)((UInt)root | ((UInt)a & 0x80000000u));
        fourth_roots[k] = quick_sqrt(quick_sqrt(b * v_inverse)) * kSteps;
      }
      store_bytes(m + first + j, roots, part);
      store_bytes(v + first + j, fourth_roots, part);
    });
  }
}

}  // namespace dlplug::DLPLUG_ISA
