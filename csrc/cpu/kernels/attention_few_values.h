// Weights times values of attention with few queries, slice by slice.
#pragma once

#include "csrc/cpu/kernels/attention_few_scratch.h"
#include "csrc/cpu/kernels/attention_product.h"
#include "csrc/cpu/kernels/attention_values.h"

namespace dlplug::DLPLUG_ISA {

namespace {

// The weights of a chunk and the values that they are multiplied with. Those of one row are, slice
// by slice, while the next chunk's keys are: this way keys and values come from memory all the
// time. Of several rows the multiplications take longer than the memory, and want long slices.
template <class T, class Element>
struct WeightedValues {
  const AttentionForward& args;
  const FewScratch<T, Element>& space;
  const float* weights = nullptr;  // (rows, columns)
  const T* values = nullptr;
  int64_t count = 0, done = 0;  // keys
  bool has_sums = false;

  void begin(const float* chunk_weights, const T* chunk_values, int64_t num_keys) {
    weights = chunk_weights;
    values = chunk_values;
    count = num_keys;
    done = 0;
  }

  void add_slice(int64_t most) { add(count - done < most ? count - done : most); }
  void add_rest() { add(count - done); }

 private:
  void add(int64_t keys) {
    if (keys == 0) return;
    const T* rows = values + done * args.value.row;
    if (space.width == args.value_width) {
      multiply(keys, rows, args.value.row);
    } else {
      copy_rows(rows, args.value.row, keys, args.value_width, space.values);
      multiply(keys, (const float*)space.values, space.width);
    }
    has_sums = true;
    done += keys;
  }

  template <class Value>
  void multiply(int64_t keys, const Value* rows, int64_t stride) const {
    const int64_t vectors = space.width / kWidth;
    const float* factors = weights + done;
    if (space.num_rows == 1)
      add_weighted_rows(factors, keys, rows, stride, vectors, space.sums, has_sums);
    else
      DLPLUG_ISA::multiply<false>(space.num_rows, vectors, WholeDepth{keys}, factors, space.columns,
                                  rows, stride, space.sums, space.width, has_sums);
  }
};

}  // namespace

}  // namespace dlplug::DLPLUG_ISA
