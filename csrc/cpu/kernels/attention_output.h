// Ends of the forward pass: a range of queries to the output, or to a part of it where the keys are
// split into ranges.
#pragma once

#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_scratch.h"
#include "csrc/cpu/kernels/attention_softmax.h"

namespace dlplug::DLPLUG_ISA {

DLPLUG_INLINE Span keys_of_range(const AttentionForward& args, int64_t range) {
  return intersect({range * args.item_keys, (range + 1) * args.item_keys}, {0, args.num_keys});
}

// Queries [first, first + count) of a head to the output, nothing being summed up where `sums`,
// rows of `stride`, is null. The softmax's `shrink` is overwritten.
template <class T>
static void put_rows(const AttentionForward& args, int64_t batch, int64_t head, int64_t first,
                     int64_t count, const float* sums, int64_t stride, const Softmax& softmax) {
  const int64_t lse = (batch * args.heads + head) * args.num_queries + first;
  finish(count, args.sinks == nullptr ? nullptr : args.sinks + head, softmax, args.lse + lse);
  for (int64_t i = 0; i < count; ++i) {
    T* out = rows_at<T>(args.out, batch, head, first + i);
    if (sums != nullptr && args.is_streaming)
      write_rows<true>(sums + i * stride, 0, 1, args.value_width, softmax.shrink[i], out, 0);
    else if (sums != nullptr)
      write_rows(sums + i * stride, 0, 1, args.value_width, softmax.shrink[i], out, 0);
    else
      for (int64_t column = 0; column < args.value_width; ++column) out[column] = T{};
  }
}

// The same, or where the keys are split to the part of a range of them.
template <class T>
static void put_out(const AttentionForward& args, int64_t batch, int64_t head, int64_t range,
                    int64_t first, int64_t count, const float* sums, int64_t stride,
                    const Softmax& softmax) {
  if (args.part_sums == nullptr)
    return put_rows<T>(args, batch, head, first, count, sums, stride, softmax);
  const int64_t rows = args.batch * args.heads * args.num_queries;
  const int64_t at = (batch * args.heads + head) * args.num_queries + first + range * rows;
  for (int64_t i = 0; i < count; ++i) {
    args.part_tops[at + i] = softmax.top[i];
    args.part_totals[at + i] = softmax.sum[i];  // 0 where nothing is summed up
    if (sums != nullptr)
      write_rows(sums + i * stride, 0, 1, args.value_width, 1.0f,
                 args.part_sums + (at + i) * args.value_width, 0);
  }
}

}  // namespace dlplug::DLPLUG_ISA
