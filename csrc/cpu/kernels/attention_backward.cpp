// Attention backward. With the weights P remade from the log-sum-exp, G = grad_out value^T and
// delta_i = out_i . grad_out_i (Dao et al. 2022, arXiv:2205.14135, appendix B):
//   grad_value = P^T grad_out,  S = P * (G - delta),
//   grad_query = scale * S key,  grad_key = scale * S^T query
// with dropout applied to G and to the P of grad_value, and the softcap's slope to S; before that
// slope S is the gradient of the mask and, times the distances, of ALiBi's slopes.
//
// An item is one key-value head's range of keys and belongs to one thread; the query heads that
// share it are added up. Order of loops: pass over queries (csrc/cpu/attention.cpp), query head,
// chunk of keys, block of queries.
// Work: 10 * queries * keys * width flops.
#include "csrc/cpu/kernels/attention.h"
#include "csrc/cpu/kernels/attention_bias_gradient.h"
#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_product.h"
#include "csrc/cpu/kernels/attention_scores.h"
#include "csrc/cpu/kernels/attention_scratch.h"
#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

DLPLUG_INLINE bool has_bias_gradient(const AttentionBackward& args) {
  return args.grad_mask.type != MaskType::kNone || args.grad_slopes != nullptr;
}

template <class Element>
struct BackwardScratch {
  Scratch scratch;
  int64_t columns;             // stride of transposed keys and values, and of the scores
  int64_t width, value_width;  // strides of sums over D and over E
  Element* keys;               // transposed: (row_of(D), columns)
  Element* values;             // transposed: (row_of(E), columns)
  Element* key_rows;           // (depth of chunk, width)
  Element* queries;            // (block, row_of(D)), as the first factor
  Element* query_rows;         // (depth of block, width), as the second
  Element* grads;              // (block, row_of(E)), as the first factor
  Element* grad_rows;          // (depth of block, value_width), as the second
  Element* factors;            // (block, columns): weights or their gradient
  float* weights;              // (block, columns)
  float* score_grads;          // (block, columns)
  float* bias_grads;           // the same before the softcap's slope: where it lies, or null
  float* grad_queries;         // (queries of the pass, width)
  float* deltas;               // (queries of the pass,)
  float* grad_keys;            // (item_keys, width)
  float* grad_values;          // (item_keys, value_width)

  BackwardScratch(const AttentionBackward& args, char* block)
      : scratch{block},
        columns(spread(args.chunk)),
        width(round_up(args.width, kWidth)),
        value_width(round_up(args.value_width, kWidth)),
        keys(scratch.take<Element>(row_of<Element>(args.width) * columns)),
        values(scratch.take<Element>(row_of<Element>(args.value_width) * columns)),
        key_rows(scratch.take<Element>(depth_of<Element>(args.chunk) * width)),
        queries(scratch.take<Element>(kMaxBlock * row_of<Element>(args.width))),
        query_rows(scratch.take<Element>(kMaxBlock * width)),
        grads(scratch.take<Element>(kMaxBlock * row_of<Element>(args.value_width))),
        grad_rows(scratch.take<Element>(kMaxBlock * value_width)),
        factors(scratch.take<Element>(kMaxBlock * columns)),
        weights(scratch.take<float>(kMaxBlock * columns)),
        score_grads(scratch.take<float>(kMaxBlock * columns)),
        bias_grads(!has_bias_gradient(args) ? nullptr
                   : args.softcap == 0.0f   ? score_grads
                                            : scratch.take<float>(kMaxBlock * columns)),
        grad_queries(scratch.take<float>(args.most_queries * width)),
        deltas(scratch.take<float>(args.most_queries)),
        grad_keys(args.key_sums ? nullptr : scratch.take<float>(args.item_keys * width)),
        grad_values(args.key_sums ? nullptr : scratch.take<float>(args.item_keys * value_width)) {}
};

static void set_zero(float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = 0.0f;
}

// Sums of an item to rows of the output.
template <class Element, class T>
static void write(const float* from, int64_t stride, int64_t rows, int64_t width, float factor,
                  T* to, int64_t to_stride) {
  if constexpr (__is_same(Element, float) || __is_same(T, float))
    write_rows(from, stride, rows, width, factor, to, to_stride);
  else
    write_pairs(from, stride, rows, width, factor, to, to_stride);
}

template <class T>
static float dot(const T* a, const T* b, int64_t width) {
  Float sums = {};
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) sums = fma(load(a + i), load(b + i), sums);
  if (i < width) sums = fma(load(a + i, (int)(width - i)), load(b + i, (int)(width - i)), sums);
  return sum(sums);
}

