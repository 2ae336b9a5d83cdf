// csrc/cuda/wgmma.cuh for the emulated kernels: the 32 lanes of a warp bring their parts, and what
// the instruction does is done once for all of them.
#pragma once

#include "csrc/emulation/warp_products.h"

namespace dlplug {

namespace warpgroup {

template <class T, int kCount>
void begin_product(float (&sums)[kCount][4], const uint32_t* registers, uint64_t left,
                   uint64_t right, bool adds, bool is_transposed, emulation::Site site) {
  emulation::Product part{site,  threadIdx.x / 32, 8 * kCount, adds, is_transposed, {}, {}, left,
                          right, &unpacked<T>,     {}};
  part.sums[0] = sums[0];
  part.left_of[0] = registers;
  const auto work = [](void* const* lanes) {
    const auto of = [&](int lane) -> const emulation::Product& {
      return *static_cast<const emulation::Product*>(lanes[lane]);
    };
    emulation::Product product = of(0);
    for (int lane = 0; lane < 32; ++lane) {
      product.sums[lane] = of(lane).sums[0];
      product.left_of[lane] = of(lane).left_of[0];
      if (of(lane).left != product.left || of(lane).right != product.right ||
          of(lane).adds != product.adds)
        emulation::stop("lanes that multiply different matrices", product.site);
    }
    emulation::begin(std::move(product));
  };
  emulation::meet_and_work(work, &part, site);
}

// Of the warp, whose number each lane brings.
inline void meet(void (*work)(void* const* lanes), emulation::Site site) {
  unsigned warp = threadIdx.x / 32;
  emulation::meet_and_work(work, &warp, site);
}
inline emulation::WarpProducts& products_of(void* const* lanes) {
  return emulation::products_of(*static_cast<const unsigned*>(lanes[0]));
}

inline void fence(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  meet([](void* const* lanes) { products_of(lanes).is_fenced = true; }, {file, line});
}
inline void commit(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const auto work = [](void* const* lanes) {
    emulation::WarpProducts& warp = products_of(lanes);
    warp.groups.push_back(std::exchange(warp.open, {}));
  };
  meet(work, {file, line});
}
template <int kPending, class Registers>
void wait(Registers&, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const auto work = [](void* const* lanes) {
    emulation::WarpProducts& warp = products_of(lanes);
    while (warp.groups.size() > kPending) {
      for (const emulation::Product& product : warp.groups.front()) finish(warp, product);
      warp.groups.erase(warp.groups.begin());
    }
    warp.is_fenced = false;
  };
  meet(work, {file, line});
}

template <class T, int kCount>
void multiply_shared(float (&sums)[kCount][4], uint64_t left, uint64_t right, bool adds,
                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  begin_product<T>(sums, nullptr, left, right, adds, false, {file, line});
}
template <class T, int kCount>
void multiply_registers(float (&sums)[kCount][4], const uint32_t (&left)[4], uint64_t right,
                        const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  begin_product<T>(sums, left, 0, right, true, true, {file, line});
}

template <class Registers>
void keep(Registers&) {}

template <int kCount>
void change_registers(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
  meet([](void* const*) {}, {file, line});
}
template <int kCount>
void take_registers(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  change_registers<kCount>(file, line);
}
template <int kCount>
void give_registers(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  change_registers<kCount>(file, line);
}

}  // namespace warpgroup

}  // namespace dlplug
