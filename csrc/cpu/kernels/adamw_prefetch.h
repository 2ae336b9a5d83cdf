// What AdamW's kernels ask for before they read it: their seven to eleven streams are more than the
// hardware prefetcher follows well.
#pragma once

#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

constexpr int64_t kPrefetchBytes = 2048;

DLPLUG_INLINE void prefetch(const void* address) {
  __builtin_prefetch(static_cast<const char*>(address) + kPrefetchBytes, 1);
}

// For the elements of a part of a row.
template <class T, class Part>
DLPLUG_INLINE void prefetch(const T* from, Part part) {
  constexpr size_t kLine = 64 / sizeof(T);
  for (size_t j = 0; j < part.kVectors * kWidth; j += kLine) prefetch(from + j);
}

}  // namespace dlplug::DLPLUG_ISA
