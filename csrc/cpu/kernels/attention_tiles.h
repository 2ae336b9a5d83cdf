// multiply() of attention_product.h for pairs of bfloat16 by the tiles of AMX, which have just
// these layouts: pairs along a row of the first factor, pairs of rows of the second. What is left
// of rows and depth is multiplied by smaller tiles. So nothing outside of the factors is read, and
// a sum has the same bits in whichever row of a block it stands.
//
// A block of 2 x 2 tiles does 4 products, 8,192 multiply-adds each, for 4 loads. Proven in the
// emulation (csrc/emulation/tiles.h); the speed is not measured.
#pragma once

#include "csrc/cpu/kernels/amx.h"
#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_product.h"
#include "csrc/cpu/kernels/attention_scratch.h"

#if defined(__AVX512F__)

namespace dlplug::DLPLUG_ISA {

// The shapes of a block's tiles: 0 and 1 hold the upper sums, 2 and 3 the lower ones, 4 and 5 upper
// and lower rows of A, 6 and 7 columns of B.
struct TileBlock {
  int64_t upper, lower;  // rows
  int64_t pairs;         // of the depth

  void configure() const {
    const int64_t rows[] = {upper, upper, lower, lower, upper, lower, pairs, pairs};
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) {
      const bool is_of_a = tile == 4 || tile == 5;
      shapes.rows[tile] = (uint8_t)rows[tile];
      shapes.row_bytes[tile] = (uint16_t)(is_of_a ? pairs * 4 : kTileBytes);
    }
    configure_tiles(shapes);
  }
  bool operator!=(const TileBlock& other) const {
    return upper != other.upper || lower != other.lower || pairs != other.pairs;
  }
};

// What a thread's tiles are configured as between products, so that those of whole tiles need not
// do it.
constexpr TileBlock kWholeTiles{kTileRows, kTileRows, kTileRows};

// Within, the thread may multiply by tiles.
class TilesOfThread {
 public:
  explicit TilesOfThread(bool are_used) : are_used_(are_used) {
    if (are_used) kWholeTiles.configure();
  }
  ~TilesOfThread() {
    if (are_used_) release_tiles();
  }
  TilesOfThread(const TilesOfThread&) = delete;
  TilesOfThread& operator=(const TilesOfThread&) = delete;

 private:
  bool are_used_;
};

// A block of C: kRows x kColumns tiles. The depth is that of `num_products` tiles.
template <int kRows, int kColumns, class Between>
[[gnu::noinline]] static void multiply_block(Factor<uint32_t> a, Factor<uint32_t> b, float* c,
                                             int64_t c_stride, int64_t num_products,
                                             bool accumulate, const Between& between) {
  constexpr bool kBoth = kRows == 2 && kColumns == 2;
  const int64_t a_bytes = a.stride * 4, b_bytes = b.stride * 4, c_bytes = c_stride * 4;
  const uint32_t* lower_a = a.data + kTileRows * a.stride;
  float* lower_c = c + kTileRows * c_stride;
  if (accumulate) {
    load_tile<0>(c, c_bytes);
    if (kColumns == 2) load_tile<1>(c + kWidth, c_bytes);
    if (kRows == 2) load_tile<2>(lower_c, c_bytes);
    if (kBoth) load_tile<3>(lower_c + kWidth, c_bytes);
  } else {
    clear_tile<0>();
    if (kColumns == 2) clear_tile<1>();
    if (kRows == 2) clear_tile<2>();
    if (kBoth) clear_tile<3>();
  }
  for (int64_t k = 0; k < num_products; ++k) {
    load_tile<4>(a.data, a_bytes);
    load_tile<6>(b.data, b_bytes);
    multiply_tiles<0, 4, 6>();
    if (kColumns == 2) {
      load_tile<7>(b.data + kWidth, b_bytes);
      multiply_tiles<1, 4, 7>();
    }
    if (kRows == 2) {
      load_tile<5>(lower_a, a_bytes);
      multiply_tiles<2, 5, 6>();
    }
    if (kBoth) multiply_tiles<3, 5, 7>();
    a.data += kTileRows;
    lower_a += kTileRows;
    b.data += kTileRows * b.stride;
  }
  store_tile<0>(c, c_bytes);
  between();
  if (kColumns == 2) {
    store_tile<1>(c + kWidth, c_bytes);
    between();
  }
  if (kRows == 2) {
    store_tile<2>(lower_c, c_bytes);
    between();
  }
  if (kBoth) {
    store_tile<3>(lower_c + kWidth, c_bytes);
    between();
  }
}

