// Attention forward (Dao et al. 2022, arXiv:2205.14135): the scores of a block of queries with a
// chunk of keys are made, turned into weights and multiplied with the values while they lie in the
// cache, so no more than O(queries) is kept. Chunks that no query of an item sees are skipped.
//
// An item is one head's range of queries (and of keys, where there are few queries and heads) and
// belongs to one thread. Order of loops: chunk of keys, block of queries, so that a chunk is packed
// once per item; with a running softmax per query.
// Work: 4 * queries * keys * width flops; padding adds what a chunk lacks to whole vectors.
#include "csrc/cpu/kernels/attention.h"

#include "csrc/cpu/kernels/attention_ahead.h"
#include "csrc/cpu/kernels/attention_output.h"
#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_pairs.h"
#include "csrc/cpu/kernels/attention_product.h"
#include "csrc/cpu/kernels/attention_scratch.h"

namespace dlplug::DLPLUG_ISA {

template <class Element>
struct ForwardScratch {
  Scratch scratch;
  int64_t columns;   // stride of the transposed keys and of the scores
  int64_t width;     // stride of the sums
  Element* keys;     // transposed: (row_of(D), columns)
  Element* values;   // (depth of chunk, width)
  Element* queries;  // (block, row_of(D))
  Element* factors;  // (block, row_of(columns)): the weights
  float* scores;     // (block, columns)
  float* rows;       // (block,): a number per row
  float* sums;       // (item_queries, width): weights @ values so far
  Softmax softmax;   // (item_queries,)
  bool* is_started;  // (blocks,): whether the block's sums hold anything

