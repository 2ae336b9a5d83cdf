// Functions of scores: e^x of the softmax, tanh of the softcap, and what becomes of huge scores.
#pragma once

#include "csrc/common/math.h"

namespace dlplug::DLPLUG_ISA {

// e^x for x <= 88, within 1.3 ulp; 0 below -87, where a weight no longer counts and what is
// computed has no meaning; NaN stays. The general exp takes half as long again.
DLPLUG_INLINE Float exp_of_score(Float x) {
  const Int is_zero = x < -87.0f;
  // Adding the number rounds to a whole one whose low bits are ready to be a float's exponent.
  const Float magic = broadcast(0x1.8p23f + 127.0f);
  const Float shifted = fma(x, broadcast(0x1.715476p+0f), magic);
  const Float p = exp_of_rest(x, shifted - magic);
  return is_zero ? Float{} : p * (Float)((Int)shifted << 23);
}

#if defined(__AVX512F__)
// e^x for x <= 88, within 3e-6 of it: of weights that are rounded to bfloat16, which keeps 4e-3,
// in half the time. e^-inf = 0.
DLPLUG_INLINE Float rough_exp_of_score(Float x) {
  const __m512 power = (__m512)(x * 0x1.715476p+0f);                          // of two
  const Float r = (Float)_mm512_reduce_ps(power, _MM_FROUND_TO_NEAREST_INT);  // 0 of -inf
  Float p = broadcast(9.582852945e-3f);
  p = fma(p, r, broadcast(5.590642616e-2f));
  p = fma(p, r, broadcast(2.402409911e-1f));
  p = fma(p, r, broadcast(6.931241751e-1f));
  p = fma(p, r, broadcast(1.0f));
  const __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT);
  return (Float)_mm512_scalef_ps((__m512)p, whole);
}
#endif

// The weight e^x that a product with elements of this type takes.
template <class Element>
DLPLUG_INLINE Float weight_of(Float x) {
#if defined(__AVX512F__)
  if constexpr (!__is_same(Element, float)) return rough_exp_of_score(x);
#endif
  return exp_of_score(x);
}

DLPLUG_INLINE float exp_of_score(float x) { return exp_of_score(broadcast(x))[0]; }

// tanh within 2 ulp: near 0 the polynomial of Cephes' tanhf, else 1 - 2 / (e^2|x| + 1).
DLPLUG_INLINE Float tanh(Float x) {
  const Float size = abs(x), square = x * x;
  Float p = broadcast(-5.70498872745e-3f);
  p = fma(p, square, broadcast(2.06390887954e-2f));
  p = fma(p, square, broadcast(-5.37397155531e-2f));
  p = fma(p, square, broadcast(1.33314422036e-1f));
  p = fma(p, square, broadcast(-3.33332819422e-1f));
  const Float near = fma(p * square, x, x);
  const Float far = 1.0f - 2.0f / (exp(size + size) + 1.0f);
  const UInt sign = (UInt)x & 0x80000000u;
  return size < 0.625f ? near : (Float)((UInt)far | sign);
}

// From here on the digits that the rounding of a score loses decide about its weight.
DLPLUG_INLINE bool is_huge_score(float score) { return score > 65536.0f || score < -65536.0f; }

// x * scale + shift, where shift is minus a score. A huge one has to be rounded before it is
// subtracted, as that one was: what fma keeps of it would be an exponent far from 0.
DLPLUG_INLINE Float shifted(Float x, Float scale, Float shift, bool is_huge) {
  return is_huge ? x * scale + shift : fma(x, scale, shift);
}

}  // namespace dlplug::DLPLUG_ISA
