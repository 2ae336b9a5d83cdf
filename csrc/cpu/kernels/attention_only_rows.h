// Products with some rows of a second factor, which the rows beside them leave as they are, even if
// these hold NaN or infinity and meet a 0.
#pragma once

#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_product.h"

namespace dlplug::DLPLUG_ISA {

// While it lives, a product with the rows [begin, end) of a second factor meets no other. Floats do
// not anyway.
template <class Element>
struct OnlyRows {
  OnlyRows(const Factor<Element>&, int64_t, int64_t, int64_t, Element*) {}
};

#if defined(__AVX512F__)
// Of pairs of rows, which lie in scratch, the rows that share the first or the last pair with the
// ones asked for are 0 meanwhile. What was there is kept in `beside`, 2 rows of the width.
template <>
class OnlyRows<uint32_t> {
 public:
  OnlyRows(const Factor<uint32_t>& from, int64_t begin, int64_t end, int64_t width,
           uint32_t* beside)
      : width_(width),
        before_(begin % 2 == 0 ? nullptr : (uint32_t*)from.data + begin / 2 * from.stride),
        after_(end % 2 == 0 ? nullptr : (uint32_t*)from.data + end / 2 * from.stride),
        beside_(beside) {
    hide(before_, beside_, 0xffff0000u);
    hide(after_, beside_ + width_, 0x0000ffffu);
  }
  ~OnlyRows() {
    restore(before_, beside_);
    restore(after_, beside_ + width_);
  }
  OnlyRows(const OnlyRows&) = delete;
  OnlyRows& operator=(const OnlyRows&) = delete;

 private:
  void hide(uint32_t* pairs, uint32_t* kept, uint32_t shown) const {
    for (int64_t i = 0; pairs != nullptr && i < width_; i += kWidth) {
      const UInt both = row_from(pairs + i);
      store_pairs(kept + i, both);
      store_pairs(pairs + i, both & shown);
    }
  }
  void restore(uint32_t* pairs, const uint32_t* kept) const {
    for (int64_t i = 0; pairs != nullptr && i < width_; i += kWidth)
      store_pairs(pairs + i, row_from(kept + i));
  }

  int64_t width_;
  uint32_t *before_, *after_, *beside_;
};
#endif

}  // namespace dlplug::DLPLUG_ISA
