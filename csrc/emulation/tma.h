// csrc/cuda/tma.cuh for the emulated kernels. From the call on the target holds NaN; the box and
// its bytes' arrival at the barrier come later.
#pragma once

#include <algorithm>
#include <cstring>

#include "csrc/emulation/cuda.h"
#include "csrc/emulation/mbarrier.h"

namespace dlplug {

namespace emulation {

// With a swizzle over 128 bytes, chunk c of 16 bytes of a row of 128 lies at c ^ (row % 8): bits 4
// to 6 of an address are changed by bits 7 to 9.
inline uint32_t swizzled_by_128(uint32_t address) { return address ^ (address >> 3 & 0x70); }

struct BoxCopy {
  CUtensorMap map;
  uint32_t target;
  Barrier* barrier;
  int at[4];
  Site site;

  size_t bytes() const {
    size_t count = 2;
    for (uint32_t i = 0; i < map.rank; ++i) count *= map.box[i];
    return count;
  }
  // Elements of the box in memory, the first axis fastest; 0 beyond the tensor.
  void run() const {
    const size_t count = bytes() / 2;
    for (size_t i = 0; i < count; ++i) {
      const unsigned char* source = map.data;
      bool is_inside = true;
      size_t rest = i;
      for (uint32_t axis = 0; axis < map.rank; ++axis) {
        const int64_t index = at[axis] + static_cast<int64_t>(rest % map.box[axis]);
        rest /= map.box[axis];
        is_inside &= index >= 0 && index < static_cast<int64_t>(map.dim[axis]);
        source += is_inside ? index * static_cast<int64_t>(map.stride[axis]) : 0;
      }
      uint32_t address = target + static_cast<uint32_t>(2 * i);
      if (map.swizzle == CU_TENSOR_MAP_SWIZZLE_128B) address = swizzled_by_128(address);
      unsigned char* to = shared_pointer(address, 2, site);
      if (is_inside)
        std::memcpy(to, source, 2);
      else
        std::memset(to, 0, 2);
    }
    barrier->complete(static_cast<unsigned>(bytes()));
  }
};

}  // namespace emulation

inline void load_box(void* to, const CUtensorMap& map, Barrier& barrier, int column, int row,
                     int head, int batch, const char* file = __builtin_FILE(),
                     int line = __builtin_LINE()) {
  const emulation::BoxCopy copy{
      map, shared_address(to), &barrier, {column, row, head, batch}, {file, line}};
  // Whole groups of rows over which the swizzle repeats, as products expect them.
  const uint32_t alignment = map.swizzle == CU_TENSOR_MAP_SWIZZLE_128B ? 1024 : 128;
  if (copy.target % alignment != 0)
    emulation::stop("a box in shared memory off " + std::to_string(alignment) + " bytes",
                    copy.site);
  if (map.rank != 4) emulation::stop("a tensor map of other axes", copy.site);
  std::memset(emulation::shared_pointer(copy.target, copy.bytes(), copy.site), 0xff, copy.bytes());
  emulation::do_later([copy] { copy.run(); });
}

}  // namespace dlplug
