// AdamW on a GPU: one launch for all parameters. Bytes moved an element as on the CPU
// (csrc/cpu/kernels/adamw.cpp); the floor in time is those over the bandwidth.
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
  __device__ static void update(const Row& row, const AdamWConstants& c, const Call&) {
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
void count_steps_of_host(Prepared& prepared, const Tensor& steps, cudaStream_t stream) {
  Call& call = prepared.call;
  const auto* addresses = static_cast<const int64_t*>(steps.const_data_ptr());
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

}  // namespace

Prepared prepare(const Tensor& table, const Tensor& numbers, const Tensor& steps) {
  constexpr int64_t kNumbers = 21;
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
  count_steps_of_host(prepared, steps, current_stream(table));
  return prepared;
}

}  // namespace dlplug::device

namespace dlplug {

void adamw_device_table_(const Tensor& table, const Tensor& numbers, const Tensor& steps) {
  const DeviceGuard guard(table.get_device_index());
  const device::Prepared prepared = device::prepare(table, numbers, steps);
  if (prepared.call.is_amsgrad != 0)
    device::launch_form<device::Plain<true>>(table, prepared);
  else
    device::launch_form<device::Plain<false>>(table, prepared);
}

}  // namespace dlplug
