// AdamW on a GPU: one launch for all parameters. Bytes moved an element as on the CPU
// (csrc/cpu/kernels/adamw.cpp); the floor in time is those over the bandwidth.
#include <utility>

#include "csrc/common/adamw_lists.h"
#include "csrc/cuda/adamw_rows.cuh"
#include "csrc/cuda/write_table.cuh"

namespace dlplug::device {
namespace {

// Parameter and states of one dtype.
template <class T, bool kIsAmsgrad>
struct SameDtype {
  static constexpr int kCount = 16 / sizeof(T);
  T *param, *m, *v, *max_v;

  __device__ explicit SameDtype(const Row& row)
      : param(static_cast<T*>(row.param)),
        m(static_cast<T*>(row.exp_avg)),
        v(static_cast<T*>(row.exp_avg_sq)),
        max_v(static_cast<T*>(row.extra)) {}

  __device__ bool is_aligned() const {
    return device::is_aligned<kCount>(param) && device::is_aligned<kCount>(m) &&
           device::is_aligned<kCount>(v) && device::is_aligned<kCount>(max_v);
  }

  template <int n>
  __device__ void read(AdamWValues (&x)[n], int64_t i) const {
    const auto params = Elements<T, n>::load(param + i), ms = Elements<T, n>::load(m + i),
               vs = Elements<T, n>::load(v + i);
    Elements<T, n> max_vs{};
    if (kIsAmsgrad) max_vs = Elements<T, n>::load(max_v + i);
#pragma unroll
    for (int k = 0; k < n; ++k) x[k] = {params.at(k), 0.0f, ms.at(k), vs.at(k), max_vs.at(k)};
  }

  template <int n>
  __device__ void write(const AdamWValues (&x)[n], int64_t i, const uint32_t*,
                        float (&stored)[n]) const {
    Elements<T, n> params, ms, vs, max_vs;
#pragma unroll
    for (int k = 0; k < n; ++k) {
      params.set(k, x[k].param);
      ms.set(k, x[k].m);
      vs.set(k, x[k].v);
      max_vs.set(k, x[k].max_v);
      stored[k] = params.at(k);
    }
    params.store(param + i);
    ms.store(m + i);
    vs.store(v + i);
    if (kIsAmsgrad) max_vs.store(max_v + i);
  }
};

template <bool kIsAmsgrad>
struct Plain {
  __device__ static void update(const Row& row, const AdamWConstants& c) {
    switch (row.dtype) {
      case Dtype::kFloat32:
        return update_block<kIsAmsgrad, float>(row, SameDtype<float, kIsAmsgrad>(row), c);
      case Dtype::kBFloat16:
        return update_block<kIsAmsgrad, __nv_bfloat16>(
            row, SameDtype<__nv_bfloat16, kIsAmsgrad>(row), c);
      case Dtype::kFloat16:
        return update_block<kIsAmsgrad, __half>(row, SameDtype<__half, kIsAmsgrad>(row), c);
    }
  }
};

// Counts the steps of a host: by addresses, in order, because rows may share a counter. Where they
// do not agree they go into the table.
void count_steps_of_host(Prepared& prepared, const int64_t* addresses, cudaStream_t stream) {
  Call& call = prepared.call;
  std::vector<int64_t> values(call.count);
  bool are_same = true;
  for (int64_t i = 0; i < call.count; ++i) {
    float& step = *reinterpret_cast<float*>(addresses[i]);
    step += 1.0f;
    values[i] = static_cast<int64_t>(step);
    are_same = are_same && static_cast<float>(values[0]) == step;
  }
  call.step = static_cast<float>(values[0]);
  call.corrections = bias_corrections(call.beta1, call.beta2, call.step);
  if (are_same) return;
  call.steps = Steps::kInTable;
  write_table(prepared.table.numbers + 1 + Table::kStep * call.count, values.data(), call.count,
              stream);
}

// What the kernel needs of lists, as `numbers` would tell it; the table is written on the stream.
Prepared prepare_lists(const AdamWLists& lists, const std::vector<AdamWRow>& rows,
                       const Tensor& table, const Tensor& numbers, bool maximize) {
  constexpr int64_t kChunk = 8192;
  const auto count = static_cast<int64_t>(rows.size());
  Prepared prepared{{static_cast<int64_t*>(table.mutable_data_ptr()), count}, {}};
  Call& call = prepared.call;
  call.count = count;
  call.chunk = kChunk;
  call.is_amsgrad = !lists.max_exp_avg_sqs.empty();
  call.maximize = maximize;
  const auto* n = static_cast<const double*>(numbers.const_data_ptr());
  if (is_on_gpu(numbers)) {
    call.numbers = n;
  } else {
    const Hyperparameters given = hyperparameters_of(n, maximize);
    call.lr = given.lr;
    call.beta1 = given.beta1;
    call.beta2 = given.beta2;
    call.eps = given.eps;
    call.weight_decay = given.weight_decay;
    call.grad_scale = given.grad_scale;
    call.grad_factor = given.grad_factor;
    call.average_weight = given.average_weight;
  }
  std::vector<int64_t> values(table.numel()), addresses(count);
  for (int64_t i = 0; i < count; ++i) {
    const AdamWRow& row = rows[i];
    const auto at = [&](Table::Column column) -> int64_t& {
      return values[1 + column * count + i];
    };
    const auto address = [](const void* pointer) { return reinterpret_cast<int64_t>(pointer); };
    at(Table::kParam) = address(row.param);
    at(Table::kGrad) = address(row.grad);
    at(Table::kExpAvg) = address(row.exp_avg);
    at(Table::kExpAvgSq) = address(row.exp_avg_sq);
    at(Table::kExtra) = address(row.max_exp_avg_sq);
    at(Table::kAverage) = address(row.average);
    at(Table::kStep) = addresses[i] = address(lists.steps[i].mutable_data_ptr());
    at(Table::kNumel) = row.numel;
    at(Table::kDtype) = static_cast<int64_t>(row.dtype);
    at(Table::kFirstChunk) = call.chunks;
    call.chunks += (row.numel + kChunk - 1) / kChunk;
  }
  const cudaStream_t stream = current_stream(table);
  write_table(prepared.table.numbers, values.data(), table.numel(), stream);
  call.steps = is_on_gpu(lists.steps[0]) ? Steps::kOnDevice : Steps::kSame;
  if (call.steps == Steps::kSame) count_steps_of_host(prepared, addresses.data(), stream);
  return prepared;
}

void launch_plain(const Tensor& table, const Prepared& prepared) {
  if (prepared.call.is_amsgrad != 0)
    launch_form<Plain<true>>(table, prepared);
  else
    launch_form<Plain<false>>(table, prepared);
}

}  // namespace

Prepared prepare(const Tensor& table, const Tensor& numbers, const Tensor& steps) {
  constexpr int64_t kNumbers = 22;
  auto is_int64 = [](const Tensor& tensor) {
    return tensor.scalar_type() == ScalarType::Long && tensor.is_contiguous();
  };
  STD_TORCH_CHECK(is_on_gpu(table) && is_int64(table),
                  "expected a contiguous int64 table on a GPU");
  STD_TORCH_CHECK(numbers.is_cpu() && is_int64(numbers) && numbers.numel() == kNumbers, "expected ",
                  kNumbers, " numbers as int64 on the CPU");
  Prepared prepared{};
  static_assert(offsetof(Call, step) == kNumbers * sizeof(int64_t));
  std::memcpy(&prepared.call, numbers.const_data_ptr(), kNumbers * sizeof(int64_t));
  const int64_t count = prepared.call.count;
  STD_TORCH_CHECK(count > 0 && table.numel() == 1 + Table::kColumns * count, "expected a table of ",
                  int64_t{Table::kColumns}, " columns of ", count, " rows");
  prepared.table = {static_cast<int64_t*>(table.mutable_data_ptr()), count};
  if (prepared.call.steps == Steps::kOnDevice) return prepared;
  STD_TORCH_CHECK(steps.is_cpu() && is_int64(steps) && steps.numel() == count,
                  "expected the addresses of ", count, " steps on the CPU");
  STD_TORCH_CHECK(prepared.call.found_inf == nullptr,
                  "whether a step is skipped is known on the device, the steps are on the CPU");
  STD_TORCH_CHECK(prepared.call.seed_on_device == nullptr,
                  "the seed is on the device, the steps are on the CPU");
  count_steps_of_host(prepared, static_cast<const int64_t*>(steps.const_data_ptr()),
                      current_stream(table));
  return prepared;
}

}  // namespace dlplug::device