// Products to weights e^(score - lse) in `weights`, and in `grads` the gradient of the weights to
// that of the products, but for the factor scale. In `bias_grads`, unless null, to that of what is
// added to the scores.
template <bool kPlain>
static void differentiate(const ScoreBlock& block, const float* lse, const float* deltas,
                          float* weights, float* grads, float* bias_grads) {
  const Float scale = broadcast(block.args.scale);
  for (int64_t row = 0; row < block.count; ++row) {
    float *x = weights + row * block.stride, *g = grads + row * block.stride;
    const Span seen = block.seen(row), vectors = vectors_of(seen);
    fill_zeros(x, 0, vectors.begin);
    fill_zeros(g, 0, vectors.begin);
    fill_zeros(x, vectors.end, block.columns);
    fill_zeros(g, vectors.end, block.columns);
    float* b =
        bias_grads == nullptr || bias_grads == grads ? nullptr : bias_grads + row * block.stride;
    if (b != nullptr) {
      fill_zeros(b, 0, vectors.begin);
      fill_zeros(b, vectors.end, block.columns);
    }
    if (vectors.begin >= vectors.end) continue;

    // Where every score is -inf, lse is too, and no weight counts.
    const Float shift = broadcast(lse[row] == -kInfinity ? -kInfinity : -lse[row]);
    const bool is_huge = is_huge_score(lse[row]);
    const Float delta = broadcast(deltas[row]);
    RowDropout dropout(block, row);
    const RowMask mask = kPlain ? RowMask() : mask_of(block, row);
    for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
      Float gradient = load(g + j);
      if constexpr (kPlain) {
        const Float score = shifted(load(x + j), scale, shift, is_huge);
        const Float weight = exp_of_score(hide(seen, j, score));
        store(x + j, weight);
        store(g + j, weight * (gradient - delta));
      } else {
        Float cap_slope = broadcast(1.0f);
        const Float score = transform_score(block, mask, row, j, load(x + j), &cap_slope) + shift;
        const Float weight = exp_of_score(hide(seen, j, score));
        Float kept = weight;
        if (block.args.threshold != 0) {
          kept = dropout.apply(j, weight);
          gradient = dropout.apply(j, gradient);
        }
        store(x + j, kept);
        const Float change = weight * (gradient - delta);
        if (b != nullptr) store(b + j, change);
        store(g + j, change * cap_slope);
      }
    }
  }
}

// What the blocks of an item have in common.
struct Item {
  Span keys;        // of its range
  int64_t range;    // number of the range among all
  int64_t share;    // of the mask's gradient
  bool accumulate;  // several blocks, or none, add to a gradient
};

// A block of queries against those keys of `chunk` that it sees.
template <class T, class Element>
static void differentiate_block(const AttentionBackward& args,
                                const BackwardScratch<Element>& space, const Item& item,
                                const ScoreBlock& block, Span chunk, Factor<Element> key_rows) {
  const int64_t batch = block.batch, head = block.head, first = block.first, count = block.count;
  const bool accumulate = item.accumulate;
  const int64_t keys = block.span.end - block.span.begin, vectors = block.columns / kWidth;
  const int64_t in_chunk = block.span.begin - chunk.begin;
  const int64_t in_item = block.span.begin - item.keys.begin;
  const T* query = rows_at<T>(args.query, batch, head, first);
  const T* grad_out = rows_at<T>(args.grad_out, batch, head, first);

  auto factor = first_factor(query, args.query.row, count, args.width, space.queries);
  multiply<false>(count, vectors, depth_of<Element>(args.width), factor.data, factor.stride,
                  space.keys + in_chunk, space.columns, space.weights, space.columns, false);
  factor = first_factor(grad_out, args.grad_out.row, count, args.value_width, space.grads);
  multiply<false>(count, vectors, depth_of<Element>(args.value_width), factor.data, factor.stride,
                  space.values + in_chunk, space.columns, space.score_grads, space.columns, false);
  (block.is_plain()
       ? differentiate<true>
       : differentiate<false>)(block,
                               args.lse + (batch * args.heads + head) * args.num_queries + first,
                               space.deltas + (first - args.first_query), space.weights,
                               space.score_grads, space.bias_grads);
  if (args.grad_mask.type != MaskType::kNone)
    add_mask_gradient(args, block, space.bias_grads, item.share);
  if (args.grad_slopes != nullptr)
    args.grad_slopes[(batch * args.all_key_items + item.range) * args.heads + head] +=
        slope_gradient(block, space.bias_grads);

  factor =
      transposed_first_factor(space.weights, space.columns, count, block.columns, space.factors);
  auto rows = second_factor(grad_out, args.grad_out.row, count, args.value_width, space.grad_rows);
  multiply<true>(keys, space.value_width / kWidth, depth_of<Element>(count), factor.data,
                 factor.stride, rows.data, rows.stride,
                 space.grad_values + in_item * space.value_width, space.value_width, accumulate);
  factor = transposed_first_factor(space.score_grads, space.columns, count, block.columns,
                                   space.factors);
  rows = second_factor(query, args.query.row, count, args.width, space.query_rows);
  multiply<true>(keys, space.width / kWidth, depth_of<Element>(count), factor.data, factor.stride,
                 rows.data, rows.stride, space.grad_keys + in_item * space.width, space.width,
                 accumulate);
  factor = first_factor(space.score_grads, space.columns, count, block.columns, space.factors);
  multiply<false>(count, space.width / kWidth, depth_of<Element>(keys), factor.data, factor.stride,
                  key_rows.data + depth_of<Element>(in_chunk) * key_rows.stride, key_rows.stride,
                  space.grad_queries + (first - args.first_query) * space.width, space.width,
                  accumulate);
}

