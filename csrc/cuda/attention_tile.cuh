// Tiles of a head's rows in shared memory.
#pragma once

#include "csrc/cuda/attention.h"
#include "csrc/cuda/mma.cuh"
#include "csrc/cuda/row.cuh"

namespace dlplug {

// The rows of one head, (rows, width).
template <class T>
struct Head {
  T* data;
  int64_t stride;
  int rows, width;
  bool is_regular;

  __device__ Head(const HeadRows& from, int batch, int head, int rows, int width)
      : data(static_cast<T*>(from.data) + batch * from.batch + head * from.head),
        stride(from.row),
        rows(rows),
        width(width),
        is_regular(from.is_regular) {}

  __device__ T* row(int i) const { return data + i * stride; }
};

// The rows of `heads` neighbouring heads, one head after the other.
template <class T>
struct HeadGroup {
  T* data;
  int64_t head, stride;
  int rows_per_head, rows, width;
  bool is_regular;

  __device__ HeadGroup(const HeadRows& from, int batch, int first_head, int heads, int rows,
                       int width)
      : data(static_cast<T*>(from.data) + batch * from.batch + first_head * from.head),
        head(from.head),
        stride(from.row),
        rows_per_head(rows),
        rows(heads * rows),
        width(width),
        is_regular(from.is_regular) {}

  __device__ T* row(int i) const {
    return data + i / rows_per_head * head + i % rows_per_head * stride;
  }
};

// kRows x kWidth elements. Within a row, chunks of 16 bytes change places by the row's number, so
// that the same chunk of 8 neighbouring rows lies in 8 different groups of banks.
template <class T, int kRows_, int kWidth_>
struct Tile {
  static constexpr int kRows = kRows_, kWidth = kWidth_;
  static constexpr int kPerChunk = 16 / sizeof(T), kChunks = kWidth / kPerChunk;
  static constexpr int kBytes = kRows * kWidth * sizeof(T);
  static_assert(kChunks % 8 == 0);
  T* data;

  __device__ T* chunk(int row, int column) const {
    return data + row * kWidth + (column ^ (row & 7)) * kPerChunk;
  }
  __device__ T* at(int row, int column) const {
    return chunk(row, column / kPerChunk) + column % kPerChunk;
  }

  // Rows first, first + 1, ... of `from`, by all kThreads of a block; 0 beyond its rows and width.
  template <int kThreads, class From>
  __device__ void load(const From& from, int first, AsyncCopies& copies) const {
#pragma unroll 4
    for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
      const int row = i / kChunks, column = i % kChunks * kPerChunk;
      const int count = first + row < from.rows ? from.width - column : 0;
      const T* source = from.row(first + row) + column;
      T* target = chunk(row, i % kChunks);
      if (count >= kPerChunk && from.is_regular) {
        copies.copy(target, source);
        continue;
      }
      Elements<T, kPerChunk> values;
#pragma unroll
      for (int j = 0; j < kPerChunk; ++j)
        values.element[j] = j < count ? source[j] : from_float<T>(0.0f);
      values.store(target);
    }
  }
};

// Tiles of the same rows of two tensors, twice: one pair is read while the next is loaded.
template <class T, int kRows, int kWidth>
struct TilePair {
  using Each = Tile<T, kRows, kWidth>;
  static constexpr int kBytes = 4 * Each::kBytes;
  T* data;

  __device__ Each first(int stage) const { return {data + 2 * stage * kRows * kWidth}; }
  __device__ Each second(int stage) const { return {data + (2 * stage + 1) * kRows * kWidth}; }
  __device__ T* end() const { return data + 4 * kRows * kWidth; }

  template <int kThreads>
  __device__ void load(int stage, const Head<const T>& one, const Head<const T>& other, int row,
                       AsyncCopies& copies) const {
    first(stage).template load<kThreads>(one, row, copies);
    second(stage).template load<kThreads>(other, row, copies);
  }
};

// Sums of a warp: kBlocks blocks of 16 rows, with kColumns columns. A thread's part of 16 x 8 is
// that of mma.cuh: [2 * r + e] is row g + 8 * r, column 2 * t + e.
template <int kBlocks, int kColumns>
struct Sums {
  float at[kBlocks][kColumns / 8][4];

  __device__ void clear() {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) at[block][n][i] = 0.0f;
  }

  // Columns first_column, ... of the rows first, first + 1, ... of `to`, times `factor`.
  template <class T>
  __device__ void store(const Head<T>& to, int first, int first_column,
                        const float (&factor)[kBlocks][2]) const {
    const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = first + 16 * block + 8 * r + g;
        if (row >= to.rows) continue;
        T* target = to.row(row);
#pragma unroll
        for (int n = 0; n < kColumns / 8; ++n) {
          const int column = first_column + 8 * n + 2 * t;
          Elements<T, 2> pair;
          pair.set(0, scaled(at[block][n][2 * r], factor[block][r]));
          pair.set(1, scaled(at[block][n][2 * r + 1], factor[block][r]));
          if (to.is_regular && column + 1 < to.width) {
            pair.store(target + column);
          } else {
            if (column < to.width) target[column] = pair.element[0];
            if (column + 1 < to.width) target[column + 1] = pair.element[1];
          }
        }
      }
  }

 private:
  // A factor of 0 is of what nobody sees, and gives 0 whatever the value.
  __device__ static float scaled(float value, float factor) {
    return factor == 0.0f ? 0.0f : value * factor;
  }
};

}  // namespace dlplug
