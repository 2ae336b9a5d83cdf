// csrc/cuda/mbarrier.cuh for the emulated kernels: the state of a barrier as the PTX ISA tells it,
// in the 8 bytes that it has in shared memory.
#pragma once

#include <cstdint>

#include "csrc/emulation/cuda_runtime.h"

namespace dlplug {

namespace emulation {

// Where dynamic shared memory begins in its own address space: aligned as little as allowed there.
constexpr uint32_t kSharedBegin = 0x480;

inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(static_cast<const char*>(pointer) -
                               static_cast<const char*>(dynamic_shared_memory())) +
         kSharedBegin;
}

// `bytes` of dynamic shared memory from an address on.
inline unsigned char* shared_pointer(uint32_t address, size_t bytes, Site site) {
  if (address < kSharedBegin || address + bytes > kSharedBegin + dynamic_shared_bytes())
    stop("shared memory out of bounds", site);
  return static_cast<unsigned char*>(dynamic_shared_memory()) + (address - kSharedBegin);
}

}  // namespace emulation

using emulation::shared_address;

class Barrier {
 public:
  void make(unsigned arrivals) {
    state_ = {0, 0, arrivals, arrivals, 0};
    check_alignment(this, 8);
  }
  void arrive(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    const emulation::Site site{file, line};
    check_made(site);
    if (state_.pending == 0) emulation::stop("more arrivals than a barrier expects", site);
    --state_.pending;
    end_phase();
  }
  void arrive_if(bool arrives, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (arrives) arrive(file, line);
  }
  void arrive_and_expect(unsigned bytes, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
    check_made({file, line});
    state_.bytes += bytes;
    arrive(file, line);
  }
  void wait(unsigned parity, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    check_made({file, line});
    using Awaited = std::pair<const Barrier*, unsigned>;
    const Awaited awaited{this, parity};
    const auto is_over = [](const void* what) {
      const auto [barrier, parity] = *static_cast<const Awaited*>(what);
      return barrier->state_.phase != parity;
    };
    emulation::wait_until(is_over, &awaited, {file, line});
  }
  // By a copy, whose bytes have arrived.
  void complete(unsigned bytes) {
    state_.bytes -= bytes;
    end_phase();
  }

 private:
  struct State {
    int64_t bytes : 22;      // expected, less those that have arrived
    uint64_t phase : 1;      // that is not complete
    uint64_t pending : 20;   // arrivals that it lacks
    uint64_t arrivals : 20;  // of each phase
    uint64_t is_bare : 1;    // of memory that no barrier was made in
  } state_;

  void end_phase() {
    if (state_.pending != 0 || state_.bytes != 0) return;
    state_.phase ^= 1;
    state_.pending = state_.arrivals;
  }
  void check_made(emulation::Site site) const {
    if (state_.is_bare) emulation::stop("a barrier that was not made", site);
  }
};
static_assert(sizeof(Barrier) == 8);

inline void publish_barriers() {}

}  // namespace dlplug
