// When outputs are written past the caches.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "csrc/common/tensor.h"

namespace dlplug {

// Outputs of more bytes than this have left the cache before they are read again.
constexpr int64_t kStreamBytes = 4 << 20;

// Whether outputs, made here and of rows without gaps, are that large, and each row is whole lines
// of the cache: half lines cost as much as whole ones on their way to memory.
inline bool should_stream(std::initializer_list<const Tensor*> outputs) {
  constexpr int64_t kLine = 64;
  int64_t total = 0;
  for (const Tensor* output : outputs) {
    if (output->numel() == 0) continue;
    const int64_t bytes = bytes_of(dtype_of(*output));
    const auto address = reinterpret_cast<uintptr_t>(output->const_data_ptr());
    if (address % kLine != 0 || output->size(output->dim() - 1) * bytes % kLine != 0) return false;
    total += output->numel() * bytes;
  }
  return total > kStreamBytes;
}

}  // namespace dlplug
