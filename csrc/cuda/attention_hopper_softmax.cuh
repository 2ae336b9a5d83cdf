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

// Of the 16 rows of a warp: the columns that its own two see, g and g + 8, and those that all see.
struct WarpSpans {
  Span rows[2], common;

  // `span_of` a row, of which both ends move on with the rows; there are `count`.
  template <class SpanOf>
  __device__ WarpSpans(int first_row, int count, SpanOf span_of)
      : rows{span_of(first_row + threadIdx.x % kWarp / 4),
             span_of(first_row + 8 + threadIdx.x % kWarp / 4)},
        common{0, 0} {
    if (first_row >= count) return;
    const int end = first_row + 16, last = (end < count ? end : count) - 1;
    common = {span_of(last).begin, span_of(first_row).end};
  }

  __device__ bool see_all(int first, int count) const {
    return common.begin <= first && first + count <= common.end;
  }
};

// Products to scores; -inf where a row does not see the column, of kColumns from `first` on.
template <bool kIsCapped, int kColumns>
__device__ inline void score(Sums<1, kColumns>& products, const AttentionScores& args,
                             const WarpSpans& spans, int first) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& x = products.at[0][n][i];
      x = __fmul_rn(x, args.scale);
      if constexpr (kIsCapped) x = args.softcap * tanhf(x / args.softcap);
    }
  if (spans.see_all(first, kColumns)) return;
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (!spans.rows[i / 2].has(first + 8 * n + 2 * t + i % 2)) products.at[0][n][i] = -kInfinity;
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

// Sums as the left matrix of a product: a thread's part of 16 x 8, the n-th, and all.
template <class T, int kSteps>
__device__ inline void pack(const float (&part)[4], int n, uint32_t (&left)[kSteps][4]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) left[n / 2][n % 2 * 2 + r] = packed<T>(part[2 * r], part[2 * r + 1]);
}
template <class T, int kColumns>
__device__ inline void pack(const Sums<1, kColumns>& sums, uint32_t (&left)[kColumns / 16][4]) {
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) pack<T>(sums.at[0][n], n, left);
}

}  // namespace dlplug
