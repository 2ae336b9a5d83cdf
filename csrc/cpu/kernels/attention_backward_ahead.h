// What the attention backward brings into the cache while it works on something else.
#pragma once

#include "csrc/cpu/kernels/attention_ahead.h"

namespace dlplug::DLPLUG_ISA {

struct Head {
  int64_t batch, kv_head, head;
};

// Short heads are fetched all at once while the one before is worked on. Of one block of bfloat16
// that is no shorter than 64 rows of 64 it is 5 % faster to spread this over the products.
template <class T>
DLPLUG_INLINE bool is_fetched_at_once(const AttentionBackward& args) {
  const int64_t rows = args.num_keys > args.num_queries ? args.num_keys : args.num_queries;
  const int64_t width = args.width > args.value_width ? args.width : args.value_width;
  const int64_t bytes = rows * width * (int64_t)sizeof(T);
  const bool is_spread = sizeof(T) == 2 && args.num_queries <= kMaxBlock && bytes >= 1 << 13;
  return args.all_key_items == 1 && args.heads == args.kv_heads && bytes <= kMaxAhead && !is_spread;
}

template <class T>
DLPLUG_INLINE void fetch_pair(const AttentionBackward& args, int64_t pair) {
  const int64_t batch = pair / args.kv_heads, head = pair % args.kv_heads;
  const int64_t rows = args.num_keys > args.num_queries ? args.num_keys : args.num_queries;
  for (int64_t row = 0; row < rows; ++row) {
    fetch_row<T>(args.key, batch, head, row, args.num_keys, args.width);
    fetch_row<T>(args.value, batch, head, row, args.num_keys, args.value_width);
    fetch_row<T>(args.query, batch, head, row, args.num_queries, args.width);
    fetch_row<T>(args.out, batch, head, row, args.num_queries, args.value_width);
    fetch_row<T>(args.grad_out, batch, head, row, args.num_queries, args.value_width);
  }
}

// What is fetched while the blocks of queries go over a chunk of keys: the queries of the next
// block, the keys of the next chunk, and during a head's last chunk the first of the next head's.
template <class T>
struct ChunkAhead {
  const AttentionBackward& args;
  Head at, next, of_keys;
  Span all;  // queries of the pass
  bool is_last, is_off;
  Portions keys{}, queries{};
  Span key_rows{}, near{}, far{};

  ChunkAhead(const AttentionBackward& args, const Head& at, const Head& next, Span item, Span seen,
             Span chunk)
      : args(args),
        at(at),
        next(next),
        of_keys(chunk.end >= seen.end ? next : at),
        all{args.first_query, args.last_query},
        is_last(chunk.end >= seen.end),
        is_off(is_fetched_at_once<T>(args)) {
    if (is_off) return;
    const int64_t num_blocks = (all.end - all.begin + kMaxBlock - 1) / kMaxBlock;
    keys = portions_of(next_keys(args, item, seen, chunk), num_blocks);
    queries = portions_of(intersect(all, {all.begin, all.begin + kMaxBlock}), 1);
  }

  // Those of the next chunk, or of the item's first.
  static Span next_keys(const AttentionBackward& args, Span item, Span seen, Span chunk) {
    int64_t begin = chunk.end;
    if (chunk.end >= seen.end && seen.begin > item.begin)
      begin = item.begin + (seen.begin - item.begin) / args.chunk * args.chunk;
    else if (chunk.end >= seen.end)
      begin = item.begin;
    return intersect({begin, begin + args.chunk}, seen);
  }

  // Before the block of `count` queries from row `first` of the pass on.
  void begin_block(int64_t first, int64_t count) {
    if (is_off) return;
    const int64_t query = all.begin + first + count;
    near = intersect(all, {query, query + count});
    key_rows = keys.next();
    far = is_last ? queries.next() : Span{};
  }

  // Before each of a block's five products.
  __attribute__((always_inline)) void fetch(int product) const {
    if (is_off) return;
    const Ahead tensors[] = {
        rows_ahead<T>(args.query, at.batch, at.head, near, args.width),
        rows_ahead<T>(args.out, at.batch, at.head, near, args.value_width),
        rows_ahead<T>(args.grad_out, at.batch, at.head, near, args.value_width),
        rows_ahead<T>(args.key, of_keys.batch, of_keys.kv_head, key_rows, args.width),
        rows_ahead<T>(args.value, of_keys.batch, of_keys.kv_head, key_rows, args.value_width),
        rows_ahead<T>(args.query, next.batch, next.head, far, args.width),
        rows_ahead<T>(args.out, next.batch, next.head, far, args.value_width),
        rows_ahead<T>(args.grad_out, next.batch, next.head, far, args.value_width)};
    fetch_part(tensors, keys.size, product, 5);
  }
};

}  // namespace dlplug::DLPLUG_ISA
