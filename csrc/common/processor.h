// Which level of kernels a processor and its operating system support, from what they report.
#pragma once

#include <stdint.h>

#include <initializer_list>

#include "csrc/common/isa.h"

namespace dlplug {

// Registers that CPUID answers with, by leaf (and subleaf) and name, and XCR0: the states of
// registers that the operating system saves (Intel SDM vol. 1, 13.3).
struct Processor {
  uint32_t leaf1_c = 0, leaf7_b = 0, leaf7_d = 0, leaf7_1_a = 0;
  uint64_t saved_states = 0;
};

// `may_use_tiles` asks the operating system for the tiles of AMX, and only where there are some.
inline Isa isa_of(const Processor& processor, bool (*may_use_tiles)()) {
  const auto has = [](uint64_t bits, std::initializer_list<int> wanted) {
    for (int index : wanted)
      if ((bits >> index & 1) == 0) return false;
    return true;
  };
  const auto saves = [&](std::initializer_list<int> states) {
    return has(processor.saved_states, states);
  };
  // FMA, OSXSAVE and F16C; AVX2, BMI1 and BMI2: what -mavx2 -mbmi -mbmi2 may emit.
  if (!(saves({1, 2}) && has(processor.leaf1_c, {12, 27, 29}) && has(processor.leaf7_b, {3, 5, 8})))
    return Isa::kScalar;
  // F, DQ, CD, BW, VL.
  if (!(saves({5, 6, 7}) && has(processor.leaf7_b, {16, 17, 28, 30, 31}))) return Isa::kAvx2;
  // AMX-BF16, AMX-TILE; AVX512_BF16, whose conversions these kernels need.
  if (!(saves({17, 18}) && has(processor.leaf7_d, {22, 24}) && has(processor.leaf7_1_a, {5})))
    return Isa::kAvx512;
  return may_use_tiles() ? Isa::kAmx : Isa::kAvx512;
}

}  // namespace dlplug