namespace dlplug {

void adamw_(std::vector<Tensor> params, std::vector<Tensor> grads, std::vector<Tensor> exp_avgs,
            std::vector<Tensor> exp_avg_sqs, std::vector<Tensor> max_exp_avg_sqs,
            std::vector<Tensor> steps, std::vector<Tensor> averages, const Tensor& numbers,
            bool maximize) {
  if (params.empty()) return;
  const Tensor first = params[0];
  STD_TORCH_CHECK(is_on_gpu(first), "expected parameters on a GPU");
  for (const auto* tensors :
       {&params, &grads, &exp_avgs, &exp_avg_sqs, &max_exp_avg_sqs, &averages})
    for (const Tensor& tensor : *tensors)
      STD_TORCH_CHECK(is_beside(tensor, first), "expected all tensors on the GPU of the first");
  const bool has_device_steps = !steps.empty() && is_on_gpu(steps[0]);
  for (const Tensor& step : steps)
    STD_TORCH_CHECK(has_device_steps ? is_beside(step, first) : step.is_cpu(),
                    "expected all steps on the GPU of the parameters, or all on the CPU");
  STD_TORCH_CHECK(numbers.scalar_type() == ScalarType::Double && numbers.is_contiguous() &&
                      numbers.numel() == 6 && (numbers.is_cpu() || is_beside(numbers, first)),
                  "expected six float64 numbers");
  const DeviceGuard guard(first.get_device_index());
  AdamWLists lists{std::move(params),      std::move(grads),           std::move(exp_avgs),
                   std::move(exp_avg_sqs), std::move(max_exp_avg_sqs), std::move(steps),
                   std::move(averages)};
  const std::vector<AdamWRow> rows = lists.rows();
  const int64_t numbers_of_table = 1 + device::Table::kColumns * static_cast<int64_t>(rows.size());
  const Tensor table = empty(first, {numbers_of_table}, ScalarType::Long);
  device::launch_plain(table, device::prepare_lists(lists, rows, table, numbers, maximize));
}

void adamw_device_table_(const Tensor& table, const Tensor& numbers, const Tensor& steps) {
  const DeviceGuard guard(table.get_device_index());
  device::launch_plain(table, device::prepare(table, numbers, steps));
}

}  // namespace dlplug
