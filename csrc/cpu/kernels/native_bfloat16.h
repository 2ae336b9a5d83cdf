// bfloat16 where the processor rounds to it (AVX512_BF16): two vectors at once, by one instruction
// instead of nine. In all else a NativeBFloat16 is a BFloat16.
#pragma once

#include "csrc/common/memory.h"

#if defined(__AVX512BW__)

namespace dlplug::DLPLUG_ISA {

struct NativeBFloat16 : BFloat16 {};

// 32 floats in order, to nearest even. The instruction takes denormals for 0. So where anything has
// become 0, which is rare, and one of those was a denormal, all are rounded without it.
DLPLUG_INLINE __m512i rounded_natively(Float first, Float second) {
  __m512i both;
  // No intrinsic, which needs -mavx512bf16: the kernels serve processors without it, too.
  __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(both) : "v"(first), "v"(second));
  const __mmask32 zeros = _mm512_testn_epi16_mask(both, _mm512_set1_epi16(0x7fff));
  if (__builtin_expect(zeros != 0, 0)) {
    constexpr int kDenormal = 0x20;
    if (_mm512_fpclass_ps_mask((__m512)first, kDenormal) |
        _mm512_fpclass_ps_mask((__m512)second, kDenormal))
      both = upper_halves(rounded_bits(first), rounded_bits(second));
  }
  return both;
}

DLPLUG_INLINE void load(const NativeBFloat16* from, Float& first, Float& second) {
  load((const BFloat16*)from, first, second);
}

DLPLUG_INLINE void store(NativeBFloat16* to, Float first, Float second) {
  const __m512i both = rounded_natively(first, second);
  __builtin_memcpy(to, &both, sizeof(both));
}

DLPLUG_INLINE void stream(NativeBFloat16* to, Float first, Float second) {
  _mm512_stream_si512((__m512i*)to, rounded_natively(first, second));
}

}  // namespace dlplug::DLPLUG_ISA

#endif
