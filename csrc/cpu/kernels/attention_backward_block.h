// What the attention backward does with one block of queries and the keys of a chunk that it sees:
// the five products, and the sums that are written when nothing is added to them any more.
#pragma once

#include "csrc/cpu/kernels/attention.h"
#include "csrc/cpu/kernels/attention_backward_ahead.h"
#include "csrc/cpu/kernels/attention_backward_scratch.h"
#include "csrc/cpu/kernels/attention_bias_gradient.h"
#include "csrc/cpu/kernels/attention_deltas.h"
#include "csrc/cpu/kernels/attention_dots.h"
#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_softmax_gradient.h"
#include "csrc/cpu/kernels/attention_steps.h"

namespace dlplug::DLPLUG_ISA {

static void set_zero(float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = 0.0f;
}

// Sums to rows of an output, past the caches or not.
template <class Element, bool kStream = false, class T>
static void write(const float* from, int64_t stride, int64_t rows, int64_t width, T* to,
                  int64_t to_stride) {
#if defined(__AVX512F__)
  if constexpr (!__is_same(Element, float) && !__is_same(T, float))
    return write_pairs<kStream>(from, stride, rows, width, 1.0f, to, to_stride);
#endif
  write_rows<kStream>(from, stride, rows, width, 1.0f, to, to_stride);
}

template <class Element, class T>
static void put(const AttentionBackward& args, const float* from, int64_t stride, int64_t rows,
                int64_t width, T* to, int64_t to_stride) {
  if ((const void*)from == to) return;
  const auto write_to = is_streaming<T>(args) ? write<Element, true, T> : write<Element, false, T>;
  write_to(from, stride, rows, width, to, to_stride);
}

// Whether sums are added up where the gradients lie: floats, in rows side by side of whole vectors,
// to which nothing else is added. A copy would take 3 % of the time of packed documents.
template <class T>
static bool are_sums_in_place(const AttentionBackward& args) {
  return __is_same(T, float) && !is_streaming<T>(args) && args.query_shares == nullptr &&
         is_chunk_summed_once(args) && args.width % kWidth == 0 && args.value_width % kWidth == 0 &&
         args.grad_query.row == args.width && args.grad_key.row == args.width &&
         args.grad_value.row == args.value_width;
}

// What the blocks of an item have in common.
struct Item {
  Span keys;      // of its range
  int64_t range;  // number of the range among all
  int64_t share;  // of the mask's gradient
};

// The sums of a chunk's keys and values, and whether they hold something.
struct KeySums {
  float *keys, *values;
  bool& has_any;
};

template <class T, class Element>
static void clear(const BackwardScratch<T, Element>& space, const KeySums& sums, Span rows) {
  const int64_t count = rows.end - rows.begin;
  set_zero(sums.keys + rows.begin * space.width, count * space.width);
  set_zero(sums.values + rows.begin * space.value_width, count * space.value_width);
}

// Products of a block's queries with its keys, bit for bit those of the forward pass: of huge
// scores every digit decides about the weights.
template <class T, class Element>
static void multiply_keys_of(const AttentionBackward& args,
                             const BackwardScratch<T, Element>& space, const ScoreBlock& block,
                             const T* query, int64_t in_chunk, Trickle& ahead) {
  if (!args.is_few) {
    const auto factor = first_factor(query, args.query.row, block.count, args.width, space.queries);
    return multiply_to_keys<Element>(block, factor, depth_of<Element>(args.width),
                                     {space.keys + in_chunk, space.columns}, space.weights, ahead);
  }
  const int64_t kv_head = block.head / (args.heads / args.kv_heads);
  const T* keys = rows_at<T>(args.key, block.batch, kv_head, block.span.begin);
  for (int64_t row = 0; row < block.count; ++row)  // the products end with the keys
    store(space.weights + row * space.columns + block.columns - kWidth, Float{});
  pack_queries(query, args.query.row, block.count, args.width, space.queries);
  multiply_in_place(block.count, space.queries, row_of<Element>(args.width), keys, args.key.row,
                    block.span.end - block.span.begin, args.width, space.last_keys, space.weights,
                    space.columns, [](int64_t, int64_t) {});
}

// The sums of a block's queries.
struct QuerySums {
  float* queries;
  bool& has_any;
};

// A block of queries against those keys of `chunk` that it sees.
template <class T, class Element>
static void differentiate_block(const AttentionBackward& args,
                                const BackwardScratch<T, Element>& space, const Item& item,
                                const ScoreBlock& block, Span chunk, Factor<Element> key_rows,
                                Trickle& ahead, const QuerySums& query_sums,
                                const KeySums& key_sums) {
  const int64_t batch = block.batch, head = block.head, first = block.first, count = block.count;
  const int64_t keys = block.span.end - block.span.begin;
  const int64_t in_chunk = block.span.begin - chunk.begin;
  const T* query = rows_at<T>(args.query, batch, head, first);
  const T* grad_out = rows_at<T>(args.grad_out, batch, head, first);
  const bool has_own_deltas = finds_own_deltas(args, first, count);
  float* deltas = space.deltas + (first - args.first_query);
  if (!has_own_deltas && !query_sums.has_any && args.grad_slopes == nullptr)
    find_deltas(rows_at<const T>(args.out, batch, head, first), args.out.row, grad_out,
                args.grad_out.row, count, args.value_width, deltas);

  multiply_keys_of(args, space, block, query, in_chunk, ahead);
  const auto factor =
      first_factor(grad_out, args.grad_out.row, count, args.value_width, space.grads);
  multiply_to_keys<Element>(block, factor, depth_of<Element>(args.value_width),
                            {space.values + in_chunk, space.columns}, space.score_grads, ahead);
  GradientFactors<Element> factors;
  with_row_type(block, [&](auto type) {
    factors = differentiate<typename decltype(type)::type>(
        block, args.lse + (batch * args.heads + head) * args.num_queries + first, deltas,
        has_own_deltas,
        {space.weights, space.score_grads, space.bias_grads, space.totals, space.cap_slopes},
        space.factors);
  });
  if (args.grad_mask.type != MaskType::kNone)
    add_mask_gradient(args, block, space.bias_grads, item.share);
  if (args.grad_slopes != nullptr)
    args.grad_slopes[(batch * args.all_key_items + item.range) * args.heads + head] +=
        slope_gradient(block, space.bias_grads, space.totals, deltas, has_own_deltas);

  if (!key_sums.has_any) {  // the products with the block's keys are the first there
    clear(space, key_sums, {0, in_chunk});
    clear(space, key_sums, {in_chunk + keys, chunk.end - chunk.begin});
  }
  auto rows = second_factor(grad_out, args.grad_out.row, count, args.value_width, space.grad_rows);
  multiply_by_queries(block, factors.transposed_weights, rows, space.value_width,
                      key_sums.values + in_chunk * space.value_width, key_sums.has_any, ahead);
  rows = second_factor(query, args.query.row, count, args.width, space.query_rows);
  multiply_by_queries(block, factors.transposed_grads, rows, space.width,
                      key_sums.keys + in_chunk * space.width, key_sums.has_any, ahead);
  multiply_by_keys<Element>(
      block, factors.grads,
      {key_rows.data + depth_of<Element>(in_chunk) * key_rows.stride, key_rows.stride}, space.width,
      space.beside, query_sums.queries, query_sums.has_any, ahead);
  key_sums.has_any = query_sums.has_any = true;
}

// The gradients of `count` queries from row `first` of the pass on.
template <class T, class Element>
static void put_grad_queries(const AttentionBackward& args,
                             const BackwardScratch<T, Element>& space, const Item& item,
                             const Head& at, int64_t first, int64_t count, const QuerySums& sums) {
  if (!sums.has_any) set_zero(sums.queries, count * space.width);
  if (args.query_shares == nullptr)
    return put<Element>(args, sums.queries, space.width, count, args.width,
                        rows_at<T>(args.grad_query, at.batch, at.head, args.first_query + first),
                        args.grad_query.row);
  const int64_t head =
      ((item.range - args.first_key_item) * args.batch + at.batch) * args.heads + at.head;
  const int64_t row = head * (args.last_query - args.first_query) + first;
  write<Element>(sums.queries, space.width, count, args.width, args.query_shares + row * args.width,
                 args.width);
}

// The gradients of a chunk of keys and values.
template <class T, class Element>
static void put_grad_keys(const AttentionBackward& args, const BackwardScratch<T, Element>& space,
                          const Head& at, Span chunk, const KeySums& sums) {
  const int64_t count = chunk.end - chunk.begin;
  if (!sums.has_any) clear(space, sums, {0, count});
  put<Element>(args, sums.keys, space.width, count, args.width,
               rows_at<T>(args.grad_key, at.batch, at.kv_head, chunk.begin), args.grad_key.row);
  put<Element>(args, sums.values, space.value_width, count, args.value_width,
               rows_at<T>(args.grad_value, at.batch, at.kv_head, chunk.begin), args.grad_value.row);
}

}  // namespace dlplug::DLPLUG_ISA
