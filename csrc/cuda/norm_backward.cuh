// Backward of the norms. With xhat = (h - mean) * rstd and g = grad_y * weight:
//   gradient of h = rstd * (g - mean(g) - xhat * mean(g * xhat)) + grad_h    RMSNorm: no mean(g)
//   grad_weight   = sum over rows of grad_y * xhat,  grad_bias = sum over rows of grad_y
//   grad_x        = gradient of h, with the dropout of the forward pass
// A block takes one part of the rows, one after another, and keeps its sums for weight and bias in
// registers; the parts are added afterwards. Wide rows are kept in shared memory, or in the
// registers of a cluster of blocks. How rows are split and in which order sums are made
// depends on the shape alone: the same bits on every run.
// Bytes per element: grad_y, h and grad_input once each, and grad_h, grad_x where they exist.
#pragma once

#include "csrc/cuda/cluster.cuh"
#include "csrc/cuda/philox.cuh"
#include "csrc/cuda/row.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace dlplug {

template <class X, class H>
struct NormBackward {
  bool is_centered;
  const H* grad_y;  // row stride grad_y_stride
  const H* grad_h;  // row stride grad_h_stride: what else reaches h; or null
  const H* h;       // row stride h_stride; x in the ops without residual
  Row<H> weight;
  const float* mean;  // (rows,); not read by RMSNorm
  const float* rstd;  // (rows,)
  H* grad_input;      // gradient of h, which is that of residual
  X* grad_x;          // gradient of x where it differs from that of h; or null
  float* sums;        // (parts, 2, width) for weight and bias, RMSNorm (parts, 1, width); or null
  int64_t rows, width, grad_y_stride, grad_h_stride, h_stride;
  int threads;      // per row and block
  unsigned blocks;  // per row: a cluster, or 1
  int64_t part;     // columns of a block
  Dropout dropout;
};

// What a row's sums say.
struct RowGradient {
  float mean, rstd, mean_g, mean_g_xhat;

  __device__ float xhat(float value) const { return (value - mean) * rstd; }
};

// Writes the gradients of one row from column j on. `kept`: bit i of column j + i.
template <class X, class H, int kCount>
__device__ inline void write_gradients(const NormBackward<X, H>& args, int64_t row, int64_t j,
                                       const Elements<H, kCount>& grads,
                                       const Elements<H, kCount>& values, const RowGradient& at,
                                       bool has_dropout, uint32_t kept) {
  float weight[kCount], gradient[kCount];
  args.weight.template load<kCount>(j, 1.0f, weight);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    // In this order a row of width 1 gives exactly 0.
    const float g = grads.at(i) * weight[i] - at.mean_g;
    gradient[i] = fmaf(at.xhat(values.at(i)), -at.mean_g_xhat, g) * at.rstd;
  }
  if (args.grad_h != nullptr) {
    const auto others = Elements<H, kCount>::load(args.grad_h + row * args.grad_h_stride + j);
#pragma unroll
    for (int i = 0; i < kCount; ++i) gradient[i] += others.at(i);
  }
  Elements<H, kCount> out;
#pragma unroll
  for (int i = 0; i < kCount; ++i) out.set(i, gradient[i]);
  out.store(args.grad_input + row * args.width + j);
  if (args.grad_x == nullptr) return;
  Elements<X, kCount> own;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (has_dropout) gradient[i] = (kept >> i & 1) != 0 ? gradient[i] * args.dropout.scale : 0.0f;
    own.set(i, gradient[i]);
  }
  own.store(args.grad_x + row * args.width + j);
}

// Adds the sums of a block's rows that went on side by side, in order, in shared memory
// (2 * width floats where there are several), and writes them, of the columns below `last`.
template <int kCount, int kVectors>
__device__ inline void write_sums(float* to, const Columns<kCount>& columns, int64_t last,
                                  int64_t width, int threads, bool has_bias,
                                  const float (&weights)[kVectors][kCount],
                                  const float (&biases)[kVectors][kCount]) {
  float* const shared = dynamic_shared_memory();
  const int rows_per_block = blockDim.x / threads;
  for (int turn = 0; turn < rows_per_block; ++turn) {
    const bool is_first = turn == 0, is_last = turn == rows_per_block - 1;
    if (static_cast<int>(threadIdx.x) / threads == turn) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const int64_t j = columns.of(v);
        if (j >= last) continue;
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          float weight = weights[v][i], bias = biases[v][i];
          if (!is_first) {
            weight += shared[j + i];
            bias += shared[width + j + i];
          }
          float* const kept = is_last ? to : shared;
          kept[j + i] = weight;
          if (has_bias || !is_last) kept[width + j + i] = bias;
        }
      }
    }
    __syncthreads();
  }
}

