// Attention backward. With the weights P remade from the log-sum-exp, G = grad_out value^T and
// delta_i = out_i . grad_out_i (Dao et al. 2022, arXiv:2205.14135, appendix B):
//   grad_value = P^T grad_out,  S = P * (G - delta),
//   grad_query = scale * S key,  grad_key = scale * S^T query
// with dropout applied to G and to the P of grad_value, and the softcap's slope to S; before that
// slope S is the gradient of the mask and, times the distances, of ALiBi's slopes. In a block
// that sees no key beyond a chunk delta_i is the sum over j of P_ij G_ij, the same number.
//
// An item is one key-value head's range of keys and belongs to one thread; the query heads that
// share it are added up. Order of loops: pass over queries (csrc/cpu/attention.cpp), query head,
// chunk of keys, block of queries.
// Work: 10 * queries * keys * width flops.
#include "csrc/cpu/kernels/attention_backward_block.h"

namespace dlplug::DLPLUG_ISA {

// A chunk of keys and values in the layouts of the products; query heads that share it follow.
template <class Element>
struct PackedChunk {
  Span keys{-1, -1};
  Factor<Element> key_rows{};

  template <class T>
  void hold(const AttentionBackward& args, const BackwardScratch<T, Element>& space, const Head& at,
            Span chunk) {
    if (chunk.begin == keys.begin) return;
    keys = chunk;
    const T* key = rows_at<T>(args.key, at.batch, at.kv_head, chunk.begin);
    const T* value = rows_at<T>(args.value, at.batch, at.kv_head, chunk.begin);
    const int64_t rows = chunk.end - chunk.begin;
    if (!args.is_few)
      transposed_second_factor(key, args.key.row, rows, args.width, space.keys, space.columns);
    transposed_second_factor(value, args.value.row, rows, args.value_width, space.values,
                             space.columns);
    key_rows = second_factor(key, args.key.row, rows, args.width, space.key_rows);
  }
};

// A head's queries against a chunk of keys. What sees no further one is written while it lies in
// the cache.
template <class T, class Element>
static void differentiate_chunk(const AttentionBackward& args,
                                const BackwardScratch<T, Element>& space, const Item& item,
                                const Head& at, Span chunk, ChunkAhead<T>& ahead,
                                PackedChunk<Element>& packed, const KeySums& key_sums) {
  const int64_t queries = args.last_query - args.first_query, size = block_size(args, queries);
  for (int64_t i = 0; i < queries; i += size) {
    const int64_t first = args.first_query + i, count = size < queries - i ? size : queries - i;
    const Span seen = intersect(keys_seen_by(args, first, first + count - 1), item.keys);
    if (seen.end <= seen.begin || seen.end <= chunk.begin || chunk.end <= seen.begin) continue;
    const bool is_within = chunk.begin <= seen.begin && seen.end <= chunk.end;
    float* rows = is_within ? space.block_queries : space.grad_queries + i * space.width;
    if (is_within && are_sums_in_place<T>(args))
      rows = (float*)rows_at<T>(args.grad_query, at.batch, at.head, first);
    const QuerySums sums{rows, space.has_grad_queries[i / size]};
    const ScoreBlock block(args, at.batch, at.head, first, count, chunk, space.columns);
    if (!block.is_empty()) {
      packed.hold(args, space, at, chunk);
      ahead.begin_block(block, item.share, seen.end <= chunk.end);
      differentiate_block<T>(args, space, item, block, chunk, packed.key_rows, ahead.trickle, sums,
                             key_sums);
    }
    if (seen.end <= chunk.end) put_grad_queries(args, space, item, at, i, count, sums);
  }
}

template <class T, class Element>
static void differentiate_head(const AttentionBackward& args,
                               const BackwardScratch<T, Element>& space, const Item& item,
                               const Head& at, const Head& next, PackedChunk<Element>& packed,
                               Trickle& trickle) {
  const int64_t batch = at.batch, head = at.head, group = args.heads / args.kv_heads;
  const int64_t queries = args.last_query - args.first_query, size = block_size(args, queries);
  const Span keys = item.keys;
  for (int64_t i = 0; i < queries; i += size) {
    space.has_grad_queries[i / size] = false;
    const int64_t first = args.first_query + i, count = size < queries - i ? size : queries - i;
    if (args.grad_slopes == nullptr || finds_own_deltas(args, first, count)) continue;
    find_deltas(rows_at<const T>(args.out, batch, head, first), args.out.row,
                rows_at<const T>(args.grad_out, batch, head, first), args.grad_out.row, count,
                args.value_width, space.deltas + i);
    if (item.range == args.first_key_item)
      args.grad_slopes[(batch * args.all_key_items + item.range) * args.heads + head] +=
          slope_gradient_of_deltas(
              args, first, count, args.lse + (batch * args.heads + head) * args.num_queries + first,
              space.deltas + i);
  }

  // Nothing is added to the sums of keys after this head.
  const bool is_last = (head + 1) % group == 0 && args.last_query == args.num_queries;
  const Span seen = intersect(keys_seen_by(args, args.first_query, args.last_query - 1), keys);
  for (int64_t key = keys.begin; key < keys.end; key += args.chunk) {
    const Span chunk = intersect(keys, {key, key + args.chunk});
    const int64_t row = is_chunk_summed_once(args) ? 0 : key - keys.begin;
    KeySums sums{space.grad_keys + row * space.width, space.grad_values + row * space.value_width,
                 space.has_grad_keys[(key - keys.begin) / args.chunk]};
    if (are_sums_in_place<T>(args)) {
      sums.keys = (float*)rows_at<T>(args.grad_key, at.batch, at.kv_head, chunk.begin);
      sums.values = (float*)rows_at<T>(args.grad_value, at.batch, at.kv_head, chunk.begin);
    }
    if (chunk.begin < seen.end && seen.begin < chunk.end) {
      ChunkAhead<T> ahead(args, trickle, at, next, keys, seen, chunk, is_last);
      differentiate_chunk(args, space, item, at, chunk, ahead, packed, sums);
    }
    if (is_last) put_grad_keys(args, space, at, chunk, sums);
  }
  for (int64_t i = 0; i < queries; i += size) {  // blocks that see nothing
    const int64_t first = args.first_query + i, count = size < queries - i ? size : queries - i;
    const Span seen_by_block = intersect(keys_seen_by(args, first, first + count - 1), keys);
    if (seen_by_block.end <= seen_by_block.begin)
      put_grad_queries(args, space, item, at, i, count,
                       {space.block_queries, space.has_grad_queries[i / size]});
  }
}

// One key-value head's range of keys.
template <class T, class Element>
static void differentiate_range(const AttentionBackward& args, BackwardScratch<T, Element>& space,
                                int64_t pair, int64_t next_pair, const Item& item, Trickle& ahead) {
  const int64_t batch = pair / args.kv_heads, kv_head = pair % args.kv_heads;
  const int64_t group = args.heads / args.kv_heads;
  const int64_t count = item.keys.end - item.keys.begin;
  if (args.key_sums != nullptr) {
    const int64_t first_row = (batch * args.kv_heads + kv_head) * args.num_keys + item.keys.begin;
    space.grad_keys = args.key_sums + first_row * space.width;
    space.grad_values = args.value_sums + first_row * space.value_width;
  }
  for (int64_t i = 0; i * args.chunk < count; ++i)
    space.has_grad_keys[i] = args.key_sums != nullptr;

  PackedChunk<Element> packed;
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    const Head next = head + 1 < (kv_head + 1) * group
                          ? Head{batch, kv_head, head + 1}
                          : Head{next_pair / args.kv_heads, next_pair % args.kv_heads,
                                 next_pair % args.kv_heads * group};
    differentiate_head<T, Element>(args, space, item, {batch, kv_head, head}, next, packed, ahead);
  }
}

