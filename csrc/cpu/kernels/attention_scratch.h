// Working memory of the attention kernels, cut from one block that the caller owns.
#pragma once

#include "csrc/common/simd.h"
#include "csrc/cpu/kernels/amx.h"
#include "csrc/cpu/kernels/attention.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_poison_memory_region(const volatile void* address, unsigned long size);
#endif

namespace dlplug::DLPLUG_ISA {

// Hands out pieces aligned to 64 bytes. Without a block it only counts. AddressSanitizer, which
// sees one block, is told where each piece ends.
struct Scratch {
  char* block;
  int64_t used = 0;

  template <class Piece>
  Piece* take(int64_t count) {
    const int64_t offset = used;
    used += (count * (int64_t)sizeof(Piece) + 63) / 64 * 64;
#if defined(__SANITIZE_ADDRESS__)
    used += 64;
    const int64_t end = offset + count * (int64_t)sizeof(Piece);
    if (block != nullptr) __asan_poison_memory_region(block + end, used - end);
#endif
    return block == nullptr ? nullptr : (Piece*)(block + offset);
  }
};

// Rows that begin an odd number of vectors apart do not crowd into the same sets of a cache.
constexpr int64_t spread(int64_t columns) { return ((columns + kWidth - 1) / kWidth | 1) * kWidth; }

// Query blocks: at most this many rows of scores at a time, 64 x 256 floats in the L2 cache.
constexpr int64_t kMaxBlock = 64;

// `count` queries shared out evenly among as few blocks as possible; tiles are filled, as one of 2
// rows takes about as long as one of 16.
DLPLUG_INLINE int64_t block_size(const AttentionScores& args, int64_t count) {
  const int64_t blocks = (count + kMaxBlock - 1) / kMaxBlock;
  const int64_t rows = blocks == 0 ? 1 : (count + blocks - 1) / blocks;
  return args.use_tiles ? (rows + kTileRows - 1) / kTileRows * kTileRows : rows;
}

// 0, n - 1, 1, n - 2, ...: with a causal mask the work grows from the first range to the last, and
// a thread gets neighbouring items.
constexpr int64_t fold(int64_t index, int64_t count) {
  return index % 2 == 0 ? index / 2 : count - 1 - index / 2;
}

template <class T>
DLPLUG_INLINE T* rows_at(const HeadRows& x, int64_t batch, int64_t head, int64_t row) {
  return (T*)x.data + batch * x.batch + head * x.head + row * x.row;
}

}  // namespace dlplug::DLPLUG_ISA
