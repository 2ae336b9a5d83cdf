// float16 for the emulated kernels, by the compiler's own type where that is not slow.
#pragma once

#include "csrc/emulation/cuda_runtime.h"

struct __half {
  _Float16 value;
};

// For any x86-64 processor g++ converts by a call, which takes longer than the products themselves.
inline float __half2float(__half value) {
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const unsigned sign = (bits & 0x8000u) << 16, digits = (bits & 0x7fffu) << 13;
  // Exact, of subnormal numbers too; infinity and NaN have the largest exponent of either type.
  const bool is_finite = digits < 0x1fu << 23;
  const float scaled = __uint_as_float(digits) * 0x1p112f;
  const unsigned magnitude = is_finite ? __float_as_uint(scaled) : digits | 0xffu << 23;
  return __uint_as_float(sign | magnitude);
}
inline __half __float2half_rn(float value) { return {static_cast<_Float16>(value)}; }
