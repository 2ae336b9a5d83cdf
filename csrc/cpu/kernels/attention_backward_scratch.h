// Working memory of the attention backward: one thread's, for one item after the other.
#pragma once

#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_scratch.h"

namespace dlplug::DLPLUG_ISA {

DLPLUG_INLINE bool has_bias_gradient(const AttentionBackward& args) {
  return args.grad_mask.type != MaskType::kNone || args.grad_slopes != nullptr;
}

// Whether the sums of a chunk of keys are done with before those of the next begin, and are small
// enough to stay in the cache: unless several query heads or passes add to them.
DLPLUG_INLINE bool is_chunk_summed_once(const AttentionBackward& args) {
  return args.heads == args.kv_heads && args.key_sums == nullptr;
}

DLPLUG_INLINE int64_t sum_rows(const AttentionBackward& args) {
  return is_chunk_summed_once(args) ? args.chunk : args.item_keys;
}

namespace {

template <class T, class Element>
struct BackwardScratch {
  Scratch scratch;
  int64_t columns;             // stride of transposed keys and values, and of the scores
  int64_t width, value_width;  // strides of sums over D and over E
  Element* keys;               // transposed: (row_of(D), columns); null with few queries
  Element* values;             // transposed: (row_of(E), columns)
  Element* key_rows;           // (depth of chunk, width)
  Element* beside;             // (2, width), for OnlyRows
  Element* queries;            // (block, row_of(D)), as the first factor
  T* last_keys;                // (kWidth, D), with few queries
  Element* query_rows;         // (depth of block, width), as the second
  Element* grads;              // (block, row_of(E)), as the first factor
  Element* grad_rows;          // (depth of block, value_width), as the second
  Element* factors;            // (block, row_of(columns)): gradients of products; null for floats
  float* weights;              // (block, columns)
  float* score_grads;          // (block, columns)
  float* bias_grads;           // of the scores, before softcap and scale, where asked for, or null
  float* totals;               // (block,): sums of the weights, where there are slopes, or null
  float* cap_slopes;           // (kWidth, columns): where there is a softcap, or null
  float* deltas;               // (queries of the pass,)
  // Sums, which hold nothing, not even 0, before the first block is added to them.
  float* block_queries;    // (block, width): of queries that see keys of one chunk
  float* grad_queries;     // (queries of the pass, width): of others; null with one chunk
  float* grad_keys;        // (item_keys, width), or (chunk, width) where one head adds to it
  float* grad_values;      // the same with value_width
  bool* has_grad_queries;  // (blocks of the pass,)
  bool* has_grad_keys;     // (chunks of the item,): of keys and values

  BackwardScratch(const AttentionBackward& args, char* block)
      : scratch{block},
        columns(spread(args.chunk)),
        width(round_up(args.width, kWidth)),
        value_width(round_up(args.value_width, kWidth)),
        keys(args.is_few ? nullptr : scratch.take<Element>(row_of<Element>(args.width) * columns)),
        values(scratch.take<Element>(row_of<Element>(args.value_width) * columns)),
        key_rows(scratch.take<Element>(depth_of<Element>(args.chunk) * width)),
        beside(scratch.take<Element>(2 * width)),
        queries(scratch.take<Element>(kMaxBlock * row_of<Element>(args.width))),
        last_keys(args.is_few ? scratch.take<T>(kWidth * args.width) : nullptr),
        query_rows(scratch.take<Element>(kMaxBlock * width)),
        grads(scratch.take<Element>(kMaxBlock * row_of<Element>(args.value_width))),
        grad_rows(scratch.take<Element>(kMaxBlock * value_width)),
        factors(__is_same(Element, float)
                    ? nullptr
                    : scratch.take<Element>(kMaxBlock * row_of<Element>(columns))),
        weights(scratch.take<float>(kMaxBlock * columns)),
        score_grads(scratch.take<float>(kMaxBlock * columns)),
        bias_grads(has_bias_gradient(args) ? scratch.take<float>(kMaxBlock * columns) : nullptr),
        totals(args.grad_slopes == nullptr ? nullptr : scratch.take<float>(kMaxBlock)),
        cap_slopes(args.softcap == 0.0f ? nullptr : scratch.take<float>(kWidth * columns)),
        deltas(scratch.take<float>(args.most_queries)),
        block_queries(scratch.take<float>(kMaxBlock * width)),
        grad_queries(args.item_keys <= args.chunk ? nullptr
                                                  : scratch.take<float>(args.most_queries * width)),
        grad_keys(args.key_sums ? nullptr : scratch.take<float>(sum_rows(args) * width)),
        grad_values(args.key_sums ? nullptr : scratch.take<float>(sum_rows(args) * value_width)),
        has_grad_queries(scratch.take<bool>(args.most_queries)),
        has_grad_keys(scratch.take<bool>(args.item_keys)) {}
};

}  // namespace

}  // namespace dlplug::DLPLUG_ISA
