// The softmax of a warp's 16 rows in pieces that run while the tensor cores work: scores to weights
// without touching the sums, which a product is still adding to; what they shrink by comes out.
#pragma once

#include "csrc/cuda/attention_scores.cuh"
#include "csrc/cuda/attention_tile.cuh"

namespace dlplug {

// e^x for x <= 0; results below 1.2e-38 are 0.
__device__ inline float exp_of_difference(float x) {
#if defined(DLPLUG_EMULATION)
  return exp2f(x * kLog2E);
#else
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x * kLog2E));
  return result;
#endif
}

// Products to scores; -inf where a row of the warp, first_row + g and 8 more, does not see the key.
template <bool kIsCapped, int kKeys>
__device__ inline void score(Sums<1, kKeys>& products, const AttentionScores& args,
                             const Span (&spans)[2], bool sees_all, int first_key) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& x = products.at[0][n][i];
      x = __fmul_rn(x, args.scale);
      if constexpr (kIsCapped) x = args.softcap * tanhf(x / args.softcap);
    }
  if (sees_all) return;
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (!spans[i / 2].has(first_key + 8 * n + 2 * t + i % 2)) products.at[0][n][i] = -kInfinity;
}

// Of the rows g and g + 8: the largest score, and this thread's part of the sum of weights
// e^(score - top).
struct HopperSoftmax {
  float top[2] = {-kInfinity, -kInfinity}, total[2] = {0.0f, 0.0f};

  // Scores to weights; factor: what the sums of earlier weights are to be multiplied by.
  template <int kKeys>
  __device__ void turn(Sums<1, kKeys>& scores, float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float largest = top[r];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) largest = fmaxf(largest, scores.at[0][n][2 * r + e]);
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
      const float shift = largest == -kInfinity ? 0.0f : largest;  // of a row that sees nothing
      factor[r] = exp_of_difference(top[r] - shift);
      top[r] = largest;
      total[r] *= factor[r];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = scores.at[0][n][2 * r + e];
          x = exp_of_difference(x - shift);
          total[r] += x;
        }
    }
  }

  // The totals of whole rows, with a sink's weight; factor: what the sums are to be multiplied by
  // to be weighted means.
  __device__ void finish(float sink, float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float& sum = total[r];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const float largest = fmaxf(top[r], sink);
      float shrunk = 1.0f;
      if (sink != -kInfinity) {
        shrunk = exp_of_difference(top[r] - largest);
        sum = fmaf(sum, shrunk, exp_of_difference(sink - largest));
        top[r] = largest;
      }
      factor[r] = sum == 0.0f ? 0.0f : shrunk / sum;
    }
  }
};

// Weights as the left matrix of a product.
template <class T, int kKeys>
__device__ inline void pack(const Sums<1, kKeys>& weights, uint32_t (&left)[kKeys / 16][4]) {
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float* pair = weights.at[0][2 * k + i / 2] + i % 2 * 2;
      left[k][i] = packed<T>(pair[0], pair[1]);
    }
}

}  // namespace dlplug
