// Copies of boxes of a tensor into shared memory by the tensor memory accelerator (sm_90 and
// later). csrc/emulation/tma.h has the same for the CPU.
#pragma once

#include <cuda.h>

#include "csrc/cuda/mbarrier.cuh"

#if defined(DLPLUG_EMULATION)
#include "csrc/emulation/tma.h"
#else

namespace dlplug {

// By one thread: the box of a tensor (batch, heads, rows, columns) that begins at these indices.
// `map` is a kernel's argument. Elements beyond the tensor are 0, and count among the bytes that
// arrive at the barrier.
__device__ inline void load_box(void* to, const CUtensorMap& map, Barrier& barrier, int column,
                                int row, int head, int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(shared_address(&barrier)), "r"(column), "r"(row),
      "r"(head), "r"(batch)
      : "memory");
}

}  // namespace dlplug

#endif
