// Barriers in shared memory at which threads arrive, and the bytes of copies (sm_90 and later).
// csrc/emulation/mbarrier.h has the same for the CPU.
//
// A barrier goes through phases, of parity 0, 1, 0, ... A phase is complete when as many arrivals
// as the barrier was made with have come, and as many bytes as were expected.
#pragma once

#include <cstdint>

#include "csrc/cuda/vector.cuh"

#if defined(DLPLUG_EMULATION)
#include "csrc/emulation/mbarrier.h"
#else

#include "csrc/cuda/mma.cuh"

namespace dlplug {

class Barrier {
 public:
  __device__ void make(unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)),
                 "r"(arrivals)
                 : "memory");
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(this)) : "memory");
  }
  // Without a branch, after which the lanes of a warp might have parted.
  __device__ void arrive_if(bool arrives) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.u32 p, %1, 0;\n"
        "@p mbarrier.arrive.shared::cta.b64 _, [%0];\n"
        "}" ::"r"(shared_address(this)),
        "r"(static_cast<unsigned>(arrives))
        : "memory");
  }
  // Arrives, and makes the phase expect this many bytes more.
  __device__ void arrive_and_expect(unsigned bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(this)),
        "r"(bytes)
        : "memory");
  }
  // Until the phase of this parity is complete. The phase before the first counts as complete.
  __device__ void wait(unsigned parity) {
    unsigned is_over;
    do {
      asm volatile(
          "{\n"
          ".reg .pred p;\n"
          "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
          "selp.u32 %0, 1, 0, p;\n"
          "}"
          : "=r"(is_over)
          : "r"(shared_address(this)), "r"(parity)
          : "memory");
    } while (is_over == 0);
  }

 private:
  uint64_t state_;
};

// After a thread has made barriers, and before the others of the block meet it: so that copies see
// them, too.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace dlplug

#endif
