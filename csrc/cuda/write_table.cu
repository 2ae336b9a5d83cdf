#include <algorithm>

#include "csrc/cuda/write_table.cuh"
#include "csrc/ops/adamw.h"

namespace dlplug {
namespace device {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMost = 496;  // numbers: with two more arguments just below the 4 KiB of a launch

struct Numbers {
  int64_t value[kMost];
};

__global__ void __launch_bounds__(kThreads)
    write_numbers(int64_t* to, int64_t count, const __grid_constant__ Numbers numbers) {
  for (int64_t i = threadIdx.x; i < count; i += kThreads) to[i] = numbers.value[i];
}

}  // namespace

void write_table(int64_t* to, const int64_t* numbers, int64_t count, cudaStream_t stream) {
  for (int64_t begin = 0; begin < count; begin += kMost) {
    Numbers some{};
    const int64_t some_count = std::min(kMost, count - begin);
    std::copy_n(numbers + begin, some_count, some.value);
    launch(write_numbers, 1, kThreads, 0, stream, to + begin, some_count, some);
  }
}

}  // namespace device

void write_table_(Tensor table, const Tensor& numbers, int64_t begin) {
  STD_TORCH_CHECK(is_on_gpu(table) && table.scalar_type() == ScalarType::Long &&
                      table.is_contiguous() && numbers.is_cpu() &&
                      numbers.scalar_type() == ScalarType::Long && numbers.is_contiguous() &&
                      begin >= 0 && begin + numbers.numel() <= table.numel(),
                  "expected an int64 table on a GPU, and numbers on the CPU for a part of it");
  const DeviceGuard guard(table.get_device_index());
  device::write_table(static_cast<int64_t*>(table.mutable_data_ptr()) + begin,
                      static_cast<const int64_t*>(numbers.const_data_ptr()), numbers.numel(),
                      current_stream(table));
}

}  // namespace dlplug
