// The tile instructions of AMX (Intel SDM vol. 2): eight registers of up to 16 rows of 64 bytes,
// and the product of two of them. Spelled out, as multiply_add of attention_product.h is, because
// the file serves processors without them. Where DLPLUG_EMULATED_TILES is defined, for tests,
// csrc/emulation does what they do.
#pragma once

#include "csrc/common/simd.h"

#if defined(DLPLUG_EMULATED_TILES)
#include "csrc/emulation/tiles.h"
#endif

namespace dlplug::DLPLUG_ISA {

constexpr int64_t kTileRows = 16;   // at most, and as many pairs in a row
constexpr int64_t kTileBytes = 64;  // of a row

#if defined(__AVX512F__)

// Of each register, as the instruction reads it.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

#if defined(DLPLUG_EMULATED_TILES)

DLPLUG_INLINE void configure_tiles(const TileShapes& shapes) { emulated::configure(&shapes); }
DLPLUG_INLINE void release_tiles() { emulated::release(); }

template <int kTile>
DLPLUG_INLINE void clear_tile() {
  emulated::clear(kTile);
}
template <int kTile>
DLPLUG_INLINE void load_tile(const void* from, int64_t stride) {
  emulated::load(kTile, from, stride);
}
template <int kTile>
DLPLUG_INLINE void store_tile(void* to, int64_t stride) {
  emulated::store(kTile, to, stride);
}
template <int kSums, int kLeft, int kRight>
DLPLUG_INLINE void multiply_tiles() {
  emulated::multiply(kSums, kLeft, kRight);
}

#else

// Of this thread; all tiles become 0.
DLPLUG_INLINE void configure_tiles(const TileShapes& shapes) {
  __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
}

// The thread's tiles need not be saved any more.
DLPLUG_INLINE void release_tiles() { __asm__ volatile("tilerelease"); }

template <int kTile>
DLPLUG_INLINE void clear_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

// Rows that begin `stride` bytes apart, of the shape that the tile is configured for.
template <int kTile>
DLPLUG_INLINE void load_tile(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(from), "r"(stride), "i"(kTile)
                   : "memory");
}
template <int kTile>
DLPLUG_INLINE void store_tile(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                   :
                   : "r"(to), "r"(stride), "i"(kTile)
                   : "memory");
}

// sums (rows, columns) += left (rows, pairs) right (pairs, columns), of pairs of bfloat16.
template <int kSums, int kLeft, int kRight>
DLPLUG_INLINE void multiply_tiles() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0"
                   :
                   : "i"(kSums), "i"(kLeft), "i"(kRight));
}

#endif

#endif

}  // namespace dlplug::DLPLUG_ISA
