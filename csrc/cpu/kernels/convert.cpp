#include "csrc/cpu/kernels/convert.h"

#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {
namespace {

template <class T>
void widen_row(const T* narrow, float* wide, int64_t count) {
  over_row<1>(count, [&](int64_t j, int, auto part) __attribute__((always_inline)) {
    store(wide + j, load(narrow + j, part), part);
  });
}

template <class T>
void narrow_row(const float* wide, T* narrow, int64_t count) {
  over_row<1>(count, [&](int64_t j, int, auto part) __attribute__((always_inline)) {
    store(narrow + j, load(wide + j, part), part);
  });
}

}  // namespace

void widen_floats(Dtype dtype, const void* narrow, float* wide, int64_t count) {
  if (dtype == Dtype::kBFloat16)
    widen_row((const BFloat16*)narrow, wide, count);
  else
    widen_row((const Half*)narrow, wide, count);
}

void narrow_floats(Dtype dtype, const float* wide, void* narrow, int64_t count) {
  if (dtype == Dtype::kBFloat16)
    narrow_row(wide, (BFloat16*)narrow, count);
  else
    narrow_row(wide, (Half*)narrow, count);
}

}  // namespace dlplug::DLPLUG_ISA
