// Which level of kernels a processor and its operating system support, from what they report, and
// which one is in use.
#pragma once

#include <stdint.h>

#include <atomic>
#include <initializer_list>

#include "csrc/common/isa.h"

namespace dlplug {

// Registers that CPUID answers with, by leaf (and subleaf) and name, and XCR0: the states of
// registers that the operating system saves (Intel SDM vol. 1, 13.3).
struct Processor {
  uint32_t leaf1_c = 0, leaf7_b = 0, leaf7_d = 0, leaf7_1_a = 0;
  uint64_t saved_states = 0;
};

// AVX512_BF16: conversions to bfloat16 and products of it, in registers of AVX-512.
inline bool reports_bf16(const Processor& processor) { return (processor.leaf7_1_a >> 5 & 1) != 0; }

// `has_tiles`: whether the operating system would give the tiles of AMX to a process that asks.
inline Isa isa_of(const Processor& processor, bool has_tiles) {
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
  // AMX-BF16, AMX-TILE; and AVX512_BF16, whose conversions these kernels need.
  if (!(saves({17, 18}) && has(processor.leaf7_d, {22, 24}) && reports_bf16(processor)))
    return Isa::kAvx512;
  return has_tiles ? Isa::kAmx : Isa::kAvx512;
}

// The level in use: the best one, unless another is selected. A process that has tiles has larger
// states to be saved, of signals too; so they are asked for when they are wanted, not before.
class LevelInUse {
 public:
  LevelInUse(Isa best, bool (*ask_for_tiles)()) : best_(best), ask_for_tiles_(ask_for_tiles) {}

  Isa current() {
    const int64_t level = level_.load(std::memory_order_relaxed);
    if (level != kNone) return static_cast<Isa>(level);
    if (!select(best_)) select(Isa::kAvx512);  // the tiles are refused
    return static_cast<Isa>(level_.load(std::memory_order_relaxed));
  }

  // False, and nothing is changed, where the level is not supported.
  bool select(Isa isa) {
    if (isa < Isa::kScalar || isa > best_) return false;
    if (isa == Isa::kAmx && !ask_for_tiles_()) return false;
    level_.store(static_cast<int64_t>(isa), std::memory_order_relaxed);
    return true;
  }

 private:
  static constexpr int64_t kNone = -1;

  Isa best_;
  bool (*ask_for_tiles_)();
  std::atomic<int64_t> level_{kNone};
};

}  // namespace dlplug
