// How the values of AdamW lie in memory where parameter or states take fewer bytes than float32: as
// csrc/cpu/kernels/compact_storages.h, bit for bit. Each storage reads and writes n elements from i
// on; `stored` is the parameter as it will be read again. Accesses are 16 bytes wide, at least.
#pragma once

#include "csrc/cuda/adamw_rows.cuh"

namespace dlplug::device {

__device__ inline float float_of(uint32_t bits) { return __uint_as_float(bits); }

template <class T>
struct Float32States {
  static constexpr int kCount = 16 / sizeof(T);
  T* param;
  float *m, *v;

  __device__ explicit Float32States(const Row& row)
      : param(static_cast<T*>(row.param)),
        m(static_cast<float*>(row.exp_avg)),
        v(static_cast<float*>(row.exp_avg_sq)) {}

  __device__ bool is_aligned() const {
    return device::is_aligned<kCount>(param) && device::is_aligned<kCount>(m) &&
           device::is_aligned<kCount>(v);
  }

  template <int n>
  __device__ void read(AdamWValues (&x)[n], int64_t i) const {
    const auto params = Elements<T, n>::load(param + i);
    const auto ms = Elements<float, n>::load(m + i), vs = Elements<float, n>::load(v + i);
#pragma unroll
    for (int k = 0; k < n; ++k) x[k] = {params.at(k), 0.0f, ms.at(k), vs.at(k), 0.0f};
  }

  template <int n>
  __device__ void write(const AdamWValues (&x)[n], int64_t i, const uint32_t*,
                        float (&stored)[n]) const {
    Elements<T, n> params;
    Elements<float, n> ms, vs;
#pragma unroll
    for (int k = 0; k < n; ++k) {
      params.set(k, x[k].param);
      ms.set(k, x[k].m);
      vs.set(k, x[k].v);
      stored[k] = params.at(k);
    }
    params.store(param + i);
    ms.store(m + i);
    vs.store(v + i);
  }
};

struct Remainder {
  static constexpr int kCount = 8;
  uint16_t *param, *remainder;
  float *m, *v;

  __device__ explicit Remainder(const Row& row)
      : param(static_cast<uint16_t*>(row.param)),
        remainder(static_cast<uint16_t*>(row.extra)),
        m(static_cast<float*>(row.exp_avg)),
        v(static_cast<float*>(row.exp_avg_sq)) {}

  __device__ bool is_aligned() const {
    return device::is_aligned<kCount>(param) && device::is_aligned<kCount>(remainder) &&
           device::is_aligned<kCount>(m) && device::is_aligned<kCount>(v);
  }

  template <int n>
  __device__ void read(AdamWValues (&x)[n], int64_t i) const {
    const auto high = Elements<uint16_t, n>::load(param + i);
    const auto low = Elements<uint16_t, n>::load(remainder + i);
    const auto ms = Elements<float, n>::load(m + i), vs = Elements<float, n>::load(v + i);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      const auto lacking = static_cast<uint32_t>(static_cast<int16_t>(low.element[k]));
      const uint32_t bits = (uint32_t{high.element[k]} << 16) + lacking;
      x[k] = {float_of(bits), 0.0f, ms.at(k), vs.at(k), 0.0f};
    }
  }

  template <int n>
  __device__ void write(const AdamWValues (&x)[n], int64_t i, const uint32_t*,
                        float (&stored)[n]) const {
    Elements<uint16_t, n> highs, lows;
    Elements<float, n> ms, vs;
#pragma unroll
    for (int k = 0; k < n; ++k) {
      const bool is_nan = x[k].param != x[k].param;  // another NaN could round to a number
      const uint32_t bits = is_nan ? 0x7fc00000u : __float_as_uint(x[k].param);
      const uint32_t high = (bits + 0x8000u) >> 16;
      highs.element[k] = static_cast<uint16_t>(high);
      lows.element[k] = static_cast<uint16_t>(bits - (high << 16));
      ms.set(k, x[k].m);
      vs.set(k, x[k].v);
      stored[k] = float_of(high << 16);
    }
    highs.store(param + i);
    lows.store(remainder + i);
    ms.store(m + i);
    vs.store(v + i);
  }
};