template <class T, class Element>
static void differentiate_head(const AttentionBackward& args, const BackwardScratch<Element>& space,
                               const Item& item, int64_t batch, int64_t head, Span& packed,
                               Factor<Element>& key_rows) {
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t queries = args.last_query - args.first_query, size = block_size(queries);
  const Span keys = item.keys;
  if (item.accumulate) set_zero(space.grad_queries, queries * space.width);
  for (int64_t i = 0; i < queries; ++i)
    space.deltas[i] =
        dot(rows_at<const T>(args.out, batch, head, args.first_query + i),
            rows_at<const T>(args.grad_out, batch, head, args.first_query + i), args.value_width);

  const Span seen = intersect(keys_seen_by(args, args.first_query, args.last_query - 1), keys);
  for (int64_t key = keys.begin; key < seen.end; key += args.chunk) {
    const Span chunk = intersect(keys, {key, key + args.chunk});
    if (chunk.end <= seen.begin) continue;
    for (int64_t i = 0; i < queries; i += size) {
      const ScoreBlock block(args, batch, head, args.first_query + i,
                             size < queries - i ? size : queries - i, chunk, space.columns);
      if (block.is_empty()) continue;
      if (chunk.begin != packed.begin) {
        packed = chunk;
        const T* key_data = rows_at<T>(args.key, batch, kv_head, chunk.begin);
        const T* value_data = rows_at<T>(args.value, batch, kv_head, chunk.begin);
        const int64_t rows = chunk.end - chunk.begin;
        transposed_second_factor(key_data, args.key.row, rows, args.width, space.keys,
                                 space.columns);
        transposed_second_factor(value_data, args.value.row, rows, args.value_width, space.values,
                                 space.columns);
        key_rows = second_factor(key_data, args.key.row, rows, args.width, space.key_rows);
      }
      differentiate_block<T>(args, space, item, block, chunk, key_rows);
    }
  }
}

// One key-value head's range of keys.
template <class T, class Element>
static void differentiate_range(const AttentionBackward& args, BackwardScratch<Element>& space,
                                int64_t batch, int64_t kv_head, int64_t share, Item item) {
  const int64_t group = args.heads / args.kv_heads;
  const Span keys = item.keys;
  const int64_t count = keys.end - keys.begin;
  const int64_t queries = args.last_query - args.first_query;
  const Span seen = keys_seen_by(args, 0, args.num_queries - 1);
  item.accumulate = group > 1 || args.num_queries > kMaxBlock || count > args.chunk ||
                    seen.begin > keys.begin || seen.end < keys.end ||
                    args.mask.type != MaskType::kNone;
  if (args.key_sums != nullptr) {
    const int64_t first_row = (batch * args.kv_heads + kv_head) * args.num_keys + keys.begin;
    space.grad_keys = args.key_sums + first_row * space.width;
    space.grad_values = args.value_sums + first_row * space.value_width;
  } else if (item.accumulate) {
    set_zero(space.grad_keys, count * space.width);
    set_zero(space.grad_values, count * space.value_width);
  }

  Span packed{-1, -1};  // the chunk that lies in the scratch; query heads that share it follow
  Factor<Element> key_rows{};
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    differentiate_head<T, Element>(args, space, item, batch, head, packed, key_rows);
    if (args.query_shares != nullptr) {
      const int64_t first_row = ((share * args.batch + batch) * args.heads + head) * queries;
      write<Element>(space.grad_queries, space.width, queries, args.width, args.scale,
                     args.query_shares + first_row * args.width, args.width);
    } else {
      write<Element>(space.grad_queries, space.width, queries, args.width, args.scale,
                     rows_at<T>(args.grad_query, batch, head, args.first_query),
                     args.grad_query.row);
    }
  }
  if (args.last_query < args.num_queries) return;
  write<Element>(space.grad_keys, space.width, count, args.width, args.scale,
                 rows_at<T>(args.grad_key, batch, kv_head, keys.begin), args.grad_key.row);
  write<Element>(space.grad_values, space.value_width, count, args.value_width, 1.0f,
                 rows_at<T>(args.grad_value, batch, kv_head, keys.begin), args.grad_value.row);
}

