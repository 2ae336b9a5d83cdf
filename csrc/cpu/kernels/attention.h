// What the attention kernels are given. Work is split into items that depend on the shape alone; a
// kernel handles the items [begin, end) of its arguments.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/common/types.h"

namespace dlplug {

// A tensor (batch, heads, rows, width) whose last axis is contiguous; strides count elements.
struct HeadRows {
  void* data;
  int64_t batch, head, row;
};

// Most keys that are packed and multiplied at a time: 64 queries' scores with them take 64 KiB.
constexpr int64_t kMaxChunk = 256;

// Most queries that are multiplied with keys as they lie, and most rows: queries of all heads that
// share a key head. With 8 queries of one head it pays to pack the keys.
constexpr int64_t kFewQueries = 4, kFewRows = 64;

// A mask of the scores, or its gradient: (batch, heads, queries, keys), one byte each or floats.
// Strides count elements, 0 along an axis that it is broadcast over; that of the keys is 0 or 1.
struct MaskRows {
  MaskType type;
  void* data;
  int64_t batch, head, row, key;
};

// The scores x = scale * q.k of one call, and which keys each query sees: those j with
//   i + query_offset - left <= j <= i + query_offset + right,  and j in i's document,
// where a bool mask is true. Where documents are of other lengths among the queries than among the
// keys, i counts from its document's first query, and j from its first key.
struct AttentionScores {
  Dtype dtype;             // of query, key, value, out and their gradients
  bool use_bf16_products;  // dtype is bfloat16 and the processor has AVX512_BF16
  bool use_tiles;          // and they are done by the tiles of AMX, but forward with few queries
  bool is_plain;           // scale > 0 and neither softcap, ALiBi nor dropout; there may be a mask
  bool is_few;             // queries are multiplied with keys as they lie
  bool is_streaming;       // outputs may be written past the caches; their rows are whole lines
  int64_t batch, heads, kv_heads;
  int64_t num_queries, num_keys;
  int64_t width, value_width;  // D and E
  float scale;
  float softcap;              // x = softcap * tanh(x / softcap); 0 for none
  const float* alibi_slopes;  // (heads,): x -= slope * |i + query_offset - j|; or null
  MaskRows mask;              // x += mask where it is float
  int64_t left, right;        // num_queries + num_keys or more for no bound
  int64_t query_offset;
  const int32_t* document_begin;  // (num_queries,): first key of query i's document; or null
  const int32_t* document_end;    // (num_queries,): one past its last key
  const int32_t* document_shift;  // (num_queries,): its first key less its first query; null for 0
  // Dropout of the weights: the element (row (b * heads + h) * num_queries + i, column j) of
  // csrc/common/philox.h is dropped when its bits are < threshold, else multiplied by keep_scale.
  uint64_t seed, threshold;  // threshold 0 for no dropout
  float keep_scale;
  HeadRows query, key, value;
};

// out = weights @ value, weights = exp(x) / (sum of exp(x) + exp(sink)).
// Items of attention_forward: (batch, head, range of queries, range of keys); of
// attention_forward_few: (batch, key-value head, range of keys).
struct AttentionForward : AttentionScores {
  HeadRows out;
  double* lse;         // (batch, heads, num_queries): log of that sum; -inf where nothing is seen
  const float* sinks;  // (heads,) or null
  int64_t item_queries, num_query_items;
  int64_t item_keys, num_key_items;
  // With several ranges of keys each has its own part of the result, to be combined:
  // (num_key_items, batch, heads, num_queries) with value_width floats each, sums of weights
  // e^(score - top) times values; and one, the top and the sum of the weights. Else null.
  float *part_sums, *part_tops, *part_totals;
  int64_t chunk;  // keys that are packed and multiplied at a time, a multiple of 64
};

// Items: (bundle of heads, range of keys), one pass over queries after the other: an item adds the
// queries [first_query, last_query) to the gradients of its keys, for one (batch, key-value head)
// after the other. Bundles hold several only where heads add to one gradient of the mask: there are
// num_single * num_bundles of them, and together bundles i * num_bundles + 0, 1, ... hold the pairs
//   batch * kv_heads + kv_head = i * single_stride + j * shared_stride,  j in [0, num_shared)
// in this order.
struct AttentionBackward : AttentionScores {
  HeadRows out, grad_out, grad_query, grad_key, grad_value;
  const double* lse;
  int64_t item_keys;
  int64_t first_key_item, num_key_items;  // ranges of keys of this pass
  int64_t all_key_items;                  // and of all
  int64_t num_single, num_bundles, num_shared, single_stride, shared_stride;
  int64_t chunk;
  int64_t first_query, last_query;
  int64_t most_queries;  // of any pass
  // With several ranges of keys each has its own share of the pass's grad_query, (num_key_items,
  // batch, heads, last_query - first_query, width) floats, added up after it; else null.
  float* query_shares;
  // With several passes the sums of grad_key and grad_value between them, which begin as 0: floats,
  // (batch, kv_heads, num_keys, width rounded up to whole vectors); else null.
  float *key_sums, *value_sums;
  // The gradient of a float mask, which begins as 0: floats that are added to, as many shares of it
  // as there are bundles that share it (times all_key_items where it is broadcast over the keys);
  // or, where it is not broadcast over anything, elements of the mask's dtype.
  MaskRows grad_mask;
  int64_t mask_share;   // elements from one share to the next
  double* grad_slopes;  // (batch, all_key_items, heads) to be added up, begin as 0; or null
};

}  // namespace dlplug

// `scratch` is aligned to 64 bytes and holds as many as the kernel writes to *scratch_bytes; with
// begin == end and a null `scratch` that is all it does.
DLPLUG_DECLARE_KERNEL(attention_forward, const AttentionForward& args, int64_t begin, int64_t end,
                      char* scratch, int64_t* scratch_bytes)
// The same for so few queries that packing keys does not pay.
DLPLUG_DECLARE_KERNEL(attention_forward_few, const AttentionForward& args, int64_t begin,
                      int64_t end, char* scratch, int64_t* scratch_bytes)
// Combines the parts of the result, rows [begin, end) of batch * heads * num_queries.
DLPLUG_DECLARE_KERNEL(attention_combine, const AttentionForward& args, int64_t begin, int64_t end)
DLPLUG_DECLARE_KERNEL(attention_backward, const AttentionBackward& args, int64_t begin, int64_t end,
                      char* scratch, int64_t* scratch_bytes)
// Adds up `shares` shares of the mask's gradient, each of `stride` floats: elements [begin, end).
DLPLUG_DECLARE_KERNEL(attention_sum_mask_shares, const float* shares, int64_t num_shares,
                      int64_t stride, Dtype dtype, void* to, int64_t begin, int64_t end)
// Adds up the shares of grad_query, rows [begin, end) of batch * heads * queries of the pass.
DLPLUG_DECLARE_KERNEL(attention_sum_shares, const AttentionBackward& args, int64_t begin,
                      int64_t end)
