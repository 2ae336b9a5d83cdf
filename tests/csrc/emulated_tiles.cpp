// Products by emulated tiles, sound or with one fault on purpose, by which
// tests/csrc/test_emulated_tiles.py sees that the emulation is awake.
#include "csrc/cpu/kernels/attention_tiles.h"

namespace dlplug::DLPLUG_ISA {
namespace {

// As in test_emulated_tiles.py.
enum Fault {
  kSound,
  kNotConfigured,
  kReleased,
  kOtherPalette,
  kReservedBytes,
  kTooManyRows,
  kRowsTooLong,
  kShapeByHalves,
  kNoSuchTile,
  kTileWithoutRows,
  kHalfElements,
  kOtherDepth,
  kOtherRows,
  kOtherColumns,
  kTileTwice,
  kSumsNotCleared,
  kFactorNotLoaded,
  kStoredTwice,
};

// sums (rows, 16) += left (rows, pairs) right (pairs, 16).
void multiply_once(Fault fault, int64_t rows, int64_t pairs, const uint32_t* left,
                   const uint32_t* right, float* sums) {
  TileShapes shapes;
  for (int tile = 0; tile < 3; ++tile) {
    shapes.rows[tile] = (uint8_t)(tile == 2 ? pairs : rows);
    shapes.row_bytes[tile] = (uint16_t)(tile == 1 ? 4 * pairs : kTileBytes);
  }
  if (fault == kOtherPalette) shapes.palette = 2;
  if (fault == kReservedBytes) shapes.reserved[3] = 1;
  if (fault == kTooManyRows) shapes.rows[0] = 17;
  if (fault == kRowsTooLong) shapes.row_bytes[0] = 68;
  if (fault == kShapeByHalves) shapes.rows[7] = 1;
  if (fault == kTileWithoutRows) shapes.rows[1] = 0, shapes.row_bytes[1] = 0;
  if (fault == kHalfElements) shapes.row_bytes[1] -= 2;
  if (fault == kOtherDepth) shapes.rows[2] -= 1;
  if (fault == kOtherRows) shapes.rows[1] -= 1;
  if (fault == kOtherColumns) shapes.row_bytes[0] -= 4;
  if (fault != kNotConfigured) configure_tiles(shapes);
  if (fault == kReleased) release_tiles();
  if (fault != kSumsNotCleared) load_tile<0>(sums, kTileBytes);
  if (fault != kFactorNotLoaded) load_tile<1>(left, 4 * pairs);
  load_tile<2>(right, kTileBytes);
  if (fault == kTileTwice)
    multiply_tiles<0, 1, 1>();
  else if (fault == kNoSuchTile)
    multiply_tiles<0, 1, 8>();
  else
    multiply_tiles<0, 1, 2>();
  store_tile<0>(sums, kTileBytes);
  if (fault == kStoredTwice) store_tile<0>(sums, kTileBytes);
  release_tiles();
}

// Within a product, after its first tile.
enum Disturbance { kNone, kRelease, kOtherShape };

template <bool kTransposed>
void multiply_all(Disturbance disturbance, int64_t rows, int64_t vectors, int64_t depth,
                  Factor<uint32_t> a, Factor<uint32_t> b, float* c, int64_t c_stride,
                  bool accumulate) {
  const auto between = [&] {
    if (disturbance == kRelease) release_tiles();
    if (disturbance == kOtherShape) TileBlock{16, 16, 8}.configure();
  };
  // The second product finds the tiles as the first leaves them.
  for (int i = 0; i < (accumulate ? 1 : 2); ++i)
    multiply_by_tiles<kTransposed>(rows, vectors, depth, a, b, c, c_stride, accumulate, between);
}

}  // namespace
}  // namespace dlplug::DLPLUG_ISA

#define EXPORTED extern "C" [[gnu::visibility("default")]]

using namespace dlplug::DLPLUG_ISA;

EXPORTED void multiply_once(int64_t fault, int64_t rows, int64_t pairs, const uint32_t* left,
                            const uint32_t* right, float* sums) {
  dlplug::DLPLUG_ISA::multiply_once((Fault)fault, rows, pairs, left, right, sums);
}

// c (rows, vectors * 16) (+)= a b, where a is (rows, depth), or (depth, rows up to whole vectors).
EXPORTED void multiply_all(bool are_used, int64_t disturbance, bool is_transposed, int64_t rows,
                           int64_t vectors, int64_t depth, const uint32_t* a, int64_t a_stride,
                           const uint32_t* b, int64_t b_stride, float* c, int64_t c_stride,
                           bool accumulate) {
  const TilesOfThread tiles(are_used);
  const auto multiply = is_transposed ? multiply_all<true> : multiply_all<false>;
  multiply((Disturbance)disturbance, rows, vectors, depth, {a, a_stride}, {b, b_stride}, c,
           c_stride, accumulate);
}
