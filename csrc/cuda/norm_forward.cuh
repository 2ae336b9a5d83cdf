// Forward of the norms, one kernel for LayerNorm and RMSNorm, with and without residual. A row is
// read from memory once and kept as it will be written (h): in registers, a wider one in shared
// memory, one that is wider still in the registers of a cluster of blocks; the widest are read
// again for each sweep.
// Bytes per element: size of x + size of y, with residual also those of residual and h.
#pragma once

#include "csrc/cuda/cluster.cuh"
#include "csrc/cuda/philox.cuh"
#include "csrc/cuda/row.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace dlplug {

// Shapes (rows, width); strides count elements from one row to the next, outputs are contiguous.
template <class X, class H>
struct NormForward {
  bool is_centered;   // LayerNorm; else RMSNorm
  const X* x;         // row stride x_stride
  const H* residual;  // row stride residual_stride; null in the ops without residual
  Row<H> weight, bias;
  H* h;  // null in the ops without residual
  H* y;
  float* mean;  // (rows,); not written by RMSNorm
  float* rstd;  // (rows,)
  int64_t rows, width, x_stride, residual_stride;
  float eps;
  int threads;      // per row and block
  unsigned blocks;  // per row: a cluster, or 1
  int64_t part;     // columns of a block
  Dropout dropout;
};

// One thread's part of a row.
template <class X, class H, int kCount>
struct ForwardPart {
  const NormForward<X, H>& args;
  const X* x;
  const H* residual;
  H *h, *y;

  __device__ ForwardPart(const NormForward<X, H>& args, int64_t row)
      : args(args),
        x(args.x + row * args.x_stride),
        residual(args.residual == nullptr ? nullptr : args.residual + row * args.residual_stride),
        h(args.residual == nullptr ? nullptr : args.h + row * args.width),
        y(args.y + row * args.width) {}

  // h from column j on, written where it is an output. `kept`: bit i of column j + i.
  __device__ Elements<H, kCount> make(int64_t j, bool has_dropout, uint32_t kept) const {
    const auto own = Elements<X, kCount>::load(x + j);
    Elements<H, kCount> sum;
    if (residual == nullptr) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) sum.set(i, own.at(i));
      return sum;
    }
    const auto stream = Elements<H, kCount>::load(residual + j);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float value = own.at(i);
      if (has_dropout) value = (kept >> i & 1) != 0 ? value * args.dropout.scale : 0.0f;
      sum.set(i, value + stream.at(i));
    }
    sum.store(h + j);
    return sum;
  }

  // What `make` gave, once more from memory.
  __device__ Elements<H, kCount> read(int64_t j) const {
    const H* from = h;
    if constexpr (sizeof(X) == sizeof(H))
      if (residual == nullptr) from = reinterpret_cast<const H*>(x);
    return Elements<H, kCount>::load(from + j);
  }

  // In this form a row of equal numbers gives exactly the bias.
  __device__ void write(int64_t j, const Elements<H, kCount>& values, float mean,
                        float rstd) const {
    float weight[kCount], bias[kCount];
    args.weight.template load<kCount>(j, 1.0f, weight);
    args.bias.template load<kCount>(j, 0.0f, bias);
    Elements<H, kCount> out;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      out.set(i, fmaf((values.at(i) - mean) * rstd, weight[i], bias[i]));
    out.store(y + j);
  }
};