// Most pairs of a transposed A: those of a block of queries.
constexpr int64_t kMaxTransposedDepth = kMaxBlock / 2;

// A (depth, rows), whole vectors of which may be read, as (rows, depth) in whole tiles.
static Factor<uint32_t> transpose_pairs(Factor<uint32_t> a, int64_t rows, int64_t depth,
                                        uint32_t* to) {
  for (int64_t row = 0; row < rows; row += kWidth)
    for (int64_t k = 0; k < depth; k += kWidth) {
      Float block[kWidth];
      for (int i = 0; i < kWidth; ++i)
        block[i] = k + i < depth ? (Float)row_from(a.data + (k + i) * a.stride + row) : Float{};
      transpose_block(block);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i)
        store_pairs(to + (row + i) * kMaxTransposedDepth + k, (UInt)block[i]);
    }
  return {to, kMaxTransposedDepth};
}

// All of C, and of the depth `num_products` times `pairs`.
template <bool kTransposed, class Between>
static void multiply_to_depth(TileBlock& shape, int64_t rows, int64_t vectors, int64_t pairs,
                              int64_t num_products, Factor<uint32_t> a, Factor<uint32_t> b,
                              float* c, int64_t c_stride, bool accumulate, const Between& between) {
  constexpr int64_t kPanel = 2 * kTileRows;
  alignas(64) uint32_t space[kTransposed ? kPanel * kMaxTransposedDepth : 1];
  for (int64_t row = 0; row < rows; row += kPanel) {
    const int64_t left = rows - row < kPanel ? rows - row : kPanel;
    const bool is_high = left > kTileRows;
    const TileBlock wanted{is_high ? kTileRows : left, is_high ? left - kTileRows : kTileRows,
                           pairs};
    if (wanted != shape) {
      shape = wanted;
      shape.configure();
    }
    const Factor<uint32_t> panel =
        kTransposed ? transpose_pairs({a.data + row, a.stride}, left, num_products * pairs, space)
                    : Factor<uint32_t>{a.data + row * a.stride, a.stride};
    const auto wide = is_high ? multiply_block<2, 2, Between> : multiply_block<1, 2, Between>;
    const auto narrow = is_high ? multiply_block<2, 1, Between> : multiply_block<1, 1, Between>;
    for (int64_t v = 0; v < vectors; v += 2) {
      const auto block = v + 1 < vectors ? wide : narrow;
      block(panel, {b.data + v * kWidth, b.stride}, c + row * c_stride + v * kWidth, c_stride,
            num_products, accumulate, between);
    }
  }
}

// As multiply(), with sums that begin from C where they are added to it. With kTransposed, depth is
// at most kMaxTransposedDepth, and A may be read up to whole vectors of rows.
template <bool kTransposed, class Between>
static void multiply_by_tiles(int64_t rows, int64_t vectors, int64_t depth, Factor<uint32_t> a,
                              Factor<uint32_t> b, float* c, int64_t c_stride, bool accumulate,
                              const Between& between) {
  TileBlock shape = kWholeTiles;
  const int64_t rest = depth % kTileRows, whole = depth - rest;
  if (whole > 0 || rest == 0)
    multiply_to_depth<kTransposed>(shape, rows, vectors, kTileRows, whole / kTileRows, a, b, c,
                                   c_stride, accumulate, between);
  if (rest > 0) {
    a.data += whole * (kTransposed ? a.stride : 1);
    b.data += whole * b.stride;
    multiply_to_depth<kTransposed>(shape, rows, vectors, rest, 1, a, b, c, c_stride,
                                   accumulate || whole > 0, between);
  }
  if (shape != kWholeTiles) kWholeTiles.configure();
}

}  // namespace dlplug::DLPLUG_ISA

#endif
