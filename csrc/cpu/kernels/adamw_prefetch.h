// What AdamW's kernels prefetch: they read and write seven to eleven streams, more than the
// hardware prefetcher follows well.
#pragma once

#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

constexpr int64_t kPrefetchBytes = 2048;

DLPLUG_INLINE void prefetch(const void* address) {
  __builtin_prefetch(static_cast<const char*>(address) + kPrefetchBytes, 1);
}

// Prefetches a part of a row, kPrefetchBytes ahead of it.
template <class T, class Part>
DLPLUG_INLINE void prefetch(const T* from, Part part) {
  constexpr size_t kLine = 64 / sizeof(T);
  for (size_t j = 0; j < part.kVectors * kWidth; j += kLine) prefetch(from + j);
}

}  // namespace dlplug::DLPLUG_ISA
