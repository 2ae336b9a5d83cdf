#include "csrc/common/isa.h"

#include <atomic>

#include "csrc/common/processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dlplug {
namespace {

#if defined(__x86_64__)

uint64_t saved_states() {
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

#if defined(__linux__)

// The kernel saves the tiles of those processes alone that ask for them
// (Documentation/arch/x86/xstate.rst).
constexpr int kTileData = 18;

bool has_tiles() {
  constexpr int kGetSupported = 0x1021;  // ARCH_GET_XCOMP_SUPP
  uint64_t states = 0;
  return syscall(SYS_arch_prctl, kGetSupported, &states) == 0 && (states >> kTileData & 1) != 0;
}

// Refused where a thread has room for the signals of fewer states alone.
bool ask_for_tiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#else

bool has_tiles() { return false; }
bool ask_for_tiles() { return false; }

#endif

Processor read_processor() {
  Processor found;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  found.leaf1_c = c;
  if ((c >> 27 & 1) != 0) found.saved_states = saved_states();  // OSXSAVE
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  found.leaf7_b = b;
  found.leaf7_d = d;
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) found.leaf7_1_a = a;
  return found;
}

#else

// One that reports nothing, whose level is kScalar.
Processor read_processor() { return {}; }
bool has_tiles() { return false; }
bool ask_for_tiles() { return false; }

#endif

const Processor& processor() {
  static const Processor found = read_processor();
  return found;
}

LevelInUse& level() {
  static LevelInUse level(best_isa(), ask_for_tiles);
  return level;
}

std::atomic<bool> may_use_bf16{true};

}  // namespace

Isa best_isa() {
  static const Isa best = isa_of(processor(), has_tiles());
  return best;
}

Isa current_isa() { return level().current(); }

bool has_bf16() {
  return reports_bf16(processor()) && may_use_bf16.load(std::memory_order_relaxed) &&
         current_isa() >= Isa::kAvx512;
}

bool select_isa(Isa isa) { return level().select(isa); }

void allow_bf16(bool is_allowed) { may_use_bf16.store(is_allowed, std::memory_order_relaxed); }

}  // namespace dlplug
