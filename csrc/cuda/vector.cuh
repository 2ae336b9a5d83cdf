// Elements as floats, 16 bytes at a time where the rows allow it, and sums over a row's threads.
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

// kCount neighbouring elements of a row, in registers as floats.
template <class T, int kCount>
struct Elements {
  float value[kCount];

  __device__ static Elements load(const T* from) {
    struct alignas(sizeof(T) * kCount) Raw {
      T element[kCount];
    };
    const Raw raw = *reinterpret_cast<const Raw*>(from);
    Elements elements;
#pragma unroll
    for (int i = 0; i < kCount; ++i) elements.value[i] = to_float(raw.element[i]);
    return elements;
  }

  __device__ void store(T* to) const {
    struct alignas(sizeof(T) * kCount) Raw {
      T element[kCount];
    };
    Raw raw;
#pragma unroll
    for (int i = 0; i < kCount; ++i) raw.element[i] = from_float<T>(value[i]);
    *reinterpret_cast<Raw*>(to) = raw;
  }
};

// A weight or bias of x's dtype or float32, or none.
template <class T>
struct Row {
  const void* data;
  bool is_float;
  float absent;

  __device__ float at(int64_t j) const {
    if (data == nullptr) return absent;
    return is_float ? static_cast<const float*>(data)[j] : to_float(static_cast<const T*>(data)[j]);
  }
};

// The sum over the kThreads threads of a row, given to each of them. Rows are one warp, or a whole
// block of them; the additions have one order, so the result is the same on every run.
template <int kThreads>
__device__ inline float row_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  if constexpr (kThreads > 32) {
    __shared__ float warps[kThreads / 32];
    __syncthreads();  // an earlier sum has been read
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0.0f;
#pragma unroll
    for (int i = 0; i < kThreads / 32; ++i) value += warps[i];
  }
  return value;
}

}  // namespace dlplug