// Adds what column j on of a row brings to the sums over the row (of g and of g * xhat), and to
// those over rows.
template <class X, class H, int kCount>
__device__ inline void add_to_sums(const NormBackward<X, H>& args, int64_t j,
                                   const Elements<H, kCount>& grads,
                                   const Elements<H, kCount>& values, const RowGradient& at,
                                   float (&sums)[2], float* weights, float* biases) {
  float weight[kCount];
  args.weight.template load<kCount>(j, 1.0f, weight);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float grad = grads.at(i), g = grad * weight[i], xhat = at.xhat(values.at(i));
    sums[0] += g;
    sums[1] = fmaf(g, xhat, sums[1]);
    if (weights != nullptr) weights[i] = fmaf(grad, xhat, weights[i]);
    if (biases != nullptr) biases[i] += grad;
  }
}

template <class X, class H>
__device__ inline RowGradient statistics_of(const NormBackward<X, H>& args, int64_t row) {
  return {args.is_centered ? args.mean[row] : 0.0f, args.rstd[row], 0.0f, 0.0f};
}

template <class X, class H>
__device__ inline void finish_sums(const NormBackward<X, H>& args, ClusterSums& cluster,
                                   float (&sums)[2], RowGradient& at) {
  sum_over_row(sums, args.threads);
  cluster.add(sums);
  const float inverse_width = 1.0f / static_cast<float>(args.width);
  at.mean_g = args.is_centered ? sums[0] * inverse_width : 0.0f;
  at.mean_g_xhat = sums[1] * inverse_width;
}

// kVectors: those of a row that a thread keeps in registers.
template <class X, class H, int kCount, int kVectors>
__global__ void __launch_bounds__(kMaxThreadsPerRow) norm_backward_rows(NormBackward<X, H> args) {
  using Part = Elements<H, kCount>;
  const int threads = args.threads, rows_per_block = blockDim.x / threads;
  const bool has_dropout = args.grad_x != nullptr && args.dropout.threshold != 0;
  const uint64_t seed = has_dropout ? static_cast<uint64_t>(*args.dropout.seed) : 0;
  const unsigned rank = blockIdx.x % args.blocks, part = blockIdx.x / args.blocks;
  const unsigned parts = gridDim.x / args.blocks;
  Columns<kCount> columns(threadIdx.x % threads, threads, has_dropout);
  columns.base += rank * args.part;
  const int64_t last = (rank + 1) * args.part < args.width ? (rank + 1) * args.part : args.width;
  const int64_t begin = args.rows * part / parts, end = args.rows * (part + 1) / parts;
  ClusterSums cluster(args.blocks > 1 ? dynamic_shared_memory() : nullptr);
  float weights[kVectors][kCount] = {}, biases[kVectors][kCount] = {};

  // All threads make the same turns, so that they meet in the sums.
  for (int64_t first = begin; first < end; first += rows_per_block) {
    const int64_t row = first + threadIdx.x / threads;
    const int64_t beyond = row < end ? last : 0;  // the columns that this thread may touch
    RowGradient at = row < end ? statistics_of(args, row) : RowGradient{};
    Part grads[kVectors], values[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t j = columns.of(v);
      if (j >= beyond) continue;
      grads[v] = Part::load(args.grad_y + row * args.grad_y_stride + j);
      values[v] = Part::load(args.h + row * args.h_stride + j);
    }
    float sums[2] = {0.0f, 0.0f};
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t j = columns.of(v);
      if (j < beyond)
        add_to_sums<X, H, kCount>(args, j, grads[v], values[v], at, sums, weights[v], biases[v]);
    }
    finish_sums(args, cluster, sums, at);
#pragma unroll
    for (int v = 0; v < kVectors; v += kVectorsPerGroup) {
      const uint32_t kept =
          has_dropout ? kept_columns<kCount>(args.dropout, seed, row, columns.of(v)) : 0;
#pragma unroll
      for (int k = 0; k < kVectorsPerGroup; ++k) {
        const int64_t j = columns.of(v + k);
        if (j < beyond)
          write_gradients<X, H, kCount>(args, row, j, grads[v + k], values[v + k], at, has_dropout,
                                        kept >> (k * kCount));
      }
    }
  }
  if (args.sums == nullptr) return;
  const int64_t length = args.is_centered ? 2 * args.width : args.width;
  write_sums<kCount, kVectors>(args.sums + part * length, columns, last, args.width, threads,
                               args.is_centered, weights, biases);
}