// Needs random bits.
struct Stochastic {
  static constexpr int kCount = 8;
  uint16_t *param, *m, *v;

  __device__ explicit Stochastic(const Row& row)
      : param(static_cast<uint16_t*>(row.param)),
        m(static_cast<uint16_t*>(row.exp_avg)),
        v(static_cast<uint16_t*>(row.exp_avg_sq)) {}

  __device__ bool is_aligned() const {
    return device::is_aligned<kCount>(param) && device::is_aligned<kCount>(m) &&
           device::is_aligned<kCount>(v);
  }

  template <int n>
  __device__ void read(AdamWValues (&x)[n], int64_t i) const {
    const auto params = Elements<uint16_t, n>::load(param + i);
    const auto ms = Elements<uint16_t, n>::load(m + i), vs = Elements<uint16_t, n>::load(v + i);
    auto at = [](uint16_t bits) { return float_of(uint32_t{bits} << 16); };
#pragma unroll
    for (int k = 0; k < n; ++k)
      x[k] = {at(params.element[k]), 0.0f, at(ms.element[k]), at(vs.element[k]), 0.0f};
  }

  template <int n>
  __device__ void write(const AdamWValues (&x)[n], int64_t i, const uint32_t* bits,
                        float (&stored)[n]) const {
    Elements<uint16_t, n> params, ms, vs;
#pragma unroll
    for (int k = 0; k < n; ++k) {
      params.element[k] = rounded(x[k].param, bits[k] & 0xffffu);
      ms.element[k] = rounded(x[k].m, bits[k] >> 16);
      vs.element[k] = rounded(x[k].v, bits[k] >> 16);
      stored[k] = float_of(uint32_t{params.element[k]} << 16);
    }
    params.store(param + i);
    ms.store(m + i);
    vs.store(v + i);
  }

  // The bfloat16's bits; `random` is uniform in [0, 2^16). Infinity and NaN stay what they are.
  __device__ static uint16_t rounded(float value, uint32_t random) {
    const uint32_t bits = __float_as_uint(value);
    const bool is_special = (bits & 0x7f800000u) == 0x7f800000u;
    const uint32_t special = bits | (value != value ? 0x00400000u : 0u);
    return static_cast<uint16_t>((is_special ? special : bits + random) >> 16);
  }
};

struct Kahan {
  using T = __nv_bfloat16;
  static constexpr int kCount = 8;
  T *param, *compensation, *m, *v;

  __device__ explicit Kahan(const Row& row)
      : param(static_cast<T*>(row.param)),
        compensation(static_cast<T*>(row.extra)),
        m(static_cast<T*>(row.exp_avg)),
        v(static_cast<T*>(row.exp_avg_sq)) {}

  __device__ bool is_aligned() const {
    return device::is_aligned<kCount>(param) && device::is_aligned<kCount>(compensation) &&
           device::is_aligned<kCount>(m) && device::is_aligned<kCount>(v);
  }

  template <int n>
  __device__ void read(AdamWValues (&x)[n], int64_t i) const {
    const auto params = Elements<T, n>::load(param + i),
               lost = Elements<T, n>::load(compensation + i);
    const auto ms = Elements<T, n>::load(m + i), vs = Elements<T, n>::load(v + i);
#pragma unroll
    for (int k = 0; k < n; ++k) x[k] = {params.at(k) + lost.at(k), 0.0f, ms.at(k), vs.at(k), 0.0f};
  }

  template <int n>
  __device__ void write(const AdamWValues (&x)[n], int64_t i, const uint32_t*,
                        float (&stored)[n]) const {
    Elements<T, n> params, lost, ms, vs;
#pragma unroll
    for (int k = 0; k < n; ++k) {
      params.set(k, x[k].param);
      stored[k] = params.at(k);
      lost.set(k, x[k].param - stored[k]);
      ms.set(k, x[k].m);
      vs.set(k, x[k].v);
    }
    params.store(param + i);
    lost.store(compensation + i);
    ms.store(m + i);
    vs.store(v + i);
  }
};

}  // namespace dlplug::device
