// AdamW with states of 8 bits, which share scales by blocks of kCompactUnit elements.
//
// m = sign(q) (q / 127)^2 s with a signed byte q, v = (q / 255)^4 s with an unsigned one; s is the
// largest |m| or v of a block. The powers give small values, of which there are most, the finer
// steps (as the dynamic map of Dettmers et al. 2022, arXiv:2110.02861, without its table), and let
// v reach lower than m^2, so that m / sqrt(v) stays bounded.
#pragma once

#include "csrc/common/memory.h"
#include "csrc/cpu/kernels/compact_average.h"

namespace dlplug::DLPLUG_ISA {

constexpr float kSignedSteps = 127.0f, kSteps = 255.0f;

// kWidth bytes as numbers. GCC 12 converts vectors of bytes lane by lane, hence the names.
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
  const Float magic = broadcast(0x1.8p23f);  // adding it rounds to a whole number
  const Int words = (Int)(value + magic) - (Int)magic;
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)bytes, _mm512_cvtepi32_epi8((__m512i)words));
#else
  for (int i = 0; i < kWidth; ++i) static_cast<uint8_t*>(bytes)[i] = (uint8_t)words[i];
#endif
}

template <class Byte>
DLPLUG_INLINE Float load_bytes(const Byte* from, int n) {
  if (n == kWidth) return widened(from);
  Byte bytes[kWidth] = {};
  __builtin_memcpy(bytes, from, n);
  return widened(bytes);
}

DLPLUG_INLINE void store_bytes(void* to, Float value, int n) {
  if (n == kWidth) return narrowed(value, to);
  uint8_t bytes[kWidth];
  narrowed(value, bytes);
  __builtin_memcpy(to, bytes, n);
}

// 1 / scale; 0 where all of a block is 0 or too small for a quotient.
DLPLUG_INLINE float inverse_of(float scale) { return scale >= 0x1p-126f ? 1.0f / scale : 0.0f; }

DLPLUG_INLINE float largest(Float lanes) {
  float result = lanes[0];
  for (int i = 1; i < kWidth; ++i)
    result = lanes[i] > result || lanes[i] != lanes[i] ? lanes[i] : result;
  return result;
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
    Float new_m[kCompactUnit / kWidth], new_v[kCompactUnit / kWidth];
    Float m_max = {}, v_max = {};
    for (int j = 0; j < count; j += kWidth) {
      const int n = count - j < kWidth ? count - j : kWidth;
      const int64_t i = first + j;
      AdamWValues x{};
      const Float q = load_bytes(m + i, n), p = load_bytes(v + i, n);
      x.m = q * abs(q) * m_factor;
      x.v = (p * p) * (p * p) * v_factor;
      const bool is_whole = n == kWidth;
      x.param = is_whole ? load(param + i) : load(param + i, n);
      x.grad = is_whole ? load(grad + i) : load(grad + i, n);
      update_values<false>(c, x);
      is_whole ? store(param + i, x.param) : store(param + i, x.param, n);
      if (c.is_unscaling) is_whole ? store(grad + i, x.grad) : store(grad + i, x.grad, n);
      if (row.average != nullptr) {
        const Float stored = rounded_to(x.param, T{});
        is_whole ? move_average(row, c, i, stored) : move_average(row, c, i, stored, n);
      }
      new_m[j / kWidth] = x.m;
      new_v[j / kWidth] = x.v;
      m_max = max(m_max, abs(x.m));
      v_max = max(v_max, x.v);
    }
    m_scale = largest(m_max);
    v_scale = largest(v_max);
    const Float m_inverse = broadcast(inverse_of(m_scale));
    const Float v_inverse = broadcast(inverse_of(v_scale));
    for (int j = 0; j < count; j += kWidth) {
      const int n = count - j < kWidth ? count - j : kWidth;
      const Float a = new_m[j / kWidth], root = sqrt(abs(a) * m_inverse) * kSignedSteps;
      store_bytes(m + first + j, a < 0.0f ? -root : root, n);
      const Float fourth_root = sqrt(sqrt(new_v[j / kWidth] * v_inverse)) * kSteps;
      store_bytes(v + first + j, fourth_root, n);
    }
  }
}

}  // namespace dlplug::DLPLUG_ISA