template <class T, class Element>
static void differentiate_item(const AttentionBackward& args, BackwardScratch<Element>& space,
                               int64_t index) {
  const int64_t share = fold(index % args.num_key_items, args.num_key_items);
  const int64_t bundle = index / args.num_key_items % args.num_bundles;
  const int64_t single = index / args.num_key_items / args.num_bundles;
  Item item{};
  item.range = args.first_key_item + share;
  item.keys = intersect({item.range * args.item_keys, (item.range + 1) * args.item_keys},
                        {0, args.num_keys});
  item.share = args.grad_mask.key == 0 ? bundle * args.all_key_items + item.range : bundle;
  const int64_t end = (bundle + 1) * args.num_shared / args.num_bundles;
  for (int64_t i = bundle * args.num_shared / args.num_bundles; i < end; ++i) {
    const int64_t pair = single * args.single_stride + i * args.shared_stride;
    differentiate_range<T>(args, space, pair / args.kv_heads, pair % args.kv_heads, share, item);
  }
}

template <class T, class Element>
static void differentiate_items(const AttentionBackward& args, int64_t begin, int64_t end,
                                char* scratch, int64_t* scratch_bytes) {
  BackwardScratch<Element> space(args, scratch);
  *scratch_bytes = space.scratch.used;
  for (int64_t item = begin; item < end; ++item) differentiate_item<T>(args, space, item);
}

void attention_backward(const AttentionBackward& args, int64_t begin, int64_t end, char* scratch,
                        int64_t* scratch_bytes) {
  switch (args.dtype) {
    case Dtype::kFloat32:
      return differentiate_items<float, float>(args, begin, end, scratch, scratch_bytes);
    case Dtype::kFloat16:
      return differentiate_items<Half, float>(args, begin, end, scratch, scratch_bytes);
    case Dtype::kBFloat16:
#if defined(__AVX512F__)
      if (args.use_bf16_products)
        return differentiate_items<BFloat16, uint32_t>(args, begin, end, scratch, scratch_bytes);
#endif
      return differentiate_items<BFloat16, float>(args, begin, end, scratch, scratch_bytes);
  }
}

template <class T>
static void sum_mask_shares(const float* shares, int64_t num_shares, int64_t stride, T* to,
                            int64_t begin, int64_t end) {
  over_row<1>(end - begin, [&](int64_t i, int, auto part) __attribute__((always_inline)) {
    Float total = {};
    for (int64_t share = 0; share < num_shares; ++share)
      total += load(shares + share * stride + begin + i, part);
    store(to + begin + i, total, part);
  });
}

void attention_sum_mask_shares(const float* shares, int64_t num_shares, int64_t stride, Dtype dtype,
                               void* to, int64_t begin, int64_t end) {
  switch (dtype) {
    case Dtype::kFloat32:
      return sum_mask_shares(shares, num_shares, stride, (float*)to, begin, end);
    case Dtype::kBFloat16:
      return sum_mask_shares(shares, num_shares, stride, (BFloat16*)to, begin, end);
    case Dtype::kFloat16:
      return sum_mask_shares(shares, num_shares, stride, (Half*)to, begin, end);
  }
}

template <class T>
static void sum_shares(const AttentionBackward& args, int64_t begin, int64_t end) {
  const int64_t queries = args.last_query - args.first_query;
  const int64_t share = args.batch * args.heads * queries * args.width;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t batch_head = row / queries;
    float* total = args.query_shares + row * args.width;
    for (int64_t i = 1; i < args.num_key_items; ++i)
      for (int64_t j = 0; j < args.width; ++j) total[j] += total[i * share + j];
    write_rows(total, 0, 1, args.width, 1.0f,
               rows_at<T>(args.grad_query, batch_head / args.heads, batch_head % args.heads,
                          args.first_query + row % queries),
               0);
  }
}

void attention_sum_shares(const AttentionBackward& args, int64_t begin, int64_t end) {
  switch (args.dtype) {
    case Dtype::kFloat32:
      return sum_shares<float>(args, begin, end);
    case Dtype::kBFloat16:
      return sum_shares<BFloat16>(args, begin, end);
    case Dtype::kFloat16:
      return sum_shares<Half>(args, begin, end);
  }
}

}  // namespace dlplug::DLPLUG_ISA
