// Elements in memory and as floats in registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "csrc/common/types.h"

namespace dlplug {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(__half value) { return __half2float(value); }

template <class T>
__device__ inline T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}

// As it will be read again.
template <class T>
__device__ inline float rounded_to(float value) {
  return to_float(from_float<T>(value));
}

// Bytes at which kCount neighbours must begin to be read at once; no access is wider than 16.
template <class T, int kCount>
constexpr int kAlignmentOf = sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16;

#if defined(DLPLUG_EMULATION)
using emulation::check_alignment;
#else
__device__ inline void check_alignment(const void*, size_t) {}  // the device faults by itself
#endif

// kCount neighbouring elements as they lie in memory.
template <class T, int kCount>
struct alignas(kAlignmentOf<T, kCount>) Elements {
  T element[kCount];

  __device__ static Elements load(const T* from) {
    check_alignment(from, alignof(Elements));
    return *reinterpret_cast<const Elements*>(from);
  }
  __device__ void store(T* to) const {
    check_alignment(to, alignof(Elements));
    *reinterpret_cast<Elements*>(to) = *this;
  }

  __device__ float at(int i) const { return to_float(element[i]); }
  __device__ void set(int i, float value) { element[i] = from_float<T>(value); }
};

// A weight or bias of type T or float32, or none.
template <class T>
struct Row {
  const void* data;
  bool is_float;

  // kCount of them from column j on, as floats; `absent` where there is none.
  template <int kCount>
  __device__ void load(int64_t j, float absent, float (&values)[kCount]) const {
    if (data == nullptr) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = absent;
    } else if (is_float) {
      const auto found = Elements<float, kCount>::load(static_cast<const float*>(data) + j);
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = found.at(i);
    } else {
      const auto found = Elements<T, kCount>::load(static_cast<const T*>(data) + j);
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = found.at(i);
    }
  }
};

}  // namespace dlplug
