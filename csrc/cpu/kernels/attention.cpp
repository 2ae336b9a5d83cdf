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
#include "csrc/cpu/kernels/attention_scratch.h"
#include "csrc/cpu/kernels/attention_steps.h"

namespace dlplug::DLPLUG_ISA {

template <class Element>
struct ForwardScratch {
  Scratch scratch;
  int64_t columns;   // stride of the transposed keys and of the scores
  int64_t width;     // stride of the sums
  Element* keys;     // transposed: (row_of(D), columns)
  Element* values;   // (depth of chunk, width)
  Element* beside;   // (2, width), for OnlyRows
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
        beside(scratch.take<Element>(2 * width)),
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
                         const Softmax& softmax, bool& is_started, Trickle& ahead) {
  const int64_t count = block.count;
  const int64_t in_chunk = block.span.begin - chunk.begin;

  const auto queries = first_factor(rows_at<T>(args.query, block.batch, block.head, block.first),
                                    args.query.row, count, args.width, space.queries);
  multiply_to_keys<Element>(block, queries, depth_of<Element>(args.width),
                            {space.keys + in_chunk, space.columns}, space.scores, ahead);

  soften<Element>(block, softmax, space.scores, space.rows);
  if (is_started)
    for (int64_t row = 0; row < count; ++row)
      if (softmax.shrink[row] != 1.0f)
        write_rows(sums + row * space.width, 0, 1, space.width, softmax.shrink[row],
                   sums + row * space.width, 0);

  const auto weights =
      first_factor(space.scores, space.columns, count, block.columns, space.factors);
  multiply_by_keys<Element>(
      block, weights, {values.data + depth_of<Element>(in_chunk) * values.stride, values.stride},
      space.width, space.beside, sums, is_started, ahead);
  is_started = true;
}

// One head's range of queries and of keys.
struct ForwardItem {
  int64_t batch, head, kv_head, range;
  int64_t first, count;  // queries
  Span seen;             // keys of the range that some query sees

  ForwardItem(const AttentionForward& args, int64_t index) {
    const int64_t item = index / args.num_key_items, batch_head = item / args.num_query_items;
    range = index % args.num_key_items;
    batch = batch_head / args.heads;
    head = batch_head % args.heads;
    kv_head = head / (args.heads / args.kv_heads);
    first = fold(item % args.num_query_items, args.num_query_items) * args.item_queries;
    const int64_t rest = args.num_queries - first;
    count = rest < args.item_queries ? rest : args.item_queries;
    seen = intersect(keys_seen_by(args, first, first + count - 1), keys_of_range(args, range));
  }

