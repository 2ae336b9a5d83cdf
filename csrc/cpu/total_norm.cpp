#include "csrc/cpu/total_norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "csrc/cpu/kernels/total_norm.h"
#include "csrc/ops/total_norm.h"

namespace dlplug {
namespace {

// Elements whose squares are summed by one call: shares follow from the tensors alone, so that the
// sum has the same bits for any number of threads.
constexpr int64_t kChunk = 16384;

// Elements that one thread should have at least: below it, waking another thread costs more.
constexpr int64_t kGrain = 65536;

}  // namespace

void SquaresOfTensors::add(int64_t address, int64_t numel, Dtype dtype) {
  for (int64_t begin = 0; begin < numel; begin += kChunk) {
    const char* values = reinterpret_cast<const char*>(address) + begin * bytes_of(dtype);
    chunks_.push_back({values, std::min(kChunk, numel - begin), dtype});
  }
  elements_ += numel;
}

double SquaresOfTensors::norm() const {
  std::vector<double> sums(chunks_.size());
  auto* kernel = DLPLUG_SELECT_KERNEL(sum_of_squares);
  const int64_t count = static_cast<int64_t>(chunks_.size());
  const int64_t grain = std::max<int64_t>(1, count * kGrain / std::max<int64_t>(1, elements_));
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      kernel(chunks_[i].dtype, chunks_[i].values, chunks_[i].count, &sums[i]);
  });
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

Tensor total_norm_table(const Tensor& table) {
  STD_TORCH_CHECK(
      table.scalar_type() == ScalarType::Long && table.is_contiguous() && table.numel() % 3 == 0,
      "expected a contiguous int64 table of 3 columns");
  const int64_t count = table.numel() / 3;
  const int64_t* addresses = static_cast<const int64_t*>(table.const_data_ptr());
  const int64_t *numels = addresses + count, *dtypes = numels + count;
  SquaresOfTensors squares;
  for (int64_t i = 0; i < count; ++i)
    squares.add(addresses[i], numels[i], static_cast<Dtype>(dtypes[i]));
  Tensor norm = empty(table, {}, ScalarType::Double);
  *static_cast<double*>(norm.mutable_data_ptr()) = squares.norm();
  return norm;
}

}  // namespace dlplug
