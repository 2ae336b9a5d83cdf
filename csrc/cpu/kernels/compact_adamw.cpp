// One pass over memory: the gradient is read, everything else read and written, once. Bytes moved
// an element of a bfloat16 parameter: 22 with float32 states, 26 with a remainder, 14 stochastic,
// 18 with Kahan's compensation, 10 with 8-bit states; 8 more with an average. The floor in time is
// those over the bandwidth.
#include "csrc/cpu/kernels/compact_adamw.h"

#include "csrc/cpu/kernels/compact_8bit.h"
#include "csrc/cpu/kernels/compact_average.h"
#include "csrc/cpu/kernels/compact_storages.h"

namespace dlplug::DLPLUG_ISA {
namespace {

template <class S, class T>
void update(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin, int64_t end) {
  const AdamWConstants c = constants_of(options, row.negative_step, row.inverse_root);
  S storage(row);
  for (int64_t block = begin; block < end; block += kCompactUnit) {
    storage.begin_block(row, block);
    const int64_t count = end < block + kCompactUnit ? end - block : kCompactUnit;
    over_pairs(count, [&](int64_t j, auto part) __attribute__((always_inline)) {
      const int64_t i = block + j;
      T* grad = static_cast<T*>(row.grad) + i;
      AdamWValues x[part.kVectors];
      Float grads[part.kVectors];
      prefetch(grad, part);
      storage.read(x, i, part);
      load(grad, part, grads);
#pragma GCC unroll 2
      for (int k = 0; k < part.kVectors; ++k) {
        x[k].grad = grads[k];
        update_values<false>(c, x[k]);
        grads[k] = x[k].grad;
      }
      storage.write(x, i, part);
      if (c.is_unscaling) store(grad, grads, part);
      if (row.average != nullptr) move_average(row, c, storage.param, i, part);
    });
  }
}

template <class T>
void update_any(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin,
                int64_t end) {
  if (row.storage == Storage::k8Bit)
    update_8bit<T>(row, options, begin, end);
  else
    update<Float32States<T>, T>(row, options, begin, end);
}

}  // namespace

void compact_adamw_update(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin,
                          int64_t end) {
  switch (row.storage) {
    case Storage::kRemainder:
      return update<Remainder, BFloat16>(row, options, begin, end);
    case Storage::kStochastic:
      return update<Stochastic, BFloat16>(row, options, begin, end);
    case Storage::kKahan:
      return update<Kahan, BFloat16>(row, options, begin, end);
    default:
      break;
  }
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
