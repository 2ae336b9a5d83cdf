// Which lines attention with few queries asks the cache for, for tests/csrc/test_fetched_rows.py:
// the kernels' own loops over keys and values, where a prefetch is noted instead.
#include <stdint.h>

namespace {

const void** fetched;
int64_t num_fetched;

[[gnu::noinline]] void note(const void* at) { fetched[num_fetched++] = at; }

}  // namespace

#define __builtin_prefetch(at, ...) note(at)
#include "csrc/cpu/kernels/attention_dots.h"
#include "csrc/cpu/kernels/attention_scratch.h"
#include "csrc/cpu/kernels/attention_values.h"
#undef __builtin_prefetch

namespace dlplug::DLPLUG_ISA {
namespace {

// As in test_fetched_rows.py.
enum Type { kFloat, kHalf, kPairs };

template <class T, class Element>
int64_t go_over(bool are_values, int64_t count, int64_t width, const T* rows, char* scratch) {
  Scratch space{scratch};
  float* weights = space.take<float>(count + kWidth);
  if (are_values) {
    float* sums = space.take<float>(width);
    add_weighted_rows(weights, count, rows, width, width / kWidth, sums, false);
  } else {
    const Element* query = space.take<Element>(width);
    T* last_keys = space.take<T>(kWidth * width);
    multiply_in_place(1, query, 0, rows, width, count, width, last_keys, weights, 0,
                      [](int64_t, int64_t) {});
  }
  return rows_ahead_of(width * (int64_t)sizeof(T));
}

}  // namespace
}  // namespace dlplug::DLPLUG_ISA

// One query with `count` contiguous rows, whole lines each; `scratch` is memory of zeros. Notes the
// addresses that were asked for, and returns how many rows ahead they are to lie.
extern "C" [[gnu::visibility("default")]] int64_t fetch_rows(int64_t type, bool are_values,
                                                             int64_t count, int64_t width,
                                                             const void* rows, char* scratch,
                                                             const void** addresses,
                                                             int64_t* num_addresses) {
  using namespace dlplug::DLPLUG_ISA;
  fetched = addresses;
  num_fetched = 0;
  int64_t ahead = 0;
  if (type == kFloat)
    ahead = go_over<float, float>(are_values, count, width, (const float*)rows, scratch);
  if (type == kHalf)
    ahead =
        go_over<dlplug::Half, float>(are_values, count, width, (const dlplug::Half*)rows, scratch);
#if defined(__AVX512F__)
  using Pairs = dlplug::BFloat16;
  if (type == kPairs)
    ahead = go_over<Pairs, uint32_t>(are_values, count, width, (const Pairs*)rows, scratch);
#endif
  *num_addresses = num_fetched;
  return ahead;
}
