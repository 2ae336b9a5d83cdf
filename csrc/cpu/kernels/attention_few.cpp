// Attention forward of few queries, as when a model generates: what counts is to read each key and
// value once, in order, for all query heads that share them. Nothing is packed; the keys may be
// split into ranges, whose results are combined.
//
// An item is one key-value head's range of keys and belongs to one thread. Its rows are the queries
// of the first head, of the second, ...
// Floor: the bytes of keys and values through the memory's bandwidth.
#include "csrc/cpu/kernels/attention.h"
#include "csrc/cpu/kernels/attention_ahead.h"
#include "csrc/cpu/kernels/attention_dots.h"
#include "csrc/cpu/kernels/attention_few_values.h"
#include "csrc/cpu/kernels/attention_output.h"

namespace dlplug::DLPLUG_ISA {

// Scores to weights for the queries of one head; zeros for keys that it does not see.
static void soften_head(const ScoreBlock& block, Span chunk, const Softmax& softmax, float* scores,
                        float* rows) {
  const int64_t end = (chunk.end - chunk.begin + kWidth - 1) & -kWidth;
  const int64_t begin = block.is_empty() ? end : block.span.begin - chunk.begin;
  for (int64_t row = 0; row < block.count; ++row) {
    softmax.shrink[row] = 1.0f;
    fill_zeros(scores + row * block.stride, 0, begin);
    if (!block.is_empty()) fill_zeros(scores + row * block.stride, begin + block.columns, end);
  }
  if (block.is_empty()) return;
  soften<float>(block, softmax, scores + begin, rows);
}

// Whether the mask hides the keys of a chunk from all heads of a group.
static bool is_hidden(const AttentionForward& args, int64_t batch, int64_t first_head,
                      int64_t group, Span chunk) {
  if (args.mask.type == MaskType::kNone) return false;
  for (int64_t head = first_head; head < first_head + group; ++head) {
    const Span seen = look_through(args, batch, head, 0, args.num_queries, chunk).span;
    if (seen.begin < seen.end) return false;
  }
  return true;
}

// Of several queries the keys that lie so far ahead are brought into the second cache: 16 KiB.
constexpr int64_t kBytesAhead = 16384;

template <class T, class Element>
static void attend_few(const AttentionForward& args, const FewScratch<T, Element>& space,
                       int64_t item) {
  const int64_t range = item % args.num_key_items, batch_head = item / args.num_key_items;
  const int64_t batch = batch_head / args.kv_heads, kv_head = batch_head % args.kv_heads;
  const int64_t group = args.heads / args.kv_heads, queries = args.num_queries;
  const int64_t rows = group * queries;
  start(space.softmax, rows);
  for (int64_t i = 0; i < group; ++i)
    pack_queries(rows_at<T>(args.query, batch, kv_head * group + i, 0), args.query.row, queries,
                 args.width, space.queries + i * queries * space.query_stride);

  WeightedValues<T, Element> weighted{args, space};
  float *scores = space.scores, *others = scores + rows * space.columns;
  const Span seen = intersect(keys_seen_by(args, 0, queries - 1), keys_of_range(args, range));
  for (int64_t key = seen.begin / args.chunk * args.chunk; key < seen.end; key += args.chunk) {
    Span chunk = intersect(seen, {key, key + args.chunk});
    chunk.begin = chunk.begin / kWidth * kWidth;
    const int64_t num_keys = chunk.end - chunk.begin;
    if (is_hidden(args, batch, kv_head * group, group, chunk)) continue;
    const T* keys = rows_at<T>(args.key, batch, kv_head, chunk.begin);
    const T* values = rows_at<T>(args.value, batch, kv_head, chunk.begin);
    const int64_t next = kBytesAhead / (1 + args.width * (int64_t)sizeof(T));
    const Ahead keys_ahead(keys + next * args.key.row, args.key.row, args.width,
                           args.num_keys - chunk.begin - next);
    const Ahead values_ahead(values, args.value.row, args.value_width, num_keys);
    multiply_in_place(rows, space.queries, space.query_stride, keys, args.key.row, num_keys,
                      args.width, space.last_keys, scores, space.columns,
                      [&](int64_t first, int64_t count) {
                        if (rows == 1) return weighted.add_slice(count);
                        for (int64_t i = first; i < first + count; ++i) {
                          keys_ahead.fetch(i);
                          values_ahead.fetch(i);
                        }
                      });
    weighted.add_rest();
    for (int64_t i = 0; i < group; ++i) {
      const ScoreBlock block(args, batch, kv_head * group + i, 0, queries, chunk, space.columns);
      soften_head(block, chunk, space.softmax.from(i * queries),
                  scores + i * queries * space.columns, space.rows);
    }
    for (int64_t row = 0; weighted.has_sums && row < rows; ++row)
      if (space.softmax.shrink[row] != 1.0f)
        write_rows(space.sums + row * space.width, 0, 1, space.width, space.softmax.shrink[row],
                   space.sums + row * space.width, 0);
    // Values of keys before the first that is seen are not multiplied, not even by 0.
    const int64_t unseen = seen.begin > chunk.begin ? seen.begin - chunk.begin : 0;
    weighted.begin(scores + unseen, values + unseen * args.value.row, num_keys - unseen);
    if (rows > 1) weighted.add_rest();
    float* const free = others;
    others = scores;
    scores = free;
  }
  weighted.add_rest();
  for (int64_t i = 0; i < group; ++i)
    put_out<T>(args, batch, kv_head * group + i, range, 0, queries,
               weighted.has_sums ? space.sums + i * queries * space.width : nullptr, space.width,
               space.softmax.from(i * queries));
}

template <class T, class Element>
static void attend_few_items(const AttentionForward& args, int64_t begin, int64_t end,
                             char* scratch, int64_t* scratch_bytes) {
  const FewScratch<T, Element> space(args, scratch);
  *scratch_bytes = space.scratch.used;
  for (int64_t item = begin; item < end; ++item) attend_few(args, space, item);
}

void attention_forward_few(const AttentionForward& args, int64_t begin, int64_t end, char* scratch,
                           int64_t* scratch_bytes) {
  switch (args.dtype) {
    case Dtype::kFloat32:
      return attend_few_items<float, float>(args, begin, end, scratch, scratch_bytes);
    case Dtype::kFloat16:
      return attend_few_items<Half, float>(args, begin, end, scratch, scratch_bytes);
    case Dtype::kBFloat16:
#if defined(__AVX512F__)
      if (args.use_bf16_products)
        return attend_few_items<BFloat16, uint32_t>(args, begin, end, scratch, scratch_bytes);
#endif
      return attend_few_items<BFloat16, float>(args, begin, end, scratch, scratch_bytes);
  }
}

}  // namespace dlplug::DLPLUG_ISA
