// What the attention operators share on the host: their arguments as the kernels take them, and
// how work is run.
#pragma once

#include <memory>

#include "csrc/common/attention_arguments.h"
#include "csrc/cpu/kernels/attention.h"

namespace dlplug {

constexpr int64_t kChunkStep = 64;  // a block of random bits

// Heads, or keys, are split into ranges where there are fewer items than this.
constexpr int64_t kEnoughItems = 16;

// Queries of a range or pass that pay for packing the keys again.
constexpr int64_t kMinQueries = 128;

// Multiply-adds below which waking another thread costs more than it brings.
constexpr int64_t kGrain = 1 << 19;

inline int64_t divide_up(int64_t count, int64_t by) { return (count + by - 1) / by; }
inline int64_t round_up(int64_t count, int64_t step) { return divide_up(count, step) * step; }

// `count` keys in as few chunks of at most `most` as possible, all but the last of this size.
inline int64_t chunk_of(int64_t count, int64_t most = kMaxChunk) {
  return round_up(divide_up(count, divide_up(count, most)), kChunkStep);
}

inline HeadRows rows_of_heads(const Tensor& x) {
  // The kernels write only to what is theirs.
  return {const_cast<void*>(x.const_data_ptr()), x.stride(0), x.stride(1), x.stride(2)};
}

// First and one past the last key of each query's document, and how much further on it begins among
// the keys; the latter of nothing where queries and keys have the same documents. Starts that are
// out of order or out of range give other documents, never a key outside of the tensor.
struct Documents {
  std::vector<int32_t> begin, end, shift;

  Documents(const std::optional<Tensor>& cu_seqlens, const Tensor& query, const Tensor& key) {
    if (!cu_seqlens.has_value()) return;
    check_documents(*cu_seqlens, query, key);
    const bool are_alike = cu_seqlens->dim() == 1;
    const int64_t count = cu_seqlens->size(cu_seqlens->dim() - 1);
    const int64_t length = query.size(2), keys = key.size(2);
    const auto* starts = static_cast<const int32_t*>(cu_seqlens->const_data_ptr());
    const auto* key_starts = are_alike ? starts : starts + count;
    begin.resize(length);
    end.resize(length);
    shift.resize(are_alike ? 0 : length);
    // One past a document's last position, which is at least where it begins.
    const auto end_of = [&](const int32_t* starts, int64_t document, int64_t first, int64_t size) {
      return document < count ? std::clamp<int64_t>(starts[document], first, size) : size;
    };
    int64_t first = 0, first_key = 0;
    for (int64_t i = 1; i <= count && first < length; ++i) {
      const int64_t next = end_of(starts, i, first, length);
      const int64_t next_key = end_of(key_starts, i, first_key, keys);
      for (int64_t position = first; position < next; ++position) {
        begin[position] = static_cast<int32_t>(first_key);
        end[position] = static_cast<int32_t>(next_key);
        if (!are_alike) shift[position] = static_cast<int32_t>(first_key - first);
      }
      first = next;
      first_key = next_key;
    }
  }
};

inline MaskRows rows_of_mask(const Tensor& mask) {
  return {mask_type_of(mask.scalar_type()),
          const_cast<void*>(mask.const_data_ptr()),
          mask_step(mask, 0),
          mask_step(mask, 1),
          mask_step(mask, 2),
          mask_step(mask, 3)};
}

// A mask whose keys lie one after the other, or are all the same.
inline std::optional<Tensor> with_readable_keys(const std::optional<Tensor>& mask) {
  if (!mask.has_value() || mask->dim() != 4) return mask;
  const bool is_readable = mask->size(3) == 1 || mask->stride(3) == 1 || mask->stride(3) == 0;
  return is_readable ? mask : torch::stable::contiguous(*mask);
}

// `mask`: that of the options, with readable keys.
template <class Args>
Args args_of(const Tensor& query, const Tensor& key, const Tensor& value,
             const std::optional<Tensor>& mask, const Documents& documents,
             const AttentionOptions& options) {
  check_heads(query, key, value);
  Args args{};
  args.dtype = dtype_of(query);
  args.batch = query.size(0);
  args.heads = query.size(1);
  args.num_queries = query.size(2);
  args.width = query.size(3);
  args.kv_heads = key.size(1);
  args.num_keys = key.size(2);
  args.value_width = value.size(3);
  args.query = rows_of_heads(query);
  args.key = rows_of_heads(key);
  args.value = rows_of_heads(value);
  args.use_bf16_products = args.dtype == Dtype::kBFloat16 && has_bf16();
  args.use_tiles = args.use_bf16_products && current_isa() >= Isa::kAmx;

  args.scale = static_cast<float>(options.scale);
  args.softcap = static_cast<float>(options.softcap.value_or(0.0));
  args.alibi_slopes = per_head(options.alibi_slopes, query);
  if (mask.has_value()) {
    check_mask(*mask, query, key);
    args.mask = rows_of_mask(*mask);
  }
  set_positions(args, options);
  if (!documents.begin.empty()) {
    args.document_begin = documents.begin.data();
    args.document_end = documents.end.data();
    args.document_shift = documents.shift.empty() ? nullptr : documents.shift.data();
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
  const int64_t group = args.heads / args.kv_heads;
  args.is_few = args.num_queries <= kFewQueries && group * args.num_queries <= kFewRows;
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

}  // namespace dlplug
