// Weights of one query times values that are read where they lie, once: what counts is that the
// next ones are on their way.
#pragma once

#include "csrc/cpu/kernels/attention_dots.h"

namespace dlplug::DLPLUG_ISA {

// sums (kVectors vectors) (+)= weights (keys,) values (keys, kVectors vectors). Eight
// sums at a time are as many as keep the multipliers busy. With every line of a row of values the
// one `ahead` elements further on is brought in.
template <int kVectors, class T>
static void add_vectors(const float* weights, int64_t num_keys, const T* values, int64_t stride,
                        int64_t ahead, float* sums, bool accumulate) {
  constexpr int kChains = 8 / kVectors, kLine = 64 / (int)sizeof(T);
  Float totals[kChains][kVectors] = {};
  const auto add = [&](int64_t key, int chain) __attribute__((always_inline)) {
    const Float weight = broadcast(weights[key]);
    const T* row = values + key * stride;
#pragma GCC unroll 8
    for (int i = 0; i < kVectors * kWidth; i += kLine) fetch(row + ahead + i);
    Float value[kVectors];
    if constexpr (kVectors == 1) {
      value[0] = load(row);
    } else {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v += 2) load(row + v * kWidth, value[v], value[v + 1]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) totals[chain][v] = fma(weight, value[v], totals[chain][v]);
  };
  int64_t key = 0;
  for (; key + kChains <= num_keys; key += kChains) {
#pragma GCC unroll 8
    for (int chain = 0; chain < kChains; ++chain) add(key + chain, chain);
  }
  for (; key < num_keys; ++key) add(key, 0);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
    for (int chain = 1; chain < kChains; ++chain) totals[0][v] += totals[chain][v];
    float* sum = sums + v * kWidth;
    store(sum, accumulate ? load(sum) + totals[0][v] : totals[0][v]);
  }
}

// The same for any number of vectors.
template <class T>
static void add_weighted_rows(const float* weights, int64_t num_keys, const T* values,
                              int64_t stride, int64_t vectors, float* sums, bool accumulate) {
  const int64_t ahead = rows_ahead_of(vectors * kWidth * (int64_t)sizeof(T)) * stride;
  while (vectors > 0) {
    const int64_t taken = vectors >= 8 ? 8 : vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1;
    const auto add = taken == 8   ? add_vectors<8, T>
                     : taken == 4 ? add_vectors<4, T>
                     : taken == 2 ? add_vectors<2, T>
                                  : add_vectors<1, T>;
    add(weights, num_keys, values, stride, ahead, sums, accumulate);
    values += taken * kWidth;
    sums += taken * kWidth;
    vectors -= taken;
  }
}

}  // namespace dlplug::DLPLUG_ISA
