// How the work is shared out depends on the shape alone, so the result has the same bits for any
// number of threads.
#include "csrc/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>

#include "csrc/common/isa.h"
#include "csrc/cpu/kernels/attention.h"

namespace dlplug {
namespace {

// Keys that are packed and multiplied at a time: 64 queries' scores with them take 64 KiB.
constexpr int64_t kMaxChunk = 256;
constexpr int64_t kChunkStep = 64;  // a block of random bits

// Sums of a range of queries, kept while the chunks go by: 128 KiB of the L2 cache.
constexpr int64_t kMaxSums = 32768;
constexpr int64_t kMinQueries = 128;

// Heads are split into ranges where there are fewer of them than this.
constexpr int64_t kEnoughItems = 16;

// Each range of keys has its own share of grad_query. The backward goes over the queries in passes
// so short that the shares together are this many times grad_query, but not shorter than
// kMinQueries, which pay for packing the keys again.
constexpr int64_t kMaxShares = 2;

// Positions up to here, in whatever sums, stay within int64; as in dlplug/ops/_attention_checks.py.
constexpr int64_t kMaxOffset = int64_t{1} << 60;

constexpr int64_t kMaxWidth = 16;  // floats in a vector of any instruction set

// Multiply-adds below which waking another thread costs more than it brings.
constexpr int64_t kGrain = 1 << 19;

int64_t divide_up(int64_t count, int64_t by) { return (count + by - 1) / by; }
int64_t round_up(int64_t count, int64_t step) { return divide_up(count, step) * step; }

// `count` keys in as few chunks as possible, all but the last of this size.
int64_t chunk_of(int64_t count) {
  return round_up(divide_up(count, divide_up(count, kMaxChunk)), kChunkStep);
}

bool has_bf16_products() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has && current_isa() >= Isa::kAvx512;
#else
  return false;
#endif
}

Tensor with_contiguous_rows(const Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : torch::stable::contiguous(x);
}

HeadRows rows_of_heads(const Tensor& x) {
  // The kernels write only to what is theirs.
  return {const_cast<void*>(x.const_data_ptr()), x.stride(0), x.stride(1), x.stride(2)};
}

const float* per_head(const std::optional<Tensor>& x, int64_t heads) {
  if (!x.has_value()) return nullptr;
  STD_TORCH_CHECK(x->dim() == 1 && x->size(0) == heads && x->is_contiguous() &&
                      x->scalar_type() == ScalarType::Float,
                  "expected contiguous float32 of shape (", heads, ",)");
  return static_cast<const float*>(x->const_data_ptr());
}

// First and one past the last key of each position's document. Starts that are out of order or out
// of range give other documents, never a key outside of the tensor.
struct Documents {
  std::vector<int32_t> begin, end;

  Documents(const std::optional<Tensor>& cu_seqlens, int64_t length) {
    if (!cu_seqlens.has_value()) return;
    STD_TORCH_CHECK(cu_seqlens->dim() == 1 && cu_seqlens->is_contiguous() &&
                        cu_seqlens->scalar_type() == ScalarType::Int,
                    "expected contiguous int32 cu_seqlens");
    const auto* starts = static_cast<const int32_t*>(cu_seqlens->const_data_ptr());
    begin.resize(length);
    end.resize(length);
    int64_t position = 0;
    for (int64_t i = 1; i <= cu_seqlens->size(0) && position < length; ++i) {
      const int64_t next = i < cu_seqlens->size(0) ? std::min<int64_t>(starts[i], length) : length;
      const int64_t first = position;
      for (; position < next; ++position) {
        begin[position] = static_cast<int32_t>(first);
        end[position] = static_cast<int32_t>(next);
      }
    }
  }
};

struct Options {
  const std::optional<Tensor>&alibi_slopes, &seed;
  const Documents& documents;
  double dropout_p, scale;
  std::optional<double> softcap;
  std::optional<int64_t> left, right;
  int64_t query_offset;
};

template <class Args>
Args args_of(const Tensor& query, const Tensor& key, const Tensor& value, const Options& options) {
  STD_TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4,
                  "expected query, key and value of 4 axes");
  Args args{};
  args.dtype = dtype_of(query);
  STD_TORCH_CHECK(dtype_of(key) == args.dtype && dtype_of(value) == args.dtype,
                  "expected query, key and value of one dtype");
  args.batch = query.size(0);
  args.heads = query.size(1);
  args.num_queries = query.size(2);
  args.width = query.size(3);
  args.kv_heads = key.size(1);
  args.num_keys = key.size(2);
  args.value_width = value.size(3);
  STD_TORCH_CHECK(key.size(0) == args.batch && value.size(0) == args.batch &&
                      value.size(1) == args.kv_heads && value.size(2) == args.num_keys &&
                      key.size(3) == args.width && args.kv_heads > 0 &&
                      args.heads % args.kv_heads == 0,
                  "the shapes of query, key and value do not belong together");
  args.query = rows_of_heads(query);
  args.key = rows_of_heads(key);
  args.value = rows_of_heads(value);
  args.use_bf16_products = args.dtype == Dtype::kBFloat16 && has_bf16_products();