// Rows of any width: kept in shared memory, each vector for the thread that put it there, or read
// twice. The sums over rows are added up in memory, where a column belongs to one thread
// throughout.
template <class X, class H, int kCount, bool kIsShared>
__global__ void __launch_bounds__(kMaxThreadsPerRow) norm_backward_wide(NormBackward<X, H> args) {
  using Part = Elements<H, kCount>;
  const bool has_dropout = args.grad_x != nullptr && args.dropout.threshold != 0;
  const uint64_t seed = has_dropout ? static_cast<uint64_t>(*args.dropout.seed) : 0;
  const Columns<kCount> columns(threadIdx.x, args.threads, has_dropout);
  const int64_t width = args.width, begin = args.rows * blockIdx.x / gridDim.x;
  const int64_t end = args.rows * (blockIdx.x + 1) / gridDim.x;
  const int64_t length = args.is_centered ? 2 * width : width;
  float* const weights = args.sums == nullptr ? nullptr : args.sums + blockIdx.x * length;
  float* const biases = weights == nullptr || !args.is_centered ? nullptr : weights + width;
  const int num_vectors =
      static_cast<int>((width + columns.outer - 1) / columns.outer) * kVectorsPerGroup;
  auto* const shared_grads = reinterpret_cast<Part*>(dynamic_shared_memory());
  Part* const shared_values = shared_grads + int64_t{num_vectors} * args.threads;
  ClusterSums cluster(nullptr);

  for (int v = 0; v < num_vectors; ++v) {
    const int64_t j = columns.of(v);
    for (int i = 0; i < kCount && j < width; ++i) {
      if (weights != nullptr) weights[j + i] = 0.0f;
      if (biases != nullptr) biases[j + i] = 0.0f;
    }
  }
  for (int64_t row = begin; row < end; ++row) {
    const H* const grad_y = args.grad_y + row * args.grad_y_stride;
    const H* const h = args.h + row * args.h_stride;
    RowGradient at = statistics_of(args, row);
    float sums[2] = {0.0f, 0.0f};
    for (int v = 0; v < num_vectors; ++v) {
      const int64_t j = columns.of(v);
      if (j >= width) continue;
      const Part grads = Part::load(grad_y + j), values = Part::load(h + j);
      if constexpr (kIsShared) {
        shared_grads[v * args.threads + threadIdx.x] = grads;
        shared_values[v * args.threads + threadIdx.x] = values;
      }
      add_to_sums<X, H, kCount>(args, j, grads, values, at, sums,
                                weights == nullptr ? nullptr : weights + j,
                                biases == nullptr ? nullptr : biases + j);
    }
    finish_sums(args, cluster, sums, at);
    for (int v = 0; v < num_vectors; v += kVectorsPerGroup) {
      const uint32_t kept =
          has_dropout ? kept_columns<kCount>(args.dropout, seed, row, columns.of(v)) : 0;
      for (int k = 0; k < kVectorsPerGroup; ++k) {
        const int64_t j = columns.of(v + k), at_shared = (v + k) * args.threads + threadIdx.x;
        if (j >= width) continue;
        const Part grads = kIsShared ? shared_grads[at_shared] : Part::load(grad_y + j);
        const Part values = kIsShared ? shared_values[at_shared] : Part::load(h + j);
        write_gradients<X, H, kCount>(args, row, j, grads, values, at, has_dropout,
                                      kept >> (k * kCount));
      }
    }
  }
}

constexpr int kPartColumns = 32, kPartLanes = 8;

// The sums of all parts, in the dtypes of weight and bias. A block takes 32 columns; lane l of them
// every eighth part.
template <class T>
__global__ void add_parts(const float* sums, int64_t parts, int64_t width, int64_t length,
                          void* weight, bool weight_is_float, void* bias, bool bias_is_float) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kPartColumns + threadIdx.x;
  float total = 0.0f;
  if (column < length)
    for (int64_t part = threadIdx.y; part < parts; part += kPartLanes)
      total += sums[part * length + column];
  __shared__ float lanes[kPartLanes][kPartColumns];
  lanes[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y != 0 || column >= length) return;
  for (int lane = 1; lane < kPartLanes; ++lane) total += lanes[lane][threadIdx.x];
  const bool is_weight = column < width;
  void* const to = is_weight ? weight : bias;
  const int64_t j = is_weight ? column : column - width;
  if (is_weight ? weight_is_float : bias_is_float)
    static_cast<float*>(to)[j] = total;
  else
    static_cast<T*>(to)[j] = from_float<T>(total);
}

}  // namespace dlplug
