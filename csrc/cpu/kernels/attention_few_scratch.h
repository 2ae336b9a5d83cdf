// Working memory of attention with few queries: one thread's, for one item after the other.
#pragma once

#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_scratch.h"
#include "csrc/cpu/kernels/attention_softmax.h"

namespace dlplug::DLPLUG_ISA {

namespace {

template <class T, class Element>
struct FewScratch {
  Scratch scratch;
  int64_t columns;  // stride of the scores
  int64_t width;    // stride of the sums
  int64_t query_stride;
  int64_t num_rows;
  Element* queries;  // (rows, query_stride)
  T* last_keys;      // (kWidth, D)
  float* values;     // (chunk, width), where they cannot be read as they lie
  float* scores;     // (2, rows, columns): of a chunk, and the weights of the one before
  float* rows;       // (rows up to a multiple of kWidth,)
  float* sums;       // (rows, width)
  Softmax softmax;   // (rows,)

  FewScratch(const AttentionForward& args, char* block)
      : scratch{block},
        columns(spread(args.chunk)),
        width(round_up(args.value_width, kWidth)),
        query_stride(row_of<Element>(args.width)),
        num_rows(args.heads / args.kv_heads * args.num_queries),
        queries(scratch.take<Element>(num_rows * query_stride)),
        last_keys(scratch.take<T>(kWidth * args.width)),
        values(scratch.take<float>(width == args.value_width ? 0 : args.chunk * width)),
        scores(scratch.take<float>(2 * num_rows * columns)),
        rows(scratch.take<float>(round_up(num_rows, kWidth))),
        sums(scratch.take<float>(num_rows * width)),
        softmax{scratch.take<float>(num_rows), scratch.take<float>(num_rows),
                scratch.take<float>(num_rows), scratch.take<float>(num_rows)} {}
};

}  // namespace

}  // namespace dlplug::DLPLUG_ISA