  args.scale = static_cast<float>(options.scale);
  args.softcap = static_cast<float>(options.softcap.value_or(0.0));
  args.alibi_slopes = per_head(options.alibi_slopes, args.heads);
  STD_TORCH_CHECK(std::abs(options.query_offset / 2) < kMaxOffset / 2, "query_offset is ",
                  options.query_offset);
  args.query_offset = options.query_offset;
  // A bound beyond every distance is none; sums with it stay far from overflowing.
  const int64_t farthest = args.num_queries + args.num_keys + std::abs(options.query_offset);
  args.left = std::min(options.left.value_or(farthest), farthest);
  args.right = std::min(options.right.value_or(farthest), farthest);
  if (!options.documents.begin.empty()) {
    STD_TORCH_CHECK(args.batch == 1 && args.num_queries == args.num_keys,
                    "expected batch 1 and as many queries as keys with cu_seqlens");
    args.document_begin = options.documents.begin.data();
    args.document_end = options.documents.end.data();
  }
  args.keep_scale = 1.0f;
  if (options.dropout_p > 0) {
    STD_TORCH_CHECK(options.seed.has_value() && options.seed->numel() == 1 &&
                        options.seed->scalar_type() == ScalarType::Long,
                    "expected an int64 seed with dropout");
    args.seed = static_cast<uint64_t>(*static_cast<const int64_t*>(options.seed->const_data_ptr()));
    args.threshold = static_cast<uint64_t>(std::floor(options.dropout_p * 4294967296.0 + 0.5));
    if (options.dropout_p < 1) args.keep_scale = static_cast<float>(1 / (1 - options.dropout_p));
  }
  args.is_plain =
      args.scale > 0 && args.softcap == 0 && args.alibi_slopes == nullptr && args.threshold == 0;
  return args;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

template <class Kernel, class Args>
void run(Kernel* kernel, const Args& args, int64_t items, int64_t work_per_item) {
  int64_t bytes = 0;
  kernel(args, 0, 0, nullptr, &bytes);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work_per_item));
  torch::stable::parallel_for(0, items, grain, [&](int64_t begin, int64_t end) {
    std::unique_ptr<void, Free> scratch(std::aligned_alloc(64, round_up(bytes, 64)));
    STD_TORCH_CHECK(scratch != nullptr, "out of memory: ", bytes, " bytes for attention");
    int64_t used = 0;
    kernel(args, begin, end, static_cast<char*>(scratch.get()), &used);
  });
}

// (batch, heads, rows, width), contiguous, or laid out as (batch, rows, heads, width).
Tensor empty_heads(const Tensor& like, int64_t width, bool is_contiguous) {
  const auto dtype = like.scalar_type();
  const int64_t batch = like.size(0), heads = like.size(1), rows = like.size(2);
  if (is_contiguous) return empty(like, {batch, heads, rows, width}, dtype);
  return torch::stable::transpose(empty(like, {batch, rows, heads, width}, dtype), 1, 2);
}

// The ranges of keys that the queries of a pass see: at least one, and all in the last pass, which
// writes the gradients of keys and values.
void set_key_items(AttentionBackward& args, int64_t ranges) {
  args.first_key_item = 0;
  args.num_key_items = ranges;
  if (args.last_query == args.num_queries) return;
  int64_t begin = args.first_query + args.query_offset - args.left;
  int64_t end = args.last_query + args.query_offset + args.right;
  if (args.document_begin != nullptr) {
    begin = std::max<int64_t>(begin, args.document_begin[args.first_query]);
    end = std::min<int64_t>(end, args.document_end[args.last_query - 1]);
  }
  begin = std::clamp<int64_t>(begin, 0, args.num_keys - 1);
  end = std::clamp<int64_t>(end, begin + 1, args.num_keys);
  args.first_key_item = begin / args.item_keys;
  args.num_key_items = divide_up(end, args.item_keys) - args.first_key_item;
}

}  // namespace