  ForwardScratch(const AttentionForward& args, char* block)
      : scratch{block},
        columns(spread(args.chunk)),
        width(round_up(args.value_width, kWidth)),
        keys(scratch.take<Element>(row_of<Element>(args.width) * columns)),
        values(scratch.take<Element>(depth_of<Element>(args.chunk) * width)),
        queries(scratch.take<Element>(kMaxBlock * row_of<Element>(args.width))),
        factors(scratch.take<Element>(kMaxBlock * row_of<Element>(columns))),
        scores(scratch.take<float>(kMaxBlock * columns)),
        rows(scratch.take<float>(kMaxBlock)),
        sums(scratch.take<float>(args.item_queries * width)),
        softmax{scratch.take<float>(args.item_queries), scratch.take<float>(args.item_queries),
                scratch.take<float>(args.item_queries), scratch.take<float>(args.item_queries)},
        is_started(scratch.take<bool>(args.item_queries)) {}
};

// A block of queries against those keys and values of `chunk` that it sees.
template <class T, class Element>
static void attend_block(const AttentionForward& args, const ForwardScratch<Element>& space,
                         const ScoreBlock& block, Span chunk, Factor<Element> values, float* sums,
                         const Softmax& softmax, bool& is_started) {
  const int64_t count = block.count;
  const int64_t in_chunk = block.span.begin - chunk.begin;
  const int64_t num_keys = block.span.end - block.span.begin;

  const auto queries = first_factor(rows_at<T>(args.query, block.batch, block.head, block.first),
                                    args.query.row, count, args.width, space.queries);
  multiply<false>(count, block.columns / kWidth, depth_of<Element>(args.width), queries.data,
                  queries.stride, space.keys + in_chunk, space.columns, space.scores, space.columns,
                  false);

  soften(block, softmax, space.scores, space.rows);
  if (is_started)
    for (int64_t row = 0; row < count; ++row)
      if (softmax.shrink[row] != 1.0f)
        write_rows(sums + row * space.width, 0, 1, space.width, softmax.shrink[row],
                   sums + row * space.width, 0);

  const auto weights =
      first_factor(space.scores, space.columns, count, block.columns, space.factors);
  multiply<false>(count, space.width / kWidth, depth_of<Element>(num_keys), weights.data,
                  weights.stride, values.data + depth_of<Element>(in_chunk) * values.stride,
                  values.stride, sums, space.width, is_started);
  is_started = true;
}

template <class T, class Element>
static void attend_item(const AttentionForward& args, const ForwardScratch<Element>& space,
                        int64_t index) {
  const int64_t item = index / args.num_key_items, range = index % args.num_key_items;
  const int64_t batch_head = item / args.num_query_items;
  const int64_t batch = batch_head / args.heads, head = batch_head % args.heads;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t first = fold(item % args.num_query_items, args.num_query_items) * args.item_queries;
  const int64_t rest = args.num_queries - first;
  const int64_t count = rest < args.item_queries ? rest : args.item_queries;
  const int64_t size = block_size(count);
  start(space.softmax, count);
  for (int64_t i = 0; i * size < count; ++i) space.is_started[i] = false;

  const Span seen =
      intersect(keys_seen_by(args, first, first + count - 1), keys_of_range(args, range));
  for (int64_t key = seen.begin / args.chunk * args.chunk; key < seen.end; key += args.chunk) {
    Span chunk = intersect(seen, {key, key + args.chunk});
    chunk.begin = chunk.begin / kWidth * kWidth;
    const int64_t num_keys = chunk.end - chunk.begin;
    Factor<Element> values{};  // packed with the keys once a block sees some of them
    for (int64_t i = 0; i < count; i += size) {
      const ScoreBlock block(args, batch, head, first + i, size < count - i ? size : count - i,
                             chunk, space.columns);
      if (block.is_empty()) continue;
      if (values.data == nullptr) {
        transposed_second_factor(rows_at<T>(args.key, batch, kv_head, chunk.begin), args.key.row,
                                 num_keys, args.width, space.keys, space.columns);
        values = second_factor(rows_at<T>(args.value, batch, kv_head, chunk.begin), args.value.row,
                               num_keys, args.value_width, space.values);
      }
      attend_block<T>(args, space, block, chunk, values, space.sums + i * space.width,
                      space.softmax.from(i), space.is_started[i / size]);
    }
  }

  for (int64_t i = 0; i < count; i += size)
    put_out<T>(args, batch, head, range, first + i, size < count - i ? size : count - i,
               space.is_started[i / size] ? space.sums + i * space.width : nullptr, space.width,
               space.softmax.from(i));
}

// Brings what an item that is a whole head will read into the cache.
template <class T>
DLPLUG_INLINE void fetch_item(const AttentionForward& args, int64_t item) {
  if (args.num_query_items * args.num_key_items > 1) return;
  const int64_t batch = item / args.heads, head = item % args.heads;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t rows = args.num_keys > args.num_queries ? args.num_keys : args.num_queries;
  for (int64_t row = 0; row < rows; ++row) {
    fetch_row<T>(args.key, batch, kv_head, row, args.num_keys, args.width);
    fetch_row<T>(args.value, batch, kv_head, row, args.num_keys, args.value_width);
    fetch_row<T>(args.query, batch, head, row, args.num_queries, args.width);
  }
}

template <class T, class Element>
static void attend(const AttentionForward& args, int64_t begin, int64_t end, char* scratch,
                   int64_t* scratch_bytes) {
  const ForwardScratch<Element> space(args, scratch);
  *scratch_bytes = space.scratch.used;
  for (int64_t item = begin; item < end; ++item) {
    if (item + 1 < end) fetch_item<T>(args, item + 1);
    attend_item<T>(args, space, item);
  }
}

void attention_forward(const AttentionForward& args, int64_t begin, int64_t end, char* scratch,
                       int64_t* scratch_bytes) {
  switch (args.dtype) {
    case Dtype::kFloat32:
      return attend<float, float>(args, begin, end, scratch, scratch_bytes);
    case Dtype::kFloat16:
      return attend<Half, float>(args, begin, end, scratch, scratch_bytes);
    case Dtype::kBFloat16:
#if defined(__AVX512F__)
      if (args.use_bf16_products)
        return attend<BFloat16, uint32_t>(args, begin, end, scratch, scratch_bytes);
#endif
      return attend<BFloat16, float>(args, begin, end, scratch, scratch_bytes);
  }
}

}  // namespace dlplug::DLPLUG_ISA
