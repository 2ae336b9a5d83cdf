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
  constexpr unsigned kInfinity = 0x1fu << 23, kBias = (127 - 15) << 23, kOne = 1u << 23;
  unsigned magnitude = digits + kBias;
  if (digits >= kInfinity) {  // or NaN
    magnitude += kBias;
  } else if (digits < kOne) {
    // A subnormal number, or 0: 2^-14 more and less again. Where a kernel takes float's subnormal
    // numbers for 0, these are none.
    magnitude = __float_as_uint(__uint_as_float(magnitude + kOne) - 0x1p-14f);
  }
  return __uint_as_float(sign | magnitude);
}
inline __half __float2half_rn(float value) { return {static_cast<_Float16>(value)}; }
