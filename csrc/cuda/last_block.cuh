// Which block of a launch is the last to come to a place in the kernel.
#pragma once

#include <cuda_runtime.h>

namespace dlplug {

// Asked by one thread of each block, once. What a block did before, the last one finds done; a
// value that others have written it reads past its own cache (__ldcg). `counter` is 0 before the
// launch and after it, so that the next one, or a CUDA graph's replay, finds it so.
__device__ inline bool is_last_block(int* counter) {
  __threadfence();
  const bool is_last = atomicAdd(counter, 1) == static_cast<int>(gridDim.x) - 1;
  __threadfence();
  if (is_last) *counter = 0;
  return is_last;
}

}  // namespace dlplug
