// The two products that attention consists of, for a warp: 16-bit and TF32 ones by the tensor
// cores, float32 ones by multiply-adds; the threads' parts of the sums are the same. Sums are
// float32.
#pragma once

#include <type_traits>

#include "csrc/cuda/attention_tile.cuh"

namespace dlplug {

// Floats of shared memory that a warp needs to give its lanes the rows of the weights.
template <class T, int kColumns>
constexpr int kScratchOf = std::is_same_v<T, float> ? 16 * (kColumns + 4) : 0;

// Added up by itself before it joins a longer sum, whose rounding it would meet four times.
__device__ inline float dot(const Elements<float, 4>& a, const Elements<float, 4>& b) {
  float sum = a.element[0] * b.element[0];
#pragma unroll
  for (int i = 1; i < 4; ++i) sum = fmaf(a.element[i], b.element[i], sum);
  return sum;
}

template <class T>
__device__ inline void load_factors(uint32_t (&to)[4], const T* row) {
  load_matrices(to, row);
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = factor_of<T>(to[i]);
}

// sums += left[first_row ...] * right^T: element (i, j) grows by row i of left times row j of
// right.
template <class T, int kBlocks, int kColumns, class Left>
__device__ inline void multiply_rows(Sums<kBlocks, kColumns>& sums, const Left& left, int first_row,
                                     const Tile<T, kColumns, Left::kWidth>& right) {
  __syncwarp();  // whatever lanes did before, the products are of all of them
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll 2
    for (int k = 0; k < Left::kChunks; ++k) {
      Elements<float, 4> rows[kBlocks][2];
#pragma unroll
      for (int i = 0; i < 2 * kBlocks; ++i)
        rows[i / 2][i % 2] = Elements<float, 4>::load(left.chunk(first_row + 8 * i + g, k));
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const auto row = Elements<float, 4>::load(right.chunk(8 * n + 2 * t + e, k));
#pragma unroll
          for (int i = 0; i < 2 * kBlocks; ++i)
            sums.at[i / 2][n][i % 2 * 2 + e] += dot(rows[i / 2][i % 2], row);
        }
    }
  } else {
    constexpr int kAtOnce = kColumns < 16 ? 8 : 16;  // rows of `right`; of 8, lanes give each twice
#pragma unroll
    for (int k = 0; k < Left::kChunks / 2; ++k) {
      uint32_t parts[kBlocks][4];
#pragma unroll
      for (int block = 0; block < kBlocks; ++block)
        load_factors<T>(parts[block],
                        left.chunk(first_row + 16 * block + lane % 16, 2 * k + lane / 16));
#pragma unroll
      for (int n = 0; n < kColumns / kAtOnce; ++n) {
        uint32_t other[4];
        load_factors<T>(other, right.chunk(kAtOnce * n + lane % 8 + lane / 16 * (kAtOnce - 8),
                                           2 * k + lane / 8 % 2));
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
          float (&columns)[kColumns / 8][4] = sums.at[block];
          multiply_add<T>(columns[kAtOnce / 8 * n], parts[block], other[0], other[1]);
          if constexpr (kAtOnce == 16)
            multiply_add<T>(columns[2 * n + 1], parts[block], other[2], other[3]);
        }
      }
    }
  }
}

// sums += weights * right[:, first_column ...], weights rounded to T (float32: as they are).
template <class T, int kBlocks, int kColumns, int kInner, class Right>
__device__ inline void multiply_weights(Sums<kBlocks, kColumns>& sums,
                                        const Sums<kBlocks, kInner>& weights, const Right& right,
                                        int first_column, float* scratch) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  __syncwarp();  // where the weights were made, lanes may have parted
  if constexpr (std::is_same_v<T, float>) {
    static_assert(kBlocks == 1);
    constexpr int kStride = kInner + 4;  // 8 rows of a column lie in different banks
#pragma unroll
    for (int n = 0; n < kInner / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        scratch[(g + i / 2 * 8) * kStride + 8 * n + 2 * t + i % 2] = weights.at[0][n][i];
    __syncwarp();
#pragma unroll 1
    for (int k = 0; k < kInner; k += 4) {
      const auto above = Elements<float, 4>::load(scratch + g * kStride + k);
      const auto below = Elements<float, 4>::load(scratch + (g + 8) * kStride + k);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int n = 0; n < kColumns / 8; ++n) {
          const auto pair = Elements<float, 2>::load(right.at(k + i, first_column + 8 * n + 2 * t));
          float (&sum)[4] = sums.at[0][n];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            sum[e] = fmaf(above.element[i], pair.element[e], sum[e]);
            sum[2 + e] = fmaf(below.element[i], pair.element[e], sum[2 + e]);
          }
        }
    }
    __syncwarp();  // before the next weights
  } else if constexpr (std::is_same_v<T, Tf32>) {
    // A thread has the weights of columns 2t and 2t + 1, and the tensor cores want t and t + 4 of
    // it: so these change places, and the rows of `right` with them.
    const auto factor = [](float x) { return factor_of<T>(__float_as_uint(x)); };
#pragma unroll
    for (int k = 0; k < kInner / 8; ++k) {
      uint32_t parts[kBlocks][4];
#pragma unroll
      for (int block = 0; block < kBlocks; ++block)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          parts[block][i] = factor(weights.at[block][k][i % 2 * 2 + i / 2]);
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        const int row = 8 * k + 2 * t, column = first_column + 8 * n + g;
        const uint32_t above = factor(right.at(row, column)->value);
        const uint32_t below = factor(right.at(row + 1, column)->value);
#pragma unroll
        for (int block = 0; block < kBlocks; ++block)
          multiply_add<T>(sums.at[block][n], parts[block], above, below);
      }
    }
  } else {
#pragma unroll
    for (int k = 0; k < kInner / 16; ++k) {
      uint32_t parts[kBlocks][4];
#pragma unroll
      for (int block = 0; block < kBlocks; ++block)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = weights.at[block][2 * k + i / 2] + i % 2 * 2;
          parts[block][i] = packed<T>(pair[0], pair[1]);
        }
#pragma unroll
      for (int n = 0; n < kColumns / 16; ++n) {
        uint32_t other[4];
        load_transposed(other,
                        right.chunk(16 * k + lane % 16, first_column / 8 + 2 * n + lane / 16));
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
          multiply_add<T>(sums.at[block][2 * n], parts[block], other[0], other[1]);
          multiply_add<T>(sums.at[block][2 * n + 1], parts[block], other[2], other[3]);
        }
      }
    }
  }
}

}  // namespace dlplug