  // Short heads are fetched as a whole, long ones block by block.
  static bool is_whole_head(const AttentionForward& args) {
    return args.num_query_items * args.num_key_items == 1;
  }
  Span queries() const { return {first, first + count}; }
  int64_t first_chunk(const AttentionForward& args) const {
    return seen.begin / args.chunk * args.chunk;
  }
};

// Whether outputs go through the cache: the processor reads their lines before it writes to them.
DLPLUG_INLINE bool is_written_through_cache(const AttentionForward& args) {
  return !args.is_streaming && args.part_sums == nullptr;
}

// Brings the mask of a block into the cache and its output, where this is the last chunk that it
// sees, and what the next block reads: its queries, from `query` on, and a part of the next chunk's
// keys and values.
template <class T>
DLPLUG_INLINE void fetch_next(const AttentionForward& args, const ScoreBlock& block,
                              const ForwardItem& of_keys, Portions& keys,
                              const ForwardItem& of_queries, int64_t query, int64_t size,
                              Trickle& ahead) {
  const Span rows = keys.next();
  const Span all = keys_seen_by(args, block.first, block.first + block.count - 1);
  const bool is_last = all.end <= block.span.end;
  const int64_t written = is_last && is_written_through_cache(args) ? block.count : 0;
  const Span queries = intersect(of_queries.queries(), {query, query + size});
  const Ahead tensors[] = {
      mask_ahead(args.mask, block),
      rows_ahead<T>(args.out, block.batch, block.head, {block.first, block.first + written},
                    args.value_width),
      rows_ahead<T>(args.key, of_keys.batch, of_keys.kv_head, rows, args.width),
      rows_ahead<T>(args.value, of_keys.batch, of_keys.kv_head, rows, args.value_width),
      rows_ahead<T>(args.query, of_queries.batch, of_queries.head, queries, args.width)};
  ahead.begin(tensors);
}

// Brings what an item that is a whole head reads into the cache, and its output.
template <class T>
DLPLUG_INLINE void fetch_head(const AttentionForward& args, const ForwardItem& item,
                              Trickle& ahead) {
  const Ahead tensors[] = {
      head_ahead<T>(args.key, item.batch, item.kv_head, args.num_keys, args.width),
      head_ahead<T>(args.value, item.batch, item.kv_head, args.num_keys, args.value_width),
      head_ahead<T>(args.out, item.batch, item.head,
                    is_written_through_cache(args) ? args.num_queries : 0, args.value_width),
      head_ahead<T>(args.query, item.batch, item.head, args.num_queries, args.width)};
  ahead.begin(tensors);
}

template <class T, class Element>
static void attend_item(const AttentionForward& args, const ForwardScratch<Element>& space,
                        const ForwardItem& item, const ForwardItem& next, Trickle& ahead) {
  const int64_t first = item.first, count = item.count, size = block_size(args, count);
  const Span seen = item.seen;
  start(space.softmax, count);
  for (int64_t i = 0; i * size < count; ++i) space.is_started[i] = false;

  for (int64_t key = item.first_chunk(args); key < seen.end; key += args.chunk) {
    Span chunk = intersect(seen, {key, key + args.chunk});
    chunk.begin = chunk.begin / kWidth * kWidth;
    const int64_t num_keys = chunk.end - chunk.begin;
    const bool is_last = chunk.end == seen.end;
    const ForwardItem& then = is_last ? next : item;  // whose keys come next
    Portions keys{};
    if (!ForwardItem::is_whole_head(args)) {
      const int64_t first_key = is_last ? next.first_chunk(args) : chunk.end;
      keys = portions_of(intersect(then.seen, {first_key, first_key + args.chunk}),
                         (count + size - 1) / size);
    }
    Factor<Element> values{};  // packed with the keys once a block sees some of them
    for (int64_t i = 0; i < count; i += size) {
      const ScoreBlock block(args, item.batch, item.head, first + i,
                             size < count - i ? size : count - i, chunk, space.columns);
      if (block.is_empty()) continue;
      if (!ForwardItem::is_whole_head(args)) {
        const int64_t query = first + i + size;
        fetch_next<T>(args, block, then, keys, query < first + count ? item : then,
                      query < first + count ? query : then.first, size, ahead);
      }
      if (values.data == nullptr) {
        transposed_second_factor(rows_at<T>(args.key, item.batch, item.kv_head, chunk.begin),
                                 args.key.row, num_keys, args.width, space.keys, space.columns);
        values = second_factor(rows_at<T>(args.value, item.batch, item.kv_head, chunk.begin),
                               args.value.row, num_keys, args.value_width, space.values);
      }
      attend_block<T>(args, space, block, chunk, values, space.sums + i * space.width,
                      space.softmax.from(i), space.is_started[i / size], ahead);
    }
  }

  for (int64_t i = 0; i < count; i += size)
    put_out<T>(args, item.batch, item.head, item.range, first + i,
               size < count - i ? size : count - i,
               space.is_started[i / size] ? space.sums + i * space.width : nullptr, space.width,
               space.softmax.from(i));
}

template <class T, class Element>
static void attend(const AttentionForward& args, int64_t begin, int64_t end, char* scratch,
                   int64_t* scratch_bytes) {
  const ForwardScratch<Element> space(args, scratch);
  *scratch_bytes = space.scratch.used;
  if (begin == end) return;
  ForwardItem item(args, begin);
  Trickle ahead;
  for (int64_t index = begin; index < end; ++index) {
    const ForwardItem next = index + 1 < end ? ForwardItem(args, index + 1) : item;
    if (index + 1 < end && ForwardItem::is_whole_head(args)) fetch_head<T>(args, next, ahead);
    attend_item<T>(args, space, item, next, ahead);
    item = next;
  }
  if (args.is_streaming) fence();
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
      if (args.use_bf16_products) {
        const TilesOfThread tiles(args.use_tiles && begin < end);
        return attend<BFloat16, uint32_t>(args, begin, end, scratch, scratch_bytes);
      }
#endif
      return attend<BFloat16, float>(args, begin, end, scratch, scratch_bytes);
  }
}

}  // namespace dlplug::DLPLUG_ISA
