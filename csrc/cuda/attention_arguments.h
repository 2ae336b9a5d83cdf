// From tensors to what the attention kernels are given.
#pragma once

#include <limits>

#include "csrc/common/attention_arguments.h"
#include "csrc/cuda/arguments.h"
#include "csrc/cuda/attention.h"
#include "csrc/cuda/mma.cuh"

namespace dlplug::cuda {

constexpr int kMaxWidth = 256;

inline HeadRows rows_of_heads(const Tensor& x) {
  const int64_t bytes = bytes_of(dtype_of(x));
  const auto is_whole = [&](int64_t count) { return count * bytes % 16 == 0; };
  const void* data = x.const_data_ptr();
  const bool is_regular = reinterpret_cast<uintptr_t>(data) % 16 == 0 && is_whole(x.size(3)) &&
                          is_whole(x.stride(0)) && is_whole(x.stride(1)) && is_whole(x.stride(2));
  // The kernels write only to what is theirs.
  return {const_cast<void*>(data), x.stride(0), x.stride(1), x.stride(2), is_regular};
}

inline int narrowed(int64_t count) {
  STD_TORCH_CHECK(count <= std::numeric_limits<int>::max() / 2, "a size of ", count,
                  " is more than the CUDA kernels count");
  return static_cast<int>(count);
}

// All but what set_tensors below makes on the device.
template <class Args>
Args args_of(const Tensor& query, const Tensor& key, const Tensor& value,
             const AttentionOptions& options) {
  STD_TORCH_CHECK(is_on_gpu(query), "query must be on a CUDA device");
  check_heads(query, key, value);
  for (const Tensor& x : {key, value})
    STD_TORCH_CHECK(is_beside(x, query), "expected query, key and value on one device");
  for (const auto& x : {options.attn_mask, options.alibi_slopes, options.cu_seqlens})
    STD_TORCH_CHECK(!x.has_value() || is_beside(*x, query), "expected all on query's device");
  Args args{};
  args.batch = narrowed(query.size(0));
  args.heads = narrowed(query.size(1));
  args.num_queries = narrowed(query.size(2));
  args.width = narrowed(query.size(3));
  args.kv_heads = narrowed(key.size(1));
  args.num_keys = narrowed(key.size(2));
  args.value_width = narrowed(value.size(3));
  STD_TORCH_CHECK(args.width <= kMaxWidth && args.value_width <= kMaxWidth,
                  "expected head dimensions of at most ", kMaxWidth);
  args.query = rows_of_heads(query);
  args.key = rows_of_heads(key);
  args.value = rows_of_heads(value);
  args.scale = static_cast<float>(options.scale);
  args.softcap = static_cast<float>(options.softcap.value_or(0.0));
  args.alibi_slopes = per_head(options.alibi_slopes, query);
  set_positions(args, options);
  args.dropout = dropout_of(options.dropout_p, options.seed, query);
  args.is_plain = args.softcap == 0 && args.alibi_slopes == nullptr && !options.attn_mask;
  return args;
}

// What kernels make for the kernels, to be kept while these run.
struct Prepared {
  std::optional<Tensor> documents;  // what AttentionScores tells of each query and key
  std::optional<Tensor> shown;      // bytes, as ShownBlocks
};

// Sets the mask and the documents. Starts that are out of order or out of range give other
// documents, never a key outside.
Prepared prepare(AttentionScores& args, const Tensor& query, const Tensor& key,
                 const AttentionOptions& options);

// body(a value of the type that is multiplied): of 16 bits, float, or Tf32.
template <class Body>
void with_factor(const Tensor& query, bool allow_tf32, Body body) {
  const Dtype dtype = dtype_of(query);
  if (dtype == Dtype::kFloat32 && allow_tf32) return body(Tf32{});
  with_type(dtype, body);
}

// body(width) with the least of 64, 128 and 256 that holds both head dimensions, as a constant.
template <class Body>
void with_width(const AttentionScores& args, Body body) {
  const int width = std::max(args.width, args.value_width);
  if (width <= 64) return body(std::integral_constant<int, 64>{});
  if (width <= 128) return body(std::integral_constant<int, 128>{});
  body(std::integral_constant<int, 256>{});
}

// One block for each `rows` rows of each head.
inline unsigned blocks_of(int64_t heads, int64_t count, int64_t rows) {
  const int64_t blocks = heads * ((count + rows - 1) / rows);
  STD_TORCH_CHECK(blocks <= std::numeric_limits<int>::max(), blocks, " blocks are too many");
  return static_cast<unsigned>(blocks);
}

}  // namespace dlplug::cuda
