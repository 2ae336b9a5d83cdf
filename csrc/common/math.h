// Elementary functions on vectors.
#pragma once

#include "csrc/common/simd.h"

namespace dlplug::DLPLUG_ISA {

// e^(a - n ln2) for n = a / ln2 rounded to a whole number: the rest is within ln2/2 (Cody and
// Waite), and its power the degree-6 polynomial of Cephes' expf, by pairs of terms (Estrin), which
// need not wait for each other.
DLPLUG_INLINE Float exp_of_rest(Float a, Float n) {
  Float r = fma(n, broadcast(-0x1.62e4p-1f), a);
  r = fma(n, broadcast(-0x1.7f7d1cp-20f), r);
  const Float square = r * r;
  const Float low = fma(broadcast(1.6666665459e-1f), r, broadcast(5.0000001201e-1f));
  const Float middle = fma(broadcast(8.3334519073e-3f), r, broadcast(4.1665795894e-2f));
  const Float high = fma(broadcast(1.9875691500e-4f), r, broadcast(1.3981999507e-3f));
  const Float p = fma(fma(high, square, middle), square, low);
  return fma(p, square, r + 1.0f);
}

// e^a, within 1.3 ulp over the whole range, denormal results included; e^-inf = 0, e^inf = inf, NaN
// stays NaN. 2^n comes in two factors, so that neither leaves the exponent's range.
DLPLUG_INLINE Float exp(Float a) {
  a = a > 89.0f ? broadcast(89.0f) : a;      // e^89 is inf in float32
  a = a < -105.0f ? broadcast(-105.0f) : a;  // e^-105 rounds to 0
  const Float magic = broadcast(0x1.8p23f);  // adding it rounds to a whole number
  Float shifted = fma(a, broadcast(0x1.715476p+0f), magic);
  Int exponent = (Int)shifted - (Int)magic;
  Int half = exponent >> 1;
  Float low = (Float)((half + 127) << 23), high = (Float)((exponent - half + 127) << 23);
  return exp_of_rest(a, shifted - magic) * low * high;
}

// The root of 0 or a normal a >= 0, within 1 ulp: an estimate and a step of Newton's method, for
// where several roots would wait for the one unit that takes them. Infinity becomes NaN.
DLPLUG_INLINE Float quick_sqrt(Float a) {
#if defined(__AVX512F__)
  const __m512 positive = _mm512_max_ps((__m512)a, _mm512_set1_ps(0x1p-126f));
  const Float inverse = (Float)_mm512_rsqrt14_ps(positive);
  const Float root = a * inverse;
  return fma(root * 0.5f, fma(-root, inverse, broadcast(1.0f)), root);
#else
  return sqrt(a);
#endif
}

}  // namespace dlplug::DLPLUG_ISA
