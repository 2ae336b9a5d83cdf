// How the work is shared out depends on the shape alone, so the result has the same bits for any
// number of threads.
#include "csrc/ops/attention.h"

#include "csrc/common/isa.h"
#include "csrc/cpu/attention_arguments.h"
#include "csrc/cpu/streaming.h"

namespace dlplug {
namespace {

// Sums of a range of queries, kept while the chunks go by: 128 KiB of the L2 cache.
constexpr int64_t kMaxSums = 32768;

// The forward splits the keys into ranges where there is little else to split, of at least this
// many.
constexpr int64_t kMinKeys = 512;

// Rows whose products with the keys take as long as to read the keys.
constexpr int64_t kMemoryRows = 8;

}  // namespace

std::tuple<Tensor, Tensor> attention_forward(const Tensor& query, const Tensor& key,
                                             const Tensor& value,
                                             const std::optional<Tensor>& sinks,
                                             const AttentionOptions& options) {
  const auto mask = with_readable_keys(options.attn_mask);
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value);
  const Documents documents(options.cu_seqlens, query, key);
  auto args = args_of<AttentionForward>(q, k, v, mask, documents, options);
  const Tensor out = empty_heads(query, args.value_width);
  const Tensor lse = empty(query, {args.batch, args.heads, args.num_queries}, ScalarType::Double);
  if (lse.numel() == 0) return {out, lse};
  args.out = rows_of_heads(out);
  args.lse = static_cast<double*>(lse.mutable_data_ptr());
  args.sinks = per_head(sinks, query);
  const int64_t most = std::max(kMinQueries, kMaxSums / std::max<int64_t>(1, args.value_width));
  const int64_t heads = args.batch * args.heads;
  const int64_t wanted =
      std::min(divide_up(kEnoughItems, heads), divide_up(args.num_queries, kMinQueries));
  const int64_t ranges = std::max(divide_up(args.num_queries, most), wanted);
  args.item_queries = divide_up(args.num_queries, ranges);
  args.num_query_items = divide_up(args.num_queries, args.item_queries);

  const int64_t group = args.heads / args.kv_heads;
  const int64_t num_keys = std::max<int64_t>(args.num_keys, 1);
  const int64_t items = args.is_few ? heads / group : heads * args.num_query_items;
  const int64_t key_ranges =
      std::min(divide_up(kEnoughItems, items), divide_up(num_keys, kMinKeys));
  args.item_keys = round_up(divide_up(num_keys, key_ranges), kChunkStep);
  args.num_key_items = divide_up(num_keys, args.item_keys);
  args.chunk = chunk_of(std::min(args.item_keys, num_keys));
  args.is_streaming = !args.is_few && args.num_key_items == 1 && should_stream({&out});
  std::optional<Tensor> parts;
  const int64_t rows = heads * args.num_queries;
  if (args.num_key_items > 1) {
    const int64_t count = args.num_key_items * rows;
    parts = empty(query, {count, args.value_width + 2}, ScalarType::Float);
    args.part_tops = static_cast<float*>(parts->mutable_data_ptr());
    args.part_totals = args.part_tops + count;
    args.part_sums = args.part_totals + count;
  }
  const auto kernel = args.is_few ? DLPLUG_SELECT_KERNEL(attention_forward_few)
                                  : DLPLUG_SELECT_KERNEL(attention_forward);
  const int64_t item_rows = args.is_few ? group * args.num_queries : args.item_queries;
  run(kernel, args, items * args.num_key_items,
      std::max(item_rows, kMemoryRows) * args.item_keys * (args.width + args.value_width));
  if (parts.has_value()) {
    const auto combine = DLPLUG_SELECT_KERNEL(attention_combine);
    torch::stable::parallel_for(
        0, rows, std::max<int64_t>(1, kGrain / (args.num_key_items * (args.value_width + 2))),
        [&](int64_t begin, int64_t end) { combine(args, begin, end); });
  }
  return {out, lse};
}

}  // namespace dlplug