template <class T, class Element>
static void differentiate_item(const AttentionBackward& args, BackwardScratch<T, Element>& space,
                               int64_t index, Trickle& ahead) {
  const int64_t bundle = index / args.num_key_items % args.num_bundles;
  const int64_t single = index / args.num_key_items / args.num_bundles;
  Item item{};
  item.range = args.first_key_item + fold(index % args.num_key_items, args.num_key_items);
  item.keys = intersect({item.range * args.item_keys, (item.range + 1) * args.item_keys},
                        {0, args.num_keys});
  item.share = args.grad_mask.key == 0 ? bundle * args.all_key_items + item.range : bundle;
  const int64_t end = (bundle + 1) * args.num_shared / args.num_bundles;
  for (int64_t i = bundle * args.num_shared / args.num_bundles; i < end; ++i) {
    const int64_t pair = single * args.single_stride + i * args.shared_stride;
    // Of the pairs that share nothing the next is the next item's.
    int64_t next = args.num_shared == 1 ? pair + 1 : pair + args.shared_stride;
    if ((i + 1 == end && args.num_shared > 1) || next >= args.batch * args.kv_heads) next = pair;
    if (next != pair && is_fetched_whole<T>(args)) begin_pair<T>(args, next, ahead);
    differentiate_range<T>(args, space, pair, next, item, ahead);
  }
}

template <class T, class Element>
static void differentiate_items(const AttentionBackward& args, int64_t begin, int64_t end,
                                char* scratch, int64_t* scratch_bytes) {
  BackwardScratch<T, Element> space(args, scratch);
  *scratch_bytes = space.scratch.used;
  Trickle ahead;
  for (int64_t item = begin; item < end; ++item) differentiate_item<T>(args, space, item, ahead);
  if (is_streaming<T>(args)) fence();
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
      if (args.use_bf16_products) {
        const TilesOfThread tiles(args.use_tiles && begin < end);
        return differentiate_items<BFloat16, uint32_t>(args, begin, end, scratch, scratch_bytes);
      }
#endif
      return differentiate_items<BFloat16, float>(args, begin, end, scratch, scratch_bytes);
  }
}

}  // namespace dlplug::DLPLUG_ISA
