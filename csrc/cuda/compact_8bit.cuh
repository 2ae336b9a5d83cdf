// AdamW with states of 8 bits: as csrc/cpu/kernels/compact_8bit.h, where the maps are told, bit for
// bit. A warp has a block of 256 elements, which share two scales; a lane has 8 neighbours of them.
#pragma once

#include "csrc/cpu/kernels/compact_adamw.h"
#include "csrc/cuda/adamw_rows.cuh"
#include "csrc/cuda/row.cuh"

namespace dlplug::device {

constexpr int kLane = kCompactUnit / kWarp;  // elements of a lane
constexpr float kSignedSteps = 127.0f, kSteps = 255.0f;

// The first n of a lane's elements; the others are 0.
template <class T>
__device__ inline Elements<T, kLane> load_some(const T* from, int n, bool is_vector) {
  if (is_vector) return Elements<T, kLane>::load(from);
  Elements<T, kLane> found{};
#pragma unroll
  for (int k = 0; k < kLane; ++k)
    if (k < n) found.element[k] = from[k];
  return found;
}

template <class T>
__device__ inline void store_some(const Elements<T, kLane>& elements, T* to, int n,
                                  bool is_vector) {
  if (is_vector) return elements.store(to);
#pragma unroll
  for (int k = 0; k < kLane; ++k)
    if (k < n) to[k] = elements.element[k];
}

// The low byte of a value rounded to a whole number in [-128, 256); 0 of NaN.
__device__ inline uint8_t byte_of(float value) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  if (value != value) return 0;
  return static_cast<uint8_t>(__float_as_uint(value + magic) - __float_as_uint(magic));
}

// 1 / scale; 0 where all of a block is 0 or too small for a quotient.
__device__ inline float inverse_of(float scale) {
  return scale >= 1.17549435e-38f ? 1.0f / scale : 0.0f;
}

__device__ inline float largest_of_warp(float value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value = max(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

template <class T>
__device__ inline void update_8bit(const Row& row, const AdamWConstants& c) {
  auto* param = static_cast<T*>(row.param);
  auto* grad = static_cast<T*>(row.grad);
  auto* m = static_cast<int8_t*>(row.exp_avg);
  auto* v = static_cast<uint8_t*>(row.exp_avg_sq);
  const bool are_aligned = is_aligned<kLane>(param) && is_aligned<kLane>(grad) &&
                           is_aligned<kLane>(m) && is_aligned<kLane>(v) &&
                           is_aligned<kLane>(row.average);
  const int lane = threadIdx.x % kWarp;
  constexpr int64_t kStride = kThreads / kWarp * kCompactUnit;
  // All lanes of a warp go on together, with elements or without.
  for (int64_t first = row.begin + threadIdx.x / kWarp * kCompactUnit; first < row.end;
       first += kStride) {
    const int64_t i = first + lane * kLane, left = row.end - i;
    const int n = static_cast<int>(left < 0 ? 0 : (left < kLane ? left : kLane));
    const bool is_vector = are_aligned && n == kLane;
    float& m_scale = row.exp_avg_scale[first / kCompactUnit];
    float& v_scale = row.exp_avg_sq_scale[first / kCompactUnit];
    const float m_factor = m_scale / (kSignedSteps * kSignedSteps);
    const float v_factor = v_scale / (kSteps * kSteps * kSteps * kSteps);

    auto params = load_some(param + i, n, is_vector), grads = load_some(grad + i, n, is_vector);
    auto ms = load_some(m + i, n, is_vector);
    auto vs = load_some(v + i, n, is_vector);
    float new_m[kLane], new_v[kLane], stored[kLane], m_max = 0.0f, v_max = 0.0f;
#pragma unroll
    for (int k = 0; k < kLane; ++k) {
      const auto q = static_cast<float>(ms.element[k]), p = static_cast<float>(vs.element[k]);
      AdamWValues x{params.at(k), grads.at(k), q * fabsf(q) * m_factor,
                    (p * p) * (p * p) * v_factor, 0.0f};
      update_values<false>(c, x);
      params.set(k, x.param);
      grads.set(k, x.grad);
      stored[k] = params.at(k);
      new_m[k] = x.m;
      new_v[k] = x.v;
      if (k < n) {
        m_max = max(m_max, fabsf(x.m));
        v_max = max(v_max, x.v);
      }
    }
    store_some(params, param + i, n, is_vector);
    if (c.is_unscaling) store_some(grads, grad + i, n, is_vector);
    if (row.average != nullptr) {
      auto averages = load_some(row.average + i, n, is_vector);
#pragma unroll
      for (int k = 0; k < kLane; ++k) averages.set(k, lerp(c.average, averages.at(k), stored[k]));
      store_some(averages, row.average + i, n, is_vector);
    }
    // Behind the shuffles each lane has read the old scales.
    m_max = largest_of_warp(m_max);
    v_max = largest_of_warp(v_max);
    if (lane == 0) {
      m_scale = m_max;
      v_scale = v_max;
    }
    const float m_inverse = inverse_of(m_max), v_inverse = inverse_of(v_max);
#pragma unroll
    for (int k = 0; k < kLane; ++k) {
      const float root = sqrt(fabsf(new_m[k]) * m_inverse) * kSignedSteps;
      ms.element[k] = static_cast<int8_t>(byte_of(new_m[k] < 0.0f ? -root : root));
      vs.element[k] = byte_of(sqrt(sqrt(new_v[k] * v_inverse)) * kSteps);
    }
    store_some(ms, m + i, n, is_vector);
    store_some(vs, v + i, n, is_vector);
  }
}

}  // namespace dlplug::device
