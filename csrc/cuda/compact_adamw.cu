// AdamW with compact states on a GPU: one launch for all parameters. Bytes moved an element as on
// the CPU (csrc/cpu/kernels/compact_adamw.cpp); the floor in time is those over the bandwidth.
#include "csrc/cuda/compact_8bit.cuh"
#include "csrc/cuda/compact_storages.cuh"
#include "csrc/cuda/philox.cuh"
#include "csrc/ops/compact_adamw.h"

namespace dlplug::device {
namespace {

// One counter gives the bits of four columns, 16 apart: so a thread has four vectors of a block of
// 64, and draws nothing twice.
__device__ void update_stochastic(const Row& row, const AdamWConstants& c) {
  using T = __nv_bfloat16;
  constexpr int kBlock = 64, kCount = Stochastic::kCount, kShares = 16 / kCount;
  const Stochastic storage(row);
  int64_t rest = row.begin;
  if (storage.is_aligned() && is_aligned<kCount>(static_cast<const T*>(row.grad)) &&
      is_aligned<kCount>(row.average)) {
    const int64_t blocks = (row.end - row.begin) / kBlock;
    for (int64_t share = threadIdx.x; share < blocks * kShares; share += kThreads) {
      const int64_t i = row.begin + share / kShares * kBlock + share % kShares * kCount;
      const auto counter = static_cast<uint32_t>(i / kBlock * 16 + i % kBlock);
      uint32_t bits[4][kCount];
#pragma unroll
      for (int k = 0; k < kCount; ++k) {
        const RandomWords words = random_words(row.seed, row.index, counter + k);
#pragma unroll
        for (int part = 0; part < 4; ++part) bits[part][k] = words.word[part];
      }
#pragma unroll
      for (int part = 0; part < 4; ++part)
        update_elements<kCount, false, T>(row, storage, c, i + 16 * part, bits[part]);
    }
    rest += blocks * kBlock;
  }
  for (int64_t i = rest + threadIdx.x; i < row.end; i += kThreads) {
    const auto counter = static_cast<uint32_t>(i / kBlock * 16 + i % 16);
    const RandomWords words = random_words(row.seed, row.index, counter);
    uint32_t bits = words.word[0];
    for (int part = 1; part < 4; ++part)  // an index that is known keeps them in registers
      if (i % kBlock / 16 == part) bits = words.word[part];
    update_elements<1, false, T>(row, storage, c, i, &bits);
  }
}

template <Storage kStorage, class T>
__device__ void update_any(const Row& row, const AdamWConstants& c) {
  if constexpr (kStorage == Storage::k8Bit)
    update_8bit<T>(row, c);
  else
    update_block<false, T>(row, Float32States<T>(row), c);
}

// All storages that a call for `kStorage` has: that, and float32 states of what it is not for.
template <Storage kStorage>
struct Compact {
  __device__ static void update(const Row& row, const AdamWConstants& c) {
    if (static_cast<Storage>(row.storage) != kStorage)
      return update_block<false, float>(row, Float32States<float>(row), c);
    if constexpr (kStorage == Storage::kRemainder) {
      update_block<false, __nv_bfloat16>(row, Remainder(row), c);
    } else if constexpr (kStorage == Storage::kKahan) {
      update_block<false, __nv_bfloat16>(row, Kahan(row), c);
    } else if constexpr (kStorage == Storage::kStochastic) {
      update_stochastic(row, c);
    } else {
      switch (row.dtype) {
        case Dtype::kFloat32:
          return update_any<kStorage, float>(row, c);
        case Dtype::kBFloat16:
          return update_any<kStorage, __nv_bfloat16>(row, c);
        case Dtype::kFloat16:
          return update_any<kStorage, __half>(row, c);
      }
    }
  }
};

}  // namespace
}  // namespace dlplug::device

namespace dlplug {

void compact_adamw_device_table_(const Tensor& table, const Tensor& numbers, const Tensor& steps) {
  const DeviceGuard guard(table.get_device_index());
  const device::Prepared prepared = device::prepare(table, numbers, steps);
  STD_TORCH_CHECK(prepared.call.chunk % kCompactUnit == 0, "expected whole blocks in a chunk");
  switch (static_cast<Storage>(prepared.call.storage)) {
    case Storage::kFloat32States:
      return device::launch_form<device::Compact<Storage::kFloat32States>>(table, prepared);
    case Storage::kRemainder:
      return device::launch_form<device::Compact<Storage::kRemainder>>(table, prepared);
    case Storage::kStochastic:
      return device::launch_form<device::Compact<Storage::kStochastic>>(table, prepared);
    case Storage::kKahan:
      return device::launch_form<device::Compact<Storage::kKahan>>(table, prepared);
    case Storage::k8Bit:
      return device::launch_form<device::Compact<Storage::k8Bit>>(table, prepared);
  }
  STD_TORCH_CHECK(false, "no such storage");
}

}  // namespace dlplug
