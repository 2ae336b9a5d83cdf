// Shared memory whose size the launch gives.
#pragma once

#include <cuda_runtime.h>

namespace dlplug {

#if defined(DLPLUG_EMULATION)
inline float* dynamic_shared_memory() {
  return static_cast<float*>(emulation::dynamic_shared_memory());
}
#else
__device__ inline float* dynamic_shared_memory() {
  extern __shared__ __align__(16) float memory[];
  return memory;
}
#endif

}  // namespace dlplug