std::tuple<Tensor, Tensor> attention_forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& sinks,
    const std::optional<Tensor>& alibi_slopes, const std::optional<Tensor>& cu_seqlens,
    const std::optional<Tensor>& seed, double dropout_p, double scale,
    std::optional<double> softcap, std::optional<int64_t> left, std::optional<int64_t> right,
    int64_t query_offset) {
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value);
  const Documents documents(cu_seqlens, query.size(2));
  auto args = args_of<AttentionForward>(
      q, k, v,
      {alibi_slopes, seed, documents, dropout_p, scale, softcap, left, right, query_offset});
  const Tensor out = empty_heads(query, args.value_width, query.is_contiguous());
  const Tensor lse = empty(query, {args.batch, args.heads, args.num_queries}, ScalarType::Float);
  if (lse.numel() == 0) return {out, lse};
  args.out = rows_of_heads(out);
  args.lse = static_cast<float*>(lse.mutable_data_ptr());
  args.sinks = per_head(sinks, args.heads);
  args.chunk = args.num_keys > 0 ? chunk_of(args.num_keys) : kChunkStep;

  const int64_t most = std::max(kMinQueries, kMaxSums / std::max<int64_t>(1, args.value_width));
  const int64_t heads = args.batch * args.heads;
  const int64_t wanted =
      std::min(divide_up(kEnoughItems, heads), divide_up(args.num_queries, kMinQueries));
  const int64_t ranges = std::max(divide_up(args.num_queries, most), wanted);
  args.item_queries = divide_up(args.num_queries, ranges);
  args.num_query_items = divide_up(args.num_queries, args.item_queries);
  run(DLPLUG_SELECT_KERNEL(attention_forward), args, heads * args.num_query_items,
      args.item_queries * args.num_keys * (args.width + args.value_width));
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset) {
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value), o = with_contiguous_rows(out),
               g = with_contiguous_rows(grad_out);
  const Documents documents(cu_seqlens, query.size(2));
  auto args = args_of<AttentionBackward>(
      q, k, v,
      {alibi_slopes, seed, documents, dropout_p, scale, softcap, left, right, query_offset});
  STD_TORCH_CHECK(lse.is_contiguous() && lse.scalar_type() == ScalarType::Float &&
                      lse.numel() == args.batch * args.heads * args.num_queries,
                  "expected lse as attention_forward gives it");
  const auto is_like_out = [&](const Tensor& x) {
    return x.dim() == 4 && x.size(0) == args.batch && x.size(1) == args.heads &&
           x.size(2) == args.num_queries && x.size(3) == args.value_width &&
           dtype_of(x) == args.dtype;
  };
  STD_TORCH_CHECK(is_like_out(o) && is_like_out(g), "expected out and grad_out of one shape");
  Tensor grad_query = empty_heads(query, args.width, query.is_contiguous());
  Tensor grad_key = empty_heads(key, args.width, key.is_contiguous());
  Tensor grad_value = empty_heads(value, args.value_width, value.is_contiguous());
  if (lse.numel() == 0 || (key.numel() == 0 && value.numel() == 0)) {
    for (Tensor* grad : {&grad_query, &grad_key, &grad_value}) torch::stable::zero_(*grad);
    return {grad_query, grad_key, grad_value};
  }
  args.out = rows_of_heads(o);
  args.grad_out = rows_of_heads(g);
  args.grad_query = rows_of_heads(grad_query);
  args.grad_key = rows_of_heads(grad_key);
  args.grad_value = rows_of_heads(grad_value);
  args.lse = static_cast<const float*>(lse.const_data_ptr());

  const int64_t heads = args.batch * args.kv_heads;
  const int64_t ranges =
      std::min(divide_up(kEnoughItems, heads), divide_up(args.num_keys, kMaxChunk));
  args.item_keys = round_up(divide_up(args.num_keys, ranges), kChunkStep);
  args.chunk = chunk_of(std::min(args.item_keys, args.num_keys));
  const int64_t key_items = divide_up(args.num_keys, args.item_keys);
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
    const int64_t rows = heads * args.num_keys;
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
    run(kernel, args, heads * args.num_key_items,
        queries * (args.heads / args.kv_heads) * args.item_keys *
            (3 * args.width + 2 * args.value_width));
    if (shares.has_value())
      torch::stable::parallel_for(0, query_heads * queries, 64, [&](int64_t begin, int64_t end) {
        sum_shares(args, begin, end);
      });
  }
  return {grad_query, grad_key, grad_value};
}

}  // namespace dlplug
