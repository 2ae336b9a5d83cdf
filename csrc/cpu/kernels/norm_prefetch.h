// What the norms prefetch, how far ahead and in which sweep. Prefetched while rows are written, the
// next ones are read from memory at the same time; prefetched while rows are read, reading and
// writing take turns.
#pragma once

#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// How far ahead of the elements at hand: forward of x, or of x and residual together; backward of
// each tensor. Forward, narrow rows in the L3 cache take 1.3 times as long with a quarter of it
// (bfloat16), 1.4 times with half (float32).
constexpr int64_t kPrefetchBytes = 8192;

// Prefetches the vectors of a part of a row, whose address may lie past the end of the tensor.
template <class T, class Part>
DLPLUG_INLINE void prefetch(const T* from, Part) {
  __builtin_prefetch(from);
  if constexpr (sizeof(T) == 4 && Part::kVectors == 2) __builtin_prefetch(from + kWidth);
}

// Whether a row of float32 is so wide that memory would idle during a sweep that finds it in the
// cache.
DLPLUG_INLINE bool is_wide(int64_t width) { return width >= 512; }

// Whether the forward pass prefetches x in the sweep that writes y: where it waits for memory most,
// that is wide rows of float32; and RMSNorm of 16 bits, which does so little work per element that
// prefetching in the sweep that reads would request all rows at once.
template <class H, bool kCentered, bool kAdd>
DLPLUG_INLINE bool prefetches_while_writing(int64_t width) {
  return !kAdd && (sizeof(H) == 4 ? is_wide(width) : !kCentered);
}

// Elements that the forward pass prefetches ahead, at least the `elements` of the group at hand.
template <class H, bool kAdd>
DLPLUG_INLINE int64_t elements_ahead(int64_t elements) {
  constexpr int64_t kLeast = kPrefetchBytes / sizeof(H) / (kAdd ? 2 : 1);
  return elements < kLeast ? kLeast : elements;
}

}  // namespace dlplug::DLPLUG_ISA
