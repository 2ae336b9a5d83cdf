// How the values of AdamW lie in memory where parameter or states take fewer bytes than float32:
// each storage reads and writes a part of a row (row.h) from element i on. 8-bit states, which are
// written by blocks, stand in compact_8bit.h.
#pragma once

#include "csrc/common/philox.h"
#include "csrc/cpu/kernels/adamw_prefetch.h"
#include "csrc/cpu/kernels/adamw_values.h"
#include "csrc/cpu/kernels/compact_adamw.h"
#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// The upper halves of a part's lanes, as they are.
DLPLUG_INLINE void store_upper(BFloat16* to, const UInt (&bits)[2], Pair) {
  store_upper(to, bits[0], bits[1]);
}
DLPLUG_INLINE void store_upper(BFloat16* to, const UInt (&bits)[1], Whole) {
  const UShort narrowed = narrow(bits[0] >> 16);
  __builtin_memcpy(to, &narrowed, sizeof(narrowed));
}
DLPLUG_INLINE void store_upper(BFloat16* to, const UInt (&bits)[1], Tail tail) {
  const UShort narrowed = narrow(bits[0] >> 16);
  will_write(to, tail.count);
  __builtin_memcpy(to, &narrowed, tail.count * sizeof(BFloat16));
}

// What every storage keeps of each element: parameter, m and v, of these types.
template <class T, class S>
struct Kept {
  T* param;
  S *m, *v;

  explicit Kept(const CompactAdamWRow& row)
      : param((T*)row.param), m((S*)row.exp_avg), v((S*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class Part, int n>
  __attribute__((always_inline)) void read(AdamWValues (&x)[n], int64_t i, Part part) const {
    Float params[n], ms[n], vs[n];
    prefetch(param + i, part);
    prefetch(m + i, part);
    prefetch(v + i, part);
    load(param + i, part, params);
    load(m + i, part, ms);
    load(v + i, part, vs);
    for (int k = 0; k < n; ++k) x[k] = AdamWValues{params[k], Float{}, ms[k], vs[k], Float{}};
  }

  template <class Part, int n>
  __attribute__((always_inline)) void write_states(const AdamWValues (&x)[n], int64_t i,
                                                   Part part) const {
    Float ms[n], vs[n];
    for (int k = 0; k < n; ++k) {
      ms[k] = x[k].m;
      vs[k] = x[k].v;
    }
    store(m + i, ms, part);
    store(v + i, vs, part);
  }
};

template <class T>
struct Float32States : Kept<T, float> {
  using Kept<T, float>::Kept;

  template <class Part, int n>
  __attribute__((always_inline)) void write(const AdamWValues (&x)[n], int64_t i, Part part) const {
    Float params[n];
    for (int k = 0; k < n; ++k) params[k] = x[k].param;
    store(this->param + i, params, part);
    this->write_states(x, i, part);
  }
};

// The parameter is the upper half of the float32 master weight, rounded to nearest (half up); the
// remainder is the master's bits less those, a signed 16-bit number. Together they are the master.
struct Remainder : Kept<BFloat16, float> {
  BFloat16* remainder;  // 16 bits, though not of a bfloat16

  explicit Remainder(const CompactAdamWRow& row) : Kept(row), remainder((BFloat16*)row.extra) {}

  template <class Part, int n>
  __attribute__((always_inline)) void read(AdamWValues (&x)[n], int64_t i, Part part) const {
    Kept::read(x, i, part);
    prefetch(remainder + i, part);
    Float low[n];
    load(remainder + i, part, low);
    for (int k = 0; k < n; ++k) x[k].param = (Float)((Int)x[k].param + ((Int)low[k] >> 16));
  }

  template <class Part, int n>
  __attribute__((always_inline)) void write(const AdamWValues (&x)[n], int64_t i, Part part) const {
    UInt high[n], low[n];
    for (int k = 0; k < n; ++k) {
      const UInt bits = bits_for_rounding(x[k].param);
      high[k] = (bits + 0x8000u) & 0xffff0000u;
      low[k] = (bits - high[k]) << 16;
    }
    store_upper(param + i, high, part);
    store_upper(remainder + i, low, part);
    write_states(x, i, part);
  }
};

// Each value is rounded up with a probability that grows with its distance from the bfloat16 below,
// so that updates which are too small for a bfloat16 are kept on average.
struct Stochastic : Kept<BFloat16, BFloat16> {
  RandomKeys keys;
  alignas(64) uint32_t random[kCompactUnit];

  explicit Stochastic(const CompactAdamWRow& row) : Kept(row), keys(random_keys(row.seed)) {}

  __attribute__((always_inline)) void begin_block(const CompactAdamWRow& row, int64_t i) {
    for (int j = 0; j < kCompactUnit && i + j < row.numel; j += 2 * kRandomBlock)
      random_blocks<2>(keys, row.index, (i + j) / kRandomBlock, random + j);
  }

  template <class Part, int n>
  __attribute__((always_inline)) void write(const AdamWValues (&x)[n], int64_t i, Part part) const {
    UInt params[n], ms[n], vs[n];
    for (int k = 0; k < n; ++k) {
      UInt drawn;  // m and v take the same half: each of them alone is rounded without bias
      __builtin_memcpy(&drawn, random + i % kCompactUnit + k * kWidth, sizeof(drawn));
      params[k] = bits_for_rounding(x[k].param) + (drawn & 0xffffu);
      ms[k] = bits_for_rounding(x[k].m) + (drawn >> 16);
      vs[k] = bits_for_rounding(x[k].v) + (drawn >> 16);
    }
    store_upper(param + i, params, part);
    store_upper(m + i, ms, part);
    store_upper(v + i, vs, part);
  }
};

// The value is the sum of two bfloat16, parameter and compensation: the second keeps what rounding
// to the first has lost (Kahan 1965).
struct Kahan : Kept<BFloat16, BFloat16> {
  BFloat16* compensation;

  explicit Kahan(const CompactAdamWRow& row) : Kept(row), compensation((BFloat16*)row.extra) {}

  template <class Part, int n>
  __attribute__((always_inline)) void read(AdamWValues (&x)[n], int64_t i, Part part) const {
    Kept::read(x, i, part);
    prefetch(compensation + i, part);
    Float rest[n];
    load(compensation + i, part, rest);
    for (int k = 0; k < n; ++k) x[k].param += rest[k];
  }

  template <class Part, int n>
  __attribute__((always_inline)) void write(const AdamWValues (&x)[n], int64_t i, Part part) const {
    UInt params[n];
    Float rest[n];
    for (int k = 0; k < n; ++k) {
      params[k] = rounded_bits(x[k].param);
      rest[k] = x[k].param - (Float)(params[k] & 0xffff0000u);
    }
    store_upper(param + i, params, part);
    store(compensation + i, rest, part);
    write_states(x, i, part);
  }
};

}  // namespace dlplug::DLPLUG_ISA
