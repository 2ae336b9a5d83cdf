// What the attention kernels are given; csrc/ops/attention.h says what they compute.
#pragma once

#include <cstdint>

#include "csrc/common/types.h"
#include "csrc/cuda/philox.cuh"

namespace dlplug {

// A tensor (batch, heads, rows, width) whose last axis is contiguous; strides count elements.
struct HeadRows {
  void* data;
  int64_t batch, head, row;
  bool is_regular;  // its rows begin and end at multiples of 16 bytes
};

// A mask (batch, heads, queries, keys): strides count elements, 0 along an axis that it is
// broadcast over.
struct Mask {
  MaskType type;
  const void* data;
  int64_t batch, head, row, key;
};

// Blocks of the scores: of so many queries and so many keys.
constexpr int kShownBlock = 64;

// One byte a block: 0 where a mask hides all its keys from all its queries. Strides count bytes, 0
// along an axis that the mask is broadcast over; null where there is no mask.
struct ShownBlocks {
  const uint8_t* data;
  int64_t batch, head, row, key;
};

// The scores x = scale * q.k of one call, and which keys each query sees: those j with
//   i + query_offset - left <= j <= i + query_offset + right,  and j in i's document,
// where a bool mask is true. Where documents are of other lengths among the queries than among the
// keys, i counts from its document's first query, and j from its first key.
struct AttentionScores {
  int batch, heads, kv_heads, num_queries, num_keys;
  int width, value_width;     // D and E
  bool is_plain;              // no softcap, no ALiBi, no mask
  float scale, softcap;       // x = softcap * tanh(x / softcap); 0 for none
  const float* alibi_slopes;  // (heads,): x -= slope * |i + query_offset - j|; or null
  Mask mask;
  ShownBlocks shown;
  int64_t left, right;  // num_queries + num_keys + |query_offset| or more for no bound
  int64_t query_offset;
  const int32_t* document_begin;  // (num_queries,): first key of query i's document; or null
  const int32_t* document_end;    // (num_queries,): one past its last key
  const int32_t* document_shift;  // (num_queries,): its first key less its first query; null for 0
  // (num_keys,): the same of key j's document, with queries and keys in each other's place.
  const int32_t *query_begin, *query_end, *query_shift;
  // Of the weights: row (b * heads + h) * num_queries + i, column j.
  Dropout dropout;
  HeadRows query, key, value;
};

struct AttentionForward : AttentionScores {
  HeadRows out;
  double* lse;         // (batch, heads, num_queries)
  const float* sinks;  // (heads,) or null
};

// The mask's gradient: floats, contiguous in the mask's shape, that begin as 0 and are added to.
// Where several blocks of threads, or warps, add to one element, each has a share of its own.
struct MaskGradient {
  float* data;                    // null where it is not wanted
  int64_t share;                  // elements of one
  int64_t batch, head, row, key;  // strides, 0 along an axis that it is broadcast over
};

struct AttentionBackward : AttentionScores {
  HeadRows out, grad_out, grad_query, grad_key, grad_value;
  const double* lse;
  // (batch, heads, num_queries): lse as a sum of two floats (inf for -inf, whose weights are 0),
  // and out . grad_out; the fourth is not used.
  float4* rows;
  // A block of attention_backward_queries takes some queries of the heads of one bundle, one after
  // the other: bundles hold several only where heads add to one gradient of the mask. Bundles
  // i * num_bundles + 0, 1, ... together hold the pairs
  //   batch * heads + head = i * single_stride + j * shared_stride,  j in [0, num_shared)
  int num_single, num_bundles, num_shared, single_stride, shared_stride;
  MaskGradient grad_mask;
  double* grad_slopes;  // (batch, heads, warps that share a head) to be added up; or null
};

}  // namespace dlplug
