// Tiles of a head's rows in shared memory as a Hopper's copies and products take them: panels of
// 64 columns, in each a row of 128 bytes after the other, swizzled.
#pragma once

#include "csrc/cuda/attention.h"
#include "csrc/cuda/tma.cuh"
#include "csrc/cuda/wgmma.cuh"

namespace dlplug {

constexpr int kHopperRows = 128;  // of a tile, where its kernel does not say another number

// What the forward pass is given: boxes of the maps are a panel.
struct AttentionHopper : AttentionForward {
  CUtensorMap query_map, key_map, value_map;
};

template <int kWidth, int kRows = kHopperRows>
struct HopperTile {
  static constexpr uint32_t kColumns = 64, kRowBytes = 128;  // of a panel
  static constexpr uint32_t kPanelBytes = kRows * kRowBytes;
  static constexpr uint32_t kPanels = kWidth / kColumns, kBytes = kPanels * kPanelBytes;
  static constexpr uint32_t kGroupBytes = 8 * kRowBytes;  // over which the swizzle repeats
  unsigned char* data;

  // Rows first, first + 1, ... by one thread; the barrier waits for them.
  __device__ void load(const CUtensorMap& map, Barrier& barrier, int first, int head,
                       int batch) const {
    barrier.arrive_and_expect(kBytes);
#pragma unroll
    for (uint32_t panel = 0; panel < kPanels; ++panel)
      load_box(data + panel * kPanelBytes, map, barrier, static_cast<int>(panel * kColumns), first,
               head, batch);
  }

  // Columns 16 * step, ... of the rows from `first` on, 64 or 128 of them.
  __device__ uint64_t rows(int first, int step) const {
    const uint32_t start = step / 4 * kPanelBytes + first * kRowBytes + step % 4 * 32;
    return warpgroup::descriptor(shared_address(data) + start, 16, kGroupBytes);
  }

  // Rows 16 * step, ..., all columns, as the right matrix that is not transposed.
  __device__ uint64_t columns(int step) const {
    return warpgroup::descriptor(shared_address(data) + 16 * step * kRowBytes, kPanelBytes,
                                 kGroupBytes);
  }
};

// Where the first tile lies in shared memory, which begins at a multiple of 16 only.
constexpr uint32_t kTileAlignment = HopperTile<64>::kGroupBytes;
__device__ inline unsigned char* first_tile(void* memory) {
  return static_cast<unsigned char*>(memory) + (0u - shared_address(memory)) % kTileAlignment;
}

// Dynamic shared memory: the queries, then keys and values of kStages tiles, then the barriers.
template <int kWidth>
struct HopperMemory {
  using Tile = HopperTile<kWidth>;
  static constexpr int kStages = 2;
  struct Barriers {
    Barrier query, key[kStages], key_free[kStages], value[kStages], value_free[kStages];
  };
  static constexpr size_t kBytes =
      kTileAlignment + (1 + 2 * kStages) * Tile::kBytes + sizeof(Barriers);
  static_assert(kBytes <= 227 << 10);
  unsigned char* begin;

  __device__ explicit HopperMemory(void* memory) : begin(first_tile(memory)) {}

  __device__ Tile query() const { return {begin}; }
  __device__ Tile key(int stage) const { return {begin + (1 + stage) * Tile::kBytes}; }
  __device__ Tile value(int stage) const { return {begin + (1 + kStages + stage) * Tile::kBytes}; }
  __device__ Barriers& barriers() const {
    return *reinterpret_cast<Barriers*>(begin + (1 + 2 * kStages) * Tile::kBytes);
  }
};

// Of the n-th tile: where it lies, and the parity of its turn there.
template <int kStages>
struct Turn {
  int stage;
  unsigned parity;

  __device__ explicit Turn(int n) : stage(n % kStages), parity(n / kStages % 2) {}
};

}  // namespace dlplug
