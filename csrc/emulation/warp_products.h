// The products of a warpgroup while they are under way, a warp's 16 rows at a time. A product is
// computed when it is waited for; until then its sums are NaN, and what it reads of shared memory
// and registers must stay as it was when it began.
#pragma once

#include <array>
#include <map>

#include "csrc/cuda/mma.cuh"
#include "csrc/emulation/mbarrier.h"

namespace dlplug {

namespace emulation {

// A matrix descriptor of the PTX ISA, "asynchronous warpgroup level matrix shared memory layout".
struct MatrixLayout {
  uint32_t start, leading, stride, base, swizzle;  // bytes; of `base`, rows of 128

  explicit MatrixLayout(uint64_t bits)
      : start((bits & 0x3fff) << 4),
        leading((bits >> 16 & 0x3fff) << 4),
        stride((bits >> 32 & 0x3fff) << 4),
        base(bits >> 49 & 7),
        swizzle(bits >> 62) {}

  // Of the 16-bit element (i, k), i counting rows of the left matrix or columns of the right one.
  // Side by side lie elements along k, or along i if it is transposed. Rows of 128, 64 or 32 bytes
  // (modes 1, 2, 3) lie in groups of 8.
  uint32_t address(uint32_t i, uint32_t k, bool is_transposed) const {
    const uint32_t row = 256 >> swizzle;
    const uint32_t from_start =
        is_transposed ? i / (row / 2) * leading + i % (row / 2) * 2 + k / 8 * stride + k % 8 * row
                      : i / 8 * stride + i % 8 * row + k * 2;
    const uint32_t plain = start + from_start, mask = (8u >> (swizzle - 1)) - 1;
    return plain ^ ((((plain >> 7) - base) & mask) << 4);
  }
};

// A warp's part of a product: 16 rows, 16 inner elements, `columns` columns.
struct Product {
  Site site;
  unsigned warp;
  int columns;
  bool adds, is_transposed;                 // keeps what the sums are; the right matrix
  std::array<float*, 32> sums;              // by lane
  std::array<const uint32_t*, 32> left_of;  // registers by lane, or null
  uint64_t left, right;                     // descriptors
  float (*value_of)(uint32_t bits, int which);
  std::vector<uint16_t> operands;  // when it began: left (16, 16), then right (columns, 16)

  uint16_t element(uint64_t matrix, int i, int k, bool transposed) const {
    const MatrixLayout layout(matrix);
    if (layout.swizzle == 0) stop("a matrix without a swizzle, which is not emulated", site);
    uint16_t bits;
    std::memcpy(&bits, shared_pointer(layout.address(i, k, transposed), 2, site), 2);
    return bits;
  }
  std::vector<uint16_t> read() const {
    std::vector<uint16_t> found;
    const int first_row = 16 * (warp % 4);
    for (int i = 0; i < 16; ++i)
      for (int k = 0; k < 16; ++k) {
        if (left_of[0] == nullptr) {
          found.push_back(element(left, first_row + i, k, false));
          continue;
        }
        const int part = i / 8 + k / 8 * 2;
        const uint32_t pair = left_of[i % 8 * 4 + k % 8 / 2][part];
        found.push_back(static_cast<uint16_t>(k % 2 == 0 ? pair : pair >> 16));
      }
    for (int j = 0; j < columns; ++j)
      for (int k = 0; k < 16; ++k) found.push_back(element(right, j, k, is_transposed));
    return found;
  }
  // values[lane]: what its sums are, or will be.
  void add_to(std::array<std::vector<float>, 32>& values) const {
    std::vector<float> numbers;
    for (uint16_t bits : operands) numbers.push_back(value_of(bits, 0));
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < columns / 2; ++i) {
        const float* row = &numbers[16 * (lane / 4 + i % 4 / 2 * 8)];
        const float* column = &numbers[256 + 16 * (i / 4 * 8 + lane % 4 * 2 + i % 2)];
        float& sum = values[lane][i];
        if (!adds) sum = 0.0f;
        for (int k = 0; k < 16; ++k) sum += row[k] * column[k];
      }
  }
};

// What sums hold meanwhile: a signalling NaN, which no arithmetic leaves as it is.
constexpr unsigned kUnderWay = 0xffbfffffu;

// The products of one warp.
struct WarpProducts {
  struct Sums {
    std::array<std::vector<float>, 32> values;
    int under_way = 0;
  };
  uint64_t block = 0;
  bool is_fenced = false;
  std::vector<Product> open;
  std::vector<std::vector<Product>> groups;
  std::map<float*, Sums> sums;  // by lane 0's
  size_t count = 0;             // products that have begun
};

inline WarpProducts& products_of(unsigned warp) {
  static WarpProducts all[32];
  if (all[warp].block != block_number()) {
    all[warp] = WarpProducts{};
    all[warp].block = block_number();
  }
  return all[warp];
}

// The four warps of a warpgroup must give one instruction after the other alike.
inline void check_alike(const Product& product, size_t number) {
  struct Given {
    uint64_t block = 0;
    std::vector<std::array<uint64_t, 3>> all;
  };
  static Given groups[8];
  Given& group = groups[product.warp / 4];
  if (group.block != block_number()) group = {block_number(), {}};
  const std::array<uint64_t, 3> given{static_cast<uint64_t>(product.site.line),
                                      product.left_of[0] == nullptr ? product.left : 0,
                                      product.right};
  if (number == group.all.size()) group.all.push_back(given);
  if (number > group.all.size() || group.all[number] != given)
    stop("warps of a warpgroup that multiply different matrices", product.site);
}

inline void begin(Product product) {
  WarpProducts& warp = products_of(product.warp);
  if (!warp.is_fenced) stop("a product whose registers no fence has ordered", product.site);
  check_alike(product, warp.count++);
  product.operands = product.read();
  WarpProducts::Sums& sums = warp.sums[product.sums[0]];
  for (int lane = 0; lane < 32 && sums.under_way == 0; ++lane) {
    float* own = product.sums[lane];
    sums.values[lane].assign(own, own + product.columns / 2);
    std::fill_n(own, product.columns / 2, __uint_as_float(kUnderWay));
  }
  ++sums.under_way;
  warp.open.push_back(std::move(product));
}

inline void finish(WarpProducts& warp, const Product& product) {
  if (product.read() != product.operands)
    stop("what a product reads was changed before it was waited for, from", product.site);
  WarpProducts::Sums& sums = warp.sums[product.sums[0]];
  product.add_to(sums.values);
  if (--sums.under_way > 0) return;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < product.columns / 2; ++i)
      if (__float_as_uint(product.sums[lane][i]) != kUnderWay)
        stop("sums were written before they were waited for, from", product.site);
    std::copy(sums.values[lane].begin(), sums.values[lane].end(), product.sums[lane]);
  }
  warp.sums.erase(product.sums[0]);
}

}  // namespace emulation

}  // namespace dlplug
