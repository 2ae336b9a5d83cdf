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

// kWidth elements from i on; or, with an `n`, the first n of them.
template <class S, class T, class... N>
DLPLUG_INLINE void update_vector(const CompactAdamWRow& row, const S& storage,
                                 const AdamWConstants& c, int64_t i, N... n) {
  T* grad = static_cast<T*>(row.grad) + i;
  AdamWValues x{};
  storage.read(x, i, n...);
  x.grad = load(grad, n...);
  update_values<false>(c, x);
  const Float stored = storage.write(x, i, n...);
  if (c.is_unscaling) store(grad, x.grad, n...);
  if (row.average != nullptr) move_average(row, c, i, stored, n...);
}

template <class S, class T>
void update(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin, int64_t end) {
  const AdamWConstants c = constants_of(options, row.negative_step, row.inverse_root);
  S storage(row);
  for (int64_t block = begin; block < end; block += kRandomBlock) {
    storage.begin_block(row, block);
    const int64_t stop = end < block + kRandomBlock ? end : block + kRandomBlock;
    int64_t i = block;
    for (; i + kWidth <= stop; i += kWidth) update_vector<S, T>(row, storage, c, i);
    if (const int rest = static_cast<int>(stop - i)) update_vector<S, T>(row, storage, c, i, rest);
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
