// How the work is shared out depends on the shape alone, so the result has the same bits for any
// number of threads.
#include "csrc/common/isa.h"
#include "csrc/cpu/attention_arguments.h"
#include "csrc/cpu/streaming.h"
#include "csrc/ops/attention.h"

namespace dlplug {
namespace {

// Each range of keys has its own share of grad_query. The backward goes over the queries in passes
// so short that the shares together are this many times grad_query, but not shorter than
// kMinQueries, which pay for packing the keys again.
constexpr int64_t kMaxShares = 2;

// Keys of a chunk where a block of queries sees few of a longer one, which would fill the caches
// for nothing: with packed documents shorter ones take up to 4 % less time, with a window 1 %.
constexpr int64_t kMaxLocalChunk = 128;

constexpr int64_t kMaxWidth = 16;  // floats in a vector of any instruction set

// The ranges of keys that the queries of a pass see: at least one, and all in the last pass, which
// writes the gradients of keys and values.
void set_key_items(AttentionBackward& args, int64_t ranges) {
  args.first_key_item = 0;
  args.num_key_items = ranges;
  if (args.last_query == args.num_queries) return;
  const int64_t first = args.first_query, last = args.last_query - 1;
  int64_t begin = first + args.query_offset - args.left;
  int64_t end = last + args.query_offset + args.right + 1;
  if (args.document_shift != nullptr) {
    begin += args.document_shift[first];
    end += args.document_shift[last];
  }
  if (args.document_begin != nullptr) {
    begin = std::clamp<int64_t>(begin, args.document_begin[first], args.document_end[first]);
    end = std::clamp<int64_t>(end, args.document_begin[last], args.document_end[last]);
  }
  begin = std::clamp<int64_t>(begin, 0, args.num_keys - 1);
  end = std::clamp<int64_t>(end, begin + 1, args.num_keys);
  args.first_key_item = begin / args.item_keys;
  args.num_key_items = divide_up(end, args.item_keys) - args.first_key_item;
}

// Gradients of the mask and of ALiBi's slopes, of no elements where they are not wanted.
struct BiasGradients {
  Tensor mask, slopes;
  std::optional<Tensor> shares;
  int64_t num_shares = 0;
  std::vector<double> slope_shares;

  // Also decides which heads share a bundle.
  BiasGradients(AttentionBackward& args, const Tensor& query, const std::optional<Tensor>& of_mask,
                const std::optional<Tensor>& of_slopes)
      : mask(empty_or_zeros(query, of_mask)), slopes(empty_or_zeros(query, of_slopes)) {
    const int64_t batch = args.batch, heads = args.kv_heads;
    args.num_single = batch * heads;
    args.num_shared = args.num_bundles = args.single_stride = args.shared_stride = 1;
    if (of_slopes.has_value()) slope_shares.resize(1);
    if (!of_mask.has_value()) return;
    args.grad_mask = rows_of_mask(mask);
    const bool over_batch = mask.size(0) == 1 && batch > 1;
    const bool over_heads = mask.size(1) == 1 && args.heads > 1;
    if (over_batch || over_heads) {
      args.num_single = over_batch ? (over_heads ? 1 : heads) : batch;
      args.num_shared = batch * heads / args.num_single;
      args.single_stride = over_batch ? 1 : heads;
      args.shared_stride = over_heads ? 1 : heads;
      // As many as keep threads busy, unless the shares would outgrow the gradient of the queries.
      const int64_t most = kMaxShares * query.numel() / std::max<int64_t>(1, mask.numel());
      const int64_t enough = std::min(divide_up(kEnoughItems, args.num_single), most);
      args.num_bundles = std::clamp<int64_t>(enough, 1, args.num_shared);
    }
  }

  static Tensor empty_or_zeros(const Tensor& query, const std::optional<Tensor>& like) {
    if (!like.has_value()) return empty(query, {0}, ScalarType::Float);
    Tensor zeros = empty_contiguous_like(*like);
    return torch::stable::zero_(zeros);
  }

  // Once the ranges of keys are known.
  void begin(AttentionBackward& args) {
    if (!slope_shares.empty()) {
      slope_shares.assign(args.batch * args.all_key_items * args.heads, 0.0);
      args.grad_slopes = slope_shares.data();
    }
    if (args.grad_mask.type == MaskType::kNone) return;
    const bool over_keys = mask.size(3) == 1, over_queries = mask.size(2) == 1;
    const bool over_heads = mask.size(1) == 1 && args.heads > 1;
    const bool is_sum = over_keys || over_queries || over_heads || args.num_shared > 1;
    num_shares = args.num_bundles * (over_keys ? args.all_key_items : 1);
    args.mask_share = mask.numel();
    if (!is_sum || (num_shares == 1 && args.grad_mask.type == MaskType::kFloat32)) return;
    shares = empty(mask, {num_shares, mask.numel()}, ScalarType::Float);
    args.grad_mask.type = MaskType::kFloat32;
    args.grad_mask.data = torch::stable::zero_(*shares).mutable_data_ptr();
  }

