// What the attention backward brings into the cache while it works on something else.
#pragma once

#include "csrc/cpu/kernels/attention_ahead.h"
#include "csrc/cpu/kernels/attention_deltas.h"

namespace dlplug::DLPLUG_ISA {

struct Head {
  int64_t batch, kv_head, head;
};

// Short heads are fetched as a whole while the one before is worked on.
template <class T>
DLPLUG_INLINE bool is_fetched_whole(const AttentionBackward& args) {
  const int64_t rows = args.num_keys > args.num_queries ? args.num_keys : args.num_queries;
  const int64_t width = args.width > args.value_width ? args.width : args.value_width;
  const int64_t bytes = rows * width * (int64_t)sizeof(T);
  return args.all_key_items == 1 && args.heads == args.kv_heads && bytes <= kMaxAhead;
}

// Whether gradients are written past the caches. Those of longer heads take no part in that: their
// lines are brought in while tiles multiply and leave as others come, while many stores past the
// caches at once keep the processor waiting, with packed documents for 4 % of the time.
template <class T>
DLPLUG_INLINE bool is_streaming(const AttentionBackward& args) {
  return args.is_streaming && is_fetched_whole<T>(args);
}

template <class T>
DLPLUG_INLINE void begin_pair(const AttentionBackward& args, int64_t pair, Trickle& ahead) {
  const int64_t batch = pair / args.kv_heads, head = pair % args.kv_heads;
  const bool reads_out = args.num_keys > args.chunk;
  const Ahead tensors[] = {
      head_ahead<T>(args.key, batch, head, args.num_keys, args.width),
      head_ahead<T>(args.value, batch, head, args.num_keys, args.value_width),
      head_ahead<T>(args.query, batch, head, args.num_queries, args.width),
      head_ahead<T>(args.out, batch, head, reads_out ? args.num_queries : 0, args.value_width),
      head_ahead<T>(args.grad_out, batch, head, args.num_queries, args.value_width)};
  ahead.begin(tensors);
}

// What is fetched while the blocks of queries go over a chunk of keys: the queries of the next
// block, the keys of the next chunk, and during a head's last chunk the first of the next head's.
template <class T>
struct ChunkAhead {
  const AttentionBackward& args;
  Trickle& trickle;
  Head at, next, of_keys;
  Span all;  // queries of the pass
  Span chunk;
  bool is_last, is_off;
  Portions keys{}, queries{}, written{};

  // `is_written`: the gradients of the chunk's keys and values are, after this head.
  ChunkAhead(const AttentionBackward& args, Trickle& trickle, const Head& at, const Head& next,
             Span item, Span seen, Span chunk, bool is_written)
      : args(args),
        trickle(trickle),
        at(at),
        next(next),
        of_keys(chunk.end >= seen.end ? next : at),
        all{args.first_query, args.last_query},
        chunk(chunk),
        is_last(chunk.end >= seen.end),
        is_off(is_fetched_whole<T>(args)) {
    if (is_off) return;
    const int64_t num_blocks = (all.end - all.begin + kMaxBlock - 1) / kMaxBlock;
    keys = portions_of(next_keys(args, item, seen, chunk), num_blocks);
    queries = portions_of(intersect(all, {all.begin, all.begin + kMaxBlock}), 1);
    if (is_written) written = portions_of(chunk, num_blocks);
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

  // Before a block of queries, whose mask and its gradient's share are fetched as well.
  // `is_written`: the gradients of the queries are, after this block.
  __attribute__((always_inline)) void begin_block(const ScoreBlock& block, int64_t share,
                                                  bool is_written) {
    if (is_off) return;
    is_written = is_written && args.query_shares == nullptr;
    const Span key_grads = written.next();
    const Span query_grads{block.first, block.first + (is_written ? block.count : 0)};
    const int64_t query = block.first + block.count;
    const Span near = intersect(all, {query, query + block.count}), key_rows = keys.next();
    const Span far = is_last ? queries.next() : Span{};
    // So do those around it, mostly.
    const bool reads_out = !finds_own_deltas(args, block.first, block.count);
    const Ahead tensors[] = {
        mask_ahead(args.mask, block),
        mask_ahead(args.grad_mask, block, share * args.mask_share),
        rows_ahead<T>(args.grad_query, at.batch, at.head, query_grads, args.width),
        rows_ahead<T>(args.grad_key, at.batch, at.kv_head, key_grads, args.width),
        rows_ahead<T>(args.grad_value, at.batch, at.kv_head, key_grads, args.value_width),
        rows_ahead<T>(args.query, at.batch, at.head, near, args.width),
        rows_ahead<T>(args.out, at.batch, at.head, reads_out ? near : Span{}, args.value_width),
        rows_ahead<T>(args.grad_out, at.batch, at.head, near, args.value_width),
        rows_ahead<T>(args.key, of_keys.batch, of_keys.kv_head, key_rows, args.width),
        rows_ahead<T>(args.value, of_keys.batch, of_keys.kv_head, key_rows, args.value_width),
        rows_ahead<T>(args.query, next.batch, next.head, far, args.width),
        rows_ahead<T>(args.out, next.batch, next.head, reads_out ? far : Span{}, args.value_width),
        rows_ahead<T>(args.grad_out, next.batch, next.head, far, args.value_width)};
    trickle.begin(tensors);
  }
};

}  // namespace dlplug::DLPLUG_ISA
