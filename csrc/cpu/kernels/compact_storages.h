// How the values of AdamW lie in memory where parameter or states take fewer bytes than float32:
// each storage reads and writes kWidth elements, or n, from i on. `write` gives the parameters as
// they are stored. 8-bit states, which are written by blocks, stand in compact_8bit.h.
#pragma once

#include "csrc/common/memory.h"
#include "csrc/common/philox.h"
#include "csrc/cpu/kernels/adamw_values.h"
#include "csrc/cpu/kernels/compact_adamw.h"

namespace dlplug::DLPLUG_ISA {

// ---- 16 bits of each lane, to and from memory as they are ----

DLPLUG_INLINE UInt load_bits(const void* from) {
  UShort bits;
  __builtin_memcpy(&bits, from, sizeof(bits));
  return widen(bits);
}

DLPLUG_INLINE UInt load_bits(const void* from, int n) {
  UShort bits = {};
  __builtin_memcpy(&bits, from, n * sizeof(uint16_t));
  return widen(bits);
}

DLPLUG_INLINE void store_bits(void* to, UInt bits) {
  const UShort narrowed = narrow(bits);
  __builtin_memcpy(to, &narrowed, sizeof(narrowed));
}

DLPLUG_INLINE void store_bits(void* to, UInt bits, int n) {
  const UShort narrowed = narrow(bits);
  __builtin_memcpy(to, &narrowed, n * sizeof(uint16_t));
}

// ---- the storages ----

template <class T>
struct Float32States {
  T* param;
  float *m, *v;

  explicit Float32States(const CompactAdamWRow& row)
      : param((T*)row.param), m((float*)row.exp_avg), v((float*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    x.param = load(param + i, n...);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) Float write(const AdamWValues& x, int64_t i, N... n) const {
    store(param + i, x.param, n...);
    store(m + i, x.m, n...);
    store(v + i, x.v, n...);
    return rounded_to(x.param, T{});
  }
};

// The parameter is the float32 master's upper half, rounded to nearest (half up); the remainder is
// what is lacking to the master's bits, a signed 16-bit number. Nothing is lost.
struct Remainder {
  uint16_t *param, *remainder;
  float *m, *v;

  explicit Remainder(const CompactAdamWRow& row)
      : param((uint16_t*)row.param),
        remainder((uint16_t*)row.extra),
        m((float*)row.exp_avg),
        v((float*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    const Int low = (Int)(load_bits(remainder + i, n...) << 16) >> 16;
    x.param = (Float)((load_bits(param + i, n...) << 16) + (UInt)low);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) Float write(const AdamWValues& x, int64_t i, N... n) const {
    const Float quiet = (Float)(UInt{} + 0x7fc00000u);  // other NaN could round to a number
    const UInt bits = (UInt)(x.param != x.param ? quiet : x.param);
    const UInt high = (bits + 0x8000u) >> 16;
    store_bits(param + i, high, n...);
    store_bits(remainder + i, bits - (high << 16), n...);
    store(m + i, x.m, n...);
    store(v + i, x.v, n...);
    return (Float)(high << 16);
  }
};

// Each value is rounded up with the probability of its distance from the number below, so that
// updates too small for a bfloat16 hold on average.
struct Stochastic {
  BFloat16 *param, *m, *v;
  uint32_t random[kRandomBlock];

  explicit Stochastic(const CompactAdamWRow& row)
      : param((BFloat16*)row.param), m((BFloat16*)row.exp_avg), v((BFloat16*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow& row, int64_t i) {
    random_block(row.seed, row.index, i / kRandomBlock, random);
  }

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    x.param = load(param + i, n...);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) Float write(const AdamWValues& x, int64_t i, N... n) const {
    UInt drawn;  // the states share a half: each needs but be rounded without bias
    __builtin_memcpy(&drawn, random + i % kRandomBlock, sizeof(drawn));
    const UInt stored = rounded(x.param, drawn & 0xffffu);
    store_bits(param + i, stored, n...);
    store_bits(m + i, rounded(x.m, drawn >> 16), n...);
    store_bits(v + i, rounded(x.v, drawn >> 16), n...);
    return (Float)(stored << 16);
  }

  // The bfloat16's bits; `random` is uniform in [0, 2^16). Infinity and NaN stay what they are.
  static __attribute__((always_inline)) UInt rounded(Float value, UInt random) {
    const UInt bits = (UInt)value;
    const Int is_special = (Int)((bits & 0x7f800000u) == 0x7f800000u);
    const UInt special = bits | ((UInt)(value != value) & 0x00400000u);
    return (is_special ? special : bits + random) >> 16;
  }
};

// Parameter and compensation are two bfloat16 whose sum is the value: what rounding the sum to the
// first loses is kept in the second (Kahan 1965).
struct Kahan {
  BFloat16 *param, *compensation, *m, *v;

  explicit Kahan(const CompactAdamWRow& row)
      : param((BFloat16*)row.param),
        compensation((BFloat16*)row.extra),
        m((BFloat16*)row.exp_avg),
        v((BFloat16*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    x.param = load(param + i, n...) + load(compensation + i, n...);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) Float write(const AdamWValues& x, int64_t i, N... n) const {
    const Float stored = rounded_to(x.param, BFloat16{});
    store(param + i, stored, n...);
    store(compensation + i, x.param - stored, n...);
    store(m + i, x.m, n...);
    store(v + i, x.v, n...);
    return stored;
  }
};

}  // namespace dlplug::DLPLUG_ISA