  void finish(const AttentionBackward& args) {
    for (int64_t i = 0; !slope_shares.empty() && i < args.heads; ++i) {
      double total = 0;
      for (size_t j = i; j < slope_shares.size(); j += args.heads) total += slope_shares[j];
      static_cast<float*>(slopes.mutable_data_ptr())[i] = static_cast<float>(total);
    }
    if (!shares.has_value()) return;
    const auto sum = DLPLUG_SELECT_KERNEL(attention_sum_mask_shares);
    const auto* from = static_cast<const float*>(shares->const_data_ptr());
    torch::stable::parallel_for(0, mask.numel(), 4096, [&](int64_t begin, int64_t end) {
      sum(from, num_shares, mask.numel(), dtype_of(mask), mask.mutable_data_ptr(), begin, end);
    });
  }
};

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
    const AttentionOptions& options) {
  const auto mask = with_readable_keys(options.attn_mask);
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value), o = with_contiguous_rows(out),
               g = with_contiguous_rows(grad_out);
  const Documents documents(options.cu_seqlens, query, key);
  auto args = args_of<AttentionBackward>(q, k, v, mask, documents, options);
  check_outputs(query, value, o, g, lse);
  const Tensor grad_query = empty_heads(query, args.width);
  const Tensor grad_key = empty_heads(key, args.width);
  const Tensor grad_value = empty_heads(value, args.value_width);
  BiasGradients biases(args, query, needs_mask ? mask : std::nullopt,
                       needs_slopes ? options.alibi_slopes : std::nullopt);
  const auto gradients = [&] {
    return std::tuple{grad_query, grad_key, grad_value, biases.mask, biases.slopes};
  };
  if (lse.numel() == 0 || (key.numel() == 0 && value.numel() == 0)) {
    for (Tensor grad : {grad_query, grad_key, grad_value}) torch::stable::zero_(grad);
    return gradients();
  }
  args.out = rows_of_heads(o);
  args.grad_out = rows_of_heads(g);
  args.grad_query = rows_of_heads(grad_query);
  args.grad_key = rows_of_heads(grad_key);
  args.grad_value = rows_of_heads(grad_value);
  args.lse = static_cast<const double*>(lse.const_data_ptr());
  args.is_streaming = should_stream({&grad_query, &grad_key, &grad_value});

  const int64_t bundles = args.num_single * args.num_bundles;
  const int64_t ranges =
      std::min(divide_up(kEnoughItems, bundles), divide_up(args.num_keys, kMaxChunk));
  args.item_keys = round_up(divide_up(args.num_keys, ranges), kChunkStep);
  const bool sees_few = args.num_keys > kMaxChunk &&
                        (args.document_begin != nullptr || args.left + args.right < kMaxChunk);
  args.chunk =
      chunk_of(std::min(args.item_keys, args.num_keys), sees_few ? kMaxLocalChunk : kMaxChunk);
  const int64_t key_items = divide_up(args.num_keys, args.item_keys);
  args.all_key_items = key_items;
  biases.begin(args);
  const int64_t wanted = divide_up(kMaxShares * args.num_queries, key_items);
  args.most_queries = std::min(args.num_queries, std::max(kMinQueries, wanted));
  const int64_t query_heads = args.batch * args.heads;
  std::optional<Tensor> shares, key_sums, value_sums;
  if (key_items > 1) {
    shares =
        empty(query, {key_items, query_heads * args.most_queries, args.width}, ScalarType::Float);
    args.query_shares = static_cast<float*>(shares->mutable_data_ptr());
  }
  if (args.most_queries < args.num_queries) {
    const int64_t rows = args.batch * args.kv_heads * args.num_keys;
    key_sums = empty(query, {rows, round_up(args.width, kMaxWidth)}, ScalarType::Float);
    value_sums = empty(query, {rows, round_up(args.value_width, kMaxWidth)}, ScalarType::Float);
    args.key_sums = static_cast<float*>(torch::stable::zero_(*key_sums).mutable_data_ptr());
    args.value_sums = static_cast<float*>(torch::stable::zero_(*value_sums).mutable_data_ptr());
  }
  const auto kernel = DLPLUG_SELECT_KERNEL(attention_backward);
  const auto sum_shares = DLPLUG_SELECT_KERNEL(attention_sum_shares);
  for (int64_t first = 0; first < args.num_queries; first = args.last_query) {
    args.first_query = first;
    args.last_query = std::min(first + args.most_queries, args.num_queries);
    const int64_t queries = args.last_query - first;
    set_key_items(args, key_items);
    run(kernel, args, bundles * args.num_key_items,
        divide_up(args.num_shared, args.num_bundles) * queries * (args.heads / args.kv_heads) *
            args.item_keys * (3 * args.width + 2 * args.value_width));
    if (shares.has_value())
      torch::stable::parallel_for(0, query_heads * queries, 64, [&](int64_t begin, int64_t end) {
        sum_shares(args, begin, end);
      });
  }
  biases.finish(args);
  return gradients();
}

}  // namespace dlplug
