#include "csrc/common/isa.h"

#include <atomic>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace dlplug {
namespace {

#if defined(__x86_64__)

bool bit(unsigned value, int index) { return (value >> index & 1u) != 0; }

// Register states that the operating system saves (Intel SDM vol. 1, 13.3).
uint64_t saved_states() {
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

Isa detect() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !bit(c, 27)) return Isa::kScalar;  // OSXSAVE
  const bool fma = bit(c, 12), f16c = bit(c, 29);
  const uint64_t states = saved_states();
  unsigned a7 = 0, b7 = 0, c7 = 0, d7 = 0;
  if (__get_cpuid_count(7, 0, &a7, &b7, &c7, &d7) == 0) return Isa::kScalar;
  const bool ymm = (states & 0x6) == 0x6, zmm = (states & 0xe6) == 0xe6;
  // AVX2, BMI1 and BMI2: what -mavx2 -mbmi -mbmi2 may emit.
  if (!(ymm && fma && f16c && bit(b7, 5) && bit(b7, 3) && bit(b7, 8))) return Isa::kScalar;
  // F, DQ, CD, BW, VL.
  if (!(zmm && bit(b7, 16) && bit(b7, 17) && bit(b7, 28) && bit(b7, 30) && bit(b7, 31)))
    return Isa::kAvx2;
  return Isa::kAvx512;
}

#else

Isa detect() { return Isa::kScalar; }

#endif

std::atomic<Isa>& selected() {
  static std::atomic<Isa> isa{best_isa()};
  return isa;
}

}  // namespace

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

Isa current_isa() { return selected().load(std::memory_order_relaxed); }

bool select_isa(Isa isa) {
  if (isa < Isa::kScalar || isa > best_isa()) return false;
  selected().store(isa, std::memory_order_relaxed);
  return true;
}

}  // namespace dlplug