// kVectors: those that a thread keeps in registers. 0 for wider rows, of which a block keeps one in
// shared memory, each vector for the thread that put it there, or reads it again.
template <class X, class H, int kCount, int kVectors, bool kIsShared>
__global__ void __launch_bounds__(kMaxThreadsPerRow) norm_forward_rows(NormForward<X, H> args) {
  constexpr bool kKeeps = kVectors > 0;
  const int threads = args.threads, thread = threadIdx.x % threads;
  const int rows_per_block = blockDim.x / threads;
  const bool has_dropout = args.dropout.threshold != 0;
  const uint64_t seed = has_dropout ? static_cast<uint64_t>(*args.dropout.seed) : 0;
  const unsigned rank = blockIdx.x % args.blocks;
  Columns<kCount> columns(thread, threads, has_dropout);
  columns.base += rank * args.part;
  const int64_t width = args.width, stretch = columns.outer;
  const int64_t last = (rank + 1) * args.part < width ? (rank + 1) * args.part : width;
  const int groups =
      kKeeps ? kVectors / kVectorsPerGroup : static_cast<int>((width + stretch - 1) / stretch);
  const float inverse_width = 1.0f / static_cast<float>(width);
  auto* const shared_row = reinterpret_cast<Elements<H, kCount>*>(dynamic_shared_memory());
  ClusterSums cluster(args.blocks > 1 ? dynamic_shared_memory() : nullptr);

  // All threads make the same turns, so that they meet in the sums.
  for (int64_t first = static_cast<int64_t>(blockIdx.x / args.blocks) * rows_per_block;
       first < args.rows; first += static_cast<int64_t>(gridDim.x / args.blocks) * rows_per_block) {
    const int64_t row = first + threadIdx.x / threads;
    const int64_t end = row < args.rows ? last : 0;  // of the columns that this thread may touch
    const ForwardPart<X, H, kCount> part(args, row < args.rows ? row : 0);
    Elements<H, kCount> values[kKeeps ? kVectors : 1];
    // What `make` gave for vector v, whose columns begin with j.
    auto kept_at = [&](int v, int64_t j) {
      if constexpr (kKeeps) return values[v];
      if constexpr (kIsShared) return shared_row[v * threads + thread];
      return part.read(j);
    };
    float sums[1] = {0.0f};

#pragma unroll
    for (int group = 0; group < groups; ++group) {
      uint32_t kept = 0;
      if (has_dropout)
        kept = kept_columns<kCount>(args.dropout, seed, row, columns.base + group * stretch);
#pragma unroll
      for (int k = 0; k < kVectorsPerGroup; ++k) {
        const int64_t j = columns.base + k * columns.inner + group * stretch;
        if (j >= end) continue;
        const int v = group * kVectorsPerGroup + k;
        const auto value = part.make(j, has_dropout, kept >> (k * kCount));
        if constexpr (kKeeps) values[v] = value;
        if constexpr (kIsShared) shared_row[v * threads + thread] = value;
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          const float number = value.at(i);
          sums[0] = args.is_centered ? sums[0] + number : fmaf(number, number, sums[0]);
        }
      }
    }
    sum_over_row(sums, threads);
    cluster.add(sums);

    float mean = 0.0f, variance = sums[0] * inverse_width;
    if (args.is_centered) {
      mean = sums[0] * inverse_width;
      float deviations[2] = {0.0f, 0.0f};  // and their squares
#pragma unroll
      for (int group = 0; group < groups; ++group) {
#pragma unroll
        for (int k = 0; k < kVectorsPerGroup; ++k) {
          const int64_t j = columns.base + k * columns.inner + group * stretch;
          if (j >= end) continue;
          const auto value = kept_at(group * kVectorsPerGroup + k, j);
#pragma unroll
          for (int i = 0; i < kCount; ++i) {
            const float deviation = value.at(i) - mean;
            deviations[0] += deviation;
            deviations[1] = fmaf(deviation, deviation, deviations[1]);
          }
        }
      }
      sum_over_row(deviations, threads);
      cluster.add(deviations);
      // The deviations' own sum takes back the rounding error of the first mean.
      const float shift = deviations[0] * inverse_width;
      mean += shift;
      variance = deviations[1] * inverse_width - shift * shift;
      if (variance < 0.0f) variance = 0.0f;  // and a NaN stays
    }
    const float rstd = 1.0f / sqrtf(variance + args.eps);
    if (thread == 0 && rank == 0 && row < args.rows) {
      if (args.is_centered) args.mean[row] = mean;
      args.rstd[row] = rstd;
    }

#pragma unroll
    for (int group = 0; group < groups; ++group) {
#pragma unroll
      for (int k = 0; k < kVectorsPerGroup; ++k) {
        const int64_t j = columns.base + k * columns.inner + group * stretch;
        if (j >= end) continue;
        part.write(j, kept_at(group * kVectorsPerGroup + k, j), mean, rstd);
      }
    }
  }
}

}  // namespace dlplug
