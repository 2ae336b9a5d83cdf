// What every form of AdamW does on a GPU before its elements: one launch for all parameters. Each
// block updates one chunk of one parameter, so its work follows from the shapes alone; no element
// depends on another, and the bits are the same on every run.
#pragma once

#include "csrc/common/adamw_options.h"
#include "csrc/cuda/adamw_values.cuh"
#include "csrc/cuda/last_block.cuh"
#include "csrc/cuda/launch.h"
#include "csrc/cuda/vector.cuh"
#include "csrc/ops/adamw.h"

namespace dlplug::device {

constexpr int kThreads = 256;

// Where a row's step number stands: the same for all of them, in the table, or at an address there.
enum class Steps : int64_t { kSame, kInTable, kOnDevice };

// What `numbers` of csrc/ops/adamw.h holds, in its order, and what the host adds.
struct Call {
  int64_t count, chunks, chunk;  // rows, blocks, elements of a block
  int64_t is_amsgrad, maximize, storage, seed;
  Steps steps;
  const float *lr_on_device, *scale_on_device, *found_inf;  // or null
  const double* norm;                                       // of all gradients, or null
  int64_t* seed_on_device;                                  // or null
  double lr, beta1, beta2, eps, weight_decay, grad_scale, grad_factor, average_weight, max_norm;
  // Added by the host.
  float step;                   // this step's number, if it is the same in all rows
  BiasCorrections corrections;  // of that step
  const double* numbers;        // those of adamw_ where they lie on the device, or null
};

// The columns of a table, after a counter of blocks.
struct Table {
  int64_t* numbers;
  int64_t count;

  enum Column {
    kParam,
    kExpAvg,
    kExpAvgSq,
    kExtra,
    kExpAvgScale,
    kExpAvgSqScale,
    kAverage,
    kStep,
    kNumel,
    kDtype,
    kStorage,
    kFirstChunk,
    kGrad,
    kColumns
  };

  __device__ int64_t at(Column column, int64_t row) const {
    return numbers[1 + column * count + row];
  }
  template <class T>
  __device__ T* address(Column column, int64_t row) const {
    return reinterpret_cast<T*>(at(column, row));
  }
  __device__ int* blocks_that_began() const { return reinterpret_cast<int*>(numbers); }
};

struct Row {
  void *param, *grad, *exp_avg, *exp_avg_sq, *extra;
  float *exp_avg_scale, *exp_avg_sq_scale, *average;
  Dtype dtype;
  int64_t storage, index;  // of a storage, of the parameter for its random bits
  uint64_t seed;           // of these bits
  int64_t place;           // in the table
  int64_t begin, end;      // this block's elements
};

// The row that has a chunk: the last that begins at it or before.
__device__ inline Row row_of(const Table& table, int64_t chunk, int64_t elements) {
  int64_t low = 0, high = table.count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (table.at(Table::kFirstChunk, middle) <= chunk ? low : high) = middle;
  }
  Row row;
  row.param = table.address<void>(Table::kParam, low);
  row.grad = table.address<void>(Table::kGrad, low);
  row.exp_avg = table.address<void>(Table::kExpAvg, low);
  row.exp_avg_sq = table.address<void>(Table::kExpAvgSq, low);
  row.extra = table.address<void>(Table::kExtra, low);
  row.exp_avg_scale = table.address<float>(Table::kExpAvgScale, low);
  row.exp_avg_sq_scale = table.address<float>(Table::kExpAvgSqScale, low);
  row.average = table.address<float>(Table::kAverage, low);
  row.dtype = static_cast<Dtype>(table.at(Table::kDtype, low));
  row.storage = table.at(Table::kStorage, low) & 0xff;
  row.index = table.at(Table::kStorage, low) >> 8;
  row.place = low;
  row.begin = (chunk - table.at(Table::kFirstChunk, low)) * elements;
  const int64_t numel = table.at(Table::kNumel, low), left = numel - row.begin;
  row.end = left < elements ? numel : row.begin + elements;
  return row;
}

__device__ inline AdamWConstants constants_for(const Call& call, const Table& table, int64_t row) {
  Hyperparameters given{call.lr,         call.beta1,        call.beta2,
                        call.eps,        call.weight_decay, call.maximize != 0,
                        call.grad_scale, call.grad_factor,  call.average_weight};
  if (call.numbers != nullptr) given = hyperparameters_of(call.numbers, call.maximize != 0);
  if (call.lr_on_device != nullptr) given.lr = *call.lr_on_device;
  if (call.scale_on_device != nullptr) given.grad_scale = *call.scale_on_device;
  if (call.norm != nullptr)  // of gradients before they are divided by their scale
    given.grad_factor *= clip_factor(*call.norm, call.max_norm * given.grad_scale);
  BiasCorrections corrections = call.corrections;
  if (call.steps != Steps::kSame || call.numbers != nullptr) {
    double step = call.step;
    if (call.steps == Steps::kInTable) step = static_cast<double>(table.at(Table::kStep, row));
    if (call.steps == Steps::kOnDevice) step = *table.address<float>(Table::kStep, row) + 1.0f;
    corrections = bias_corrections(given.beta1, given.beta2, step);
  }
  return constants_of(options_of(given), negative_step_of(given.lr, corrections),
                      inverse_root_of(corrections));
}

