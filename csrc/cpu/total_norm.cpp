#include "csrc/ops/total_norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "csrc/cpu/kernels/total_norm.h"

namespace dlplug {
namespace {

// Elements whose squares are summed by one call: shares follow from the tensors alone, so that the
// sum has the same bits for any number of threads.
constexpr int64_t kChunk = 16384;

// Elements that one thread should have at least: below it, waking another thread costs more.
constexpr int64_t kGrain = 65536;

struct Chunk {
  const void* values;
  int64_t count;
  Dtype dtype;
};

std::vector<Chunk> chunks_of(const Tensor& table) {
  const int64_t count = table.numel() / 3;
  const int64_t* addresses = static_cast<const int64_t*>(table.const_data_ptr());
  const int64_t *numels = addresses + count, *dtypes = numels + count;
  std::vector<Chunk> chunks;
  for (int64_t i = 0; i < count; ++i) {
    const Dtype dtype = static_cast<Dtype>(dtypes[i]);
    for (int64_t begin = 0; begin < numels[i]; begin += kChunk) {
      const char* values = reinterpret_cast<const char*>(addresses[i]) + begin * bytes_of(dtype);
      chunks.push_back({values, std::min(kChunk, numels[i] - begin), dtype});
    }
  }
  return chunks;
}

}  // namespace

Tensor total_norm_table(const Tensor& table) {
  STD_TORCH_CHECK(
      table.scalar_type() == ScalarType::Long && table.is_contiguous() && table.numel() % 3 == 0,
      "expected a contiguous int64 table of 3 columns");
  const std::vector<Chunk> chunks = chunks_of(table);
  std::vector<double> sums(chunks.size());
  auto* kernel = DLPLUG_SELECT_KERNEL(sum_of_squares);
  const int64_t count = static_cast<int64_t>(chunks.size());
  const int64_t elements =
      std::accumulate(chunks.begin(), chunks.end(), int64_t{0},
                      [](int64_t sum, const Chunk& chunk) { return sum + chunk.count; });
  const int64_t grain = std::max<int64_t>(1, count * kGrain / std::max<int64_t>(1, elements));
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      kernel(chunks[i].dtype, chunks[i].values, chunks[i].count, &sums[i]);
  });
  Tensor norm = empty(table, {}, ScalarType::Double);
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  *static_cast<double*>(norm.mutable_data_ptr()) = std::sqrt(total);
  return norm;
}

}  // namespace dlplug
