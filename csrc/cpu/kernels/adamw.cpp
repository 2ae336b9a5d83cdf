// One pass over memory: param, grad, m and v are read, and param, m and v written, once: 28 bytes
// an element in float32 and 14 in bfloat16; AMSGrad makes it 36 and 18, an average 8 more. The
// floor in time is those bytes over the bandwidth of an update in place.
#include "csrc/cpu/kernels/adamw.h"

#include "csrc/common/memory.h"
#include "csrc/cpu/kernels/adamw_prefetch.h"
#include "csrc/cpu/kernels/adamw_values.h"

namespace dlplug::DLPLUG_ISA {
namespace {

template <class T>
constexpr bool is_bfloat16 = false;
template <>
constexpr bool is_bfloat16<BFloat16> = true;

template <class T>
struct Arrays {
  T *param, *grad, *exp_avg, *exp_avg_sq, *max_exp_avg_sq;
  float* average;
};

// kWidth elements from i on; or, with an `n`, the first n of them.
template <bool kIsAmsgrad, bool kHasAverage, class T, class... N>
DLPLUG_INLINE void update_vector(const Arrays<T>& arrays, const AdamWConstants& c, int64_t i,
                                 N... n) {
  AdamWValues x{};
  x.param = load(arrays.param + i, n...);
  x.grad = load(arrays.grad + i, n...);
  x.m = load(arrays.exp_avg + i, n...);
  x.v = load(arrays.exp_avg_sq + i, n...);
  if (kIsAmsgrad) x.max_v = load(arrays.max_exp_avg_sq + i, n...);
  update_values<kIsAmsgrad>(c, x);
  store(arrays.param + i, x.param, n...);
  if (c.is_unscaling) store(arrays.grad + i, x.grad, n...);
  store(arrays.exp_avg + i, x.m, n...);
  store(arrays.exp_avg_sq + i, x.v, n...);
  if (kIsAmsgrad) store(arrays.max_exp_avg_sq + i, x.max_v, n...);
  if (kHasAverage) {
    const Float stored = rounded_to(x.param, T{}), average = load(arrays.average + i, n...);
    store(arrays.average + i, lerp(c.average, average, stored), n...);
  }
}

// A cache line from i on.
template <bool kIsAmsgrad, bool kHasAverage, class T>
DLPLUG_INLINE void update_line(const Arrays<T>& arrays, const AdamWConstants& c, int64_t i) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t j = 0; j < kLine; j += kWidth)
    update_vector<kIsAmsgrad, kHasAverage>(arrays, c, i + j);
}

// ---- bfloat16: two elements lie in a 32-bit word, the first in its lower half ----

DLPLUG_INLINE void load_pairs(const BFloat16* from, Float& first, Float& second) {
  UInt words;
  __builtin_memcpy(&words, from, sizeof(words));
  first = (Float)(words << 16);
  second = (Float)(words & 0xffff0000u);
}

DLPLUG_INLINE void store_pairs(BFloat16* to, Float first, Float second) {
  const UInt words = (rounded_bits(first) >> 16) | (rounded_bits(second) & 0xffff0000u);
  __builtin_memcpy(to, &words, sizeof(words));
}

// The elements are independent, so even and odd ones can be two vectors: 3 instructions to take a
// pair of vectors apart and together, where widening and narrowing in order takes 8. A float32
// average lies in order.
template <bool kIsAmsgrad>
DLPLUG_INLINE void update_pairs(const Arrays<BFloat16>& arrays, const AdamWConstants& c,
                                int64_t i) {
  for (int64_t end = i + 32; i < end; i += 2 * kWidth) {
    AdamWValues x{}, y{};
    load_pairs(arrays.param + i, x.param, y.param);
    load_pairs(arrays.grad + i, x.grad, y.grad);
    load_pairs(arrays.exp_avg + i, x.m, y.m);
    load_pairs(arrays.exp_avg_sq + i, x.v, y.v);
    if (kIsAmsgrad) load_pairs(arrays.max_exp_avg_sq + i, x.max_v, y.max_v);
    update_values<kIsAmsgrad>(c, x);
    update_values<kIsAmsgrad>(c, y);
    store_pairs(arrays.param + i, x.param, y.param);
    if (c.is_unscaling) store_pairs(arrays.grad + i, x.grad, y.grad);
    store_pairs(arrays.exp_avg + i, x.m, y.m);
    store_pairs(arrays.exp_avg_sq + i, x.v, y.v);
    if (kIsAmsgrad) store_pairs(arrays.max_exp_avg_sq + i, x.max_v, y.max_v);
  }
}

template <bool kIsAmsgrad, bool kHasAverage, class T>
void update(const AdamWRow& row, const AdamWOptions& options, int64_t begin, int64_t end) {
  const Arrays<T> arrays = {static_cast<T*>(row.param),          static_cast<T*>(row.grad),
                            static_cast<T*>(row.exp_avg),        static_cast<T*>(row.exp_avg_sq),
                            static_cast<T*>(row.max_exp_avg_sq), row.average};
  const AdamWConstants c = constants_of(options, row.negative_step, row.inverse_root);

  constexpr int64_t kLine = 64 / sizeof(T);
  int64_t i = begin;
  for (; i + kLine <= end; i += kLine) {
    prefetch(arrays.param + i);
    prefetch(arrays.grad + i);
    prefetch(arrays.exp_avg + i);
    prefetch(arrays.exp_avg_sq + i);
    if (kIsAmsgrad) prefetch(arrays.max_exp_avg_sq + i);
    if (kHasAverage)
      for (int64_t j = 0; j < kLine; j += 16) prefetch(arrays.average + i + j);
    if constexpr (is_bfloat16<T> && !kHasAverage)
      update_pairs<kIsAmsgrad>(arrays, c, i);
    else
      update_line<kIsAmsgrad, kHasAverage>(arrays, c, i);
  }
  for (; i + kWidth <= end; i += kWidth) update_vector<kIsAmsgrad, kHasAverage>(arrays, c, i);
  if (i < end) update_vector<kIsAmsgrad, kHasAverage>(arrays, c, i, static_cast<int>(end - i));
}

template <class T>
void update_any(const AdamWRow& row, const AdamWOptions& options, int64_t begin, int64_t end) {
  const bool has_average = row.average != nullptr;
  auto* function = row.max_exp_avg_sq != nullptr
                       ? (has_average ? &update<true, true, T> : &update<true, false, T>)
                       : (has_average ? &update<false, true, T> : &update<false, false, T>);
  function(row, options, begin, end);
}

}  // namespace

void adamw_update(const AdamWRow& row, const AdamWOptions& options, int64_t begin, int64_t end) {
  switch (row.dtype) {
    case Dtype::kFloat32:
      return update_any<float>(row, options, begin, end);
    case Dtype::kBFloat16:
      return update_any<BFloat16>(row, options, begin, end);
    case Dtype::kFloat16:
      return update_any<Half>(row, options, begin, end);
  }
}

}  // namespace dlplug::DLPLUG_ISA