// Counts the steps that lie on the device and leaves the next step's seed there, once all blocks
// have read theirs.
__device__ inline void count_steps(const Call& call, const Table& table, uint64_t seed) {
  for (int64_t i = threadIdx.x; i < table.count; i += kThreads)
    *table.address<float>(Table::kStep, i) += 1.0f;
  if (threadIdx.x == 0 && call.seed_on_device != nullptr)
    *call.seed_on_device =
        static_cast<int64_t>((seed + static_cast<uint64_t>(call.seed)) & INT64_MAX);
}

// One block a chunk; `Form::update(row, constants)` for its elements.
template <class Form>
__global__ void __launch_bounds__(kThreads) update_chunks(const Table table, const Call call) {
  if (call.found_inf != nullptr && *call.found_inf != 0.0f) return;
  const bool has_chunk = blockIdx.x < call.chunks;  // not if all tensors are empty
  Row row{};
  if (has_chunk) row = row_of(table, blockIdx.x, call.chunk);
  __shared__ AdamWConstants constants;
  __shared__ uint64_t seed;
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    if (has_chunk) constants = constants_for(call, table, row.place);
    seed = static_cast<uint64_t>(call.seed_on_device == nullptr ? call.seed : *call.seed_on_device);
    // All has been read that the last block changes.
    is_last = call.steps == Steps::kOnDevice && is_last_block(table.blocks_that_began());
  }
  __syncthreads();
  if (is_last) count_steps(call, table, seed);
  if (!has_chunk) return;
  row.seed = seed;
  const AdamWConstants own = constants;  // in registers: stores cannot change it
  Form::update(row, own);
}

// ---- elements ----

template <int kCount, class T>
__device__ inline bool is_aligned(const T* array) {
  return reinterpret_cast<uintptr_t>(array) % kAlignmentOf<T, kCount> == 0;
}

// kCount neighbours from i on. `S` reads and writes all but gradient and average; `bits` are random
// ones for each, or null.
template <int kCount, bool kIsAmsgrad, class T, class S>
__device__ inline void update_elements(const Row& row, const S& storage, const AdamWConstants& c,
                                       int64_t i, const uint32_t* bits) {
  AdamWValues x[kCount];
  T* grad = static_cast<T*>(row.grad) + i;
  storage.template read<kCount>(x, i);
  auto grads = Elements<T, kCount>::load(grad);
#pragma unroll
  for (int k = 0; k < kCount; ++k) {
    x[k].grad = grads.at(k);
    update_values<kIsAmsgrad>(c, x[k]);
    grads.set(k, x[k].grad);
  }
  float stored[kCount];
  storage.template write<kCount>(x, i, bits, stored);
  if (c.is_unscaling) grads.store(grad);
  if (row.average != nullptr) {
    auto average = Elements<float, kCount>::load(row.average + i);
#pragma unroll
    for (int k = 0; k < kCount; ++k) average.set(k, lerp(c.average, average.at(k), stored[k]));
    average.store(row.average + i);
  }
}

// The elements of a block, in vectors where all arrays allow it; what is left one by one.
template <bool kIsAmsgrad, class T, class S>
__device__ inline void update_block(const Row& row, const S& storage, const AdamWConstants& c) {
  constexpr int kCount = S::kCount;
  int64_t rest = row.begin;
  if (storage.is_aligned() && is_aligned<kCount>(static_cast<const T*>(row.grad)) &&
      is_aligned<kCount>(row.average)) {
    const int64_t vectors = (row.end - row.begin) / kCount;
    for (int64_t v = threadIdx.x; v < vectors; v += kThreads)
      update_elements<kCount, kIsAmsgrad, T>(row, storage, c, row.begin + v * kCount, nullptr);
    rest += vectors * kCount;
  }
  for (int64_t i = rest + threadIdx.x; i < row.end; i += kThreads)
    update_elements<1, kIsAmsgrad, T>(row, storage, c, i, nullptr);
}

// ---- launcher ----

struct Prepared {
  Table table;
  Call call;
};

// Reads `numbers`, and counts the steps that the host has. Defined in adamw.cu.
Prepared prepare(const Tensor& table, const Tensor& numbers, const Tensor& steps);

template <class Form>
void launch_form(const Tensor& table, const Prepared& prepared) {
  const int64_t blocks = prepared.call.chunks > 0 ? prepared.call.chunks : 1;
  const FlushedDenormals flushed;
  STD_TORCH_CHECK(blocks <= INT32_MAX, "too many elements for one launch: ", blocks, " blocks");
  launch(update_chunks<Form>, static_cast<unsigned>(blocks), kThreads, 0, current_stream(table),
         prepared.table, prepared.call);
}

}  // namespace dlplug::device
