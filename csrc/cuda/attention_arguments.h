// From tensors to what the attention kernels are given.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "csrc/cuda/arguments.h"
#include "csrc/cuda/attention.h"

namespace dlplug::cuda {

// Positions up to here, in whatever sums, stay within int64; as in dlplug/ops/_attention_checks.py.
constexpr int64_t kMaxOffset = int64_t{1} << 60;

constexpr int kMaxWidth = 256;

struct AttentionOptions {
  const std::optional<Tensor>&attn_mask, &alibi_slopes, &cu_seqlens, &seed;
  double dropout_p, scale;
  std::optional<double> softcap;
  std::optional<int64_t> left, right;
  int64_t query_offset;
};

inline Tensor with_contiguous_rows(const Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : torch::stable::contiguous(x);
}

inline HeadRows rows_of_heads(const Tensor& x) {
  const int64_t bytes = bytes_of(dtype_of(x));
  const auto is_whole = [&](int64_t count) { return count * bytes % 16 == 0; };
  const void* data = x.const_data_ptr();
  const bool is_regular = reinterpret_cast<uintptr_t>(data) % 16 == 0 && is_whole(x.size(3)) &&
                          is_whole(x.stride(0)) && is_whole(x.stride(1)) && is_whole(x.stride(2));
  // The kernels write only to what is theirs.
  return {const_cast<void*>(data), x.stride(0), x.stride(1), x.stride(2), is_regular};
}

// (batch, heads, rows, width), contiguous, or laid out as (batch, rows, heads, width).
inline Tensor empty_heads(const Tensor& like, int64_t width) {
  const auto dtype = like.scalar_type();
  const int64_t batch = like.size(0), heads = like.size(1), rows = like.size(2);
  if (like.is_contiguous()) return empty(like, {batch, heads, rows, width}, dtype);
  return torch::stable::transpose(empty(like, {batch, rows, heads, width}, dtype), 1, 2);
}

inline const float* per_head(const std::optional<Tensor>& x, const Tensor& query) {
  if (!x.has_value()) return nullptr;
  STD_TORCH_CHECK(x->dim() == 1 && x->size(0) == query.size(1) && x->is_contiguous() &&
                      x->scalar_type() == ScalarType::Float && is_beside(*x, query),
                  "expected contiguous float32 of shape (", query.size(1), ",) on query's device");
  return static_cast<const float*>(x->const_data_ptr());
}

inline MaskType mask_type_of(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Bool:
      return MaskType::kBool;
    case ScalarType::Float:
      return MaskType::kFloat32;
    case ScalarType::BFloat16:
      return MaskType::kBFloat16;
    case ScalarType::Half:
      return MaskType::kFloat16;
    default:
      STD_TORCH_CHECK(false, "expected attn_mask of bool, float32, bfloat16 or float16");
  }
}

inline Mask mask_of(const Tensor& mask, const AttentionScores& args, const Tensor& query) {
  const int64_t sizes[] = {args.batch, args.heads, args.num_queries, args.num_keys};
  bool is_fitting = mask.dim() == 4 && is_beside(mask, query);
  for (int axis = 0; axis < 4 && is_fitting; ++axis)
    is_fitting = mask.size(axis) == 1 || mask.size(axis) == sizes[axis];
  STD_TORCH_CHECK(is_fitting,
                  "expected attn_mask of 4 axes, each 1 or as the scores', on query's device");
  const auto step = [&](int64_t axis) { return mask.size(axis) == 1 ? 0 : mask.stride(axis); };
  return {
      mask_type_of(mask.scalar_type()), mask.const_data_ptr(), step(0), step(1), step(2), step(3)};
}

inline int narrowed(int64_t count) {
  STD_TORCH_CHECK(count <= std::numeric_limits<int>::max() / 2, "a size of ", count,
                  " is more than the CUDA kernels count");
  return static_cast<int>(count);
}

// First and one past the last key of each position's document, (2, length), made on the device.
// Starts that are out of order or out of range give other documents, never a key outside.
Tensor find_documents(const Tensor& cu_seqlens, const Tensor& query);

// All but the documents.
template <class Args>
Args args_of(const Tensor& query, const Tensor& key, const Tensor& value,
             const AttentionOptions& options) {
  STD_TORCH_CHECK(is_on_gpu(query), "query must be on a CUDA device");
  STD_TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4,
                  "expected query, key and value of 4 axes");
  Args args{};
  const auto is_like_query = [&](const Tensor& x) {
    return x.scalar_type() == query.scalar_type() && is_beside(x, query);
  };
  STD_TORCH_CHECK(is_like_query(key) && is_like_query(value),
                  "expected query, key and value of one dtype on one device");
  args.batch = narrowed(query.size(0));
  args.heads = narrowed(query.size(1));
  args.num_queries = narrowed(query.size(2));
  args.width = narrowed(query.size(3));
  args.kv_heads = narrowed(key.size(1));
  args.num_keys = narrowed(key.size(2));
  args.value_width = narrowed(value.size(3));
  STD_TORCH_CHECK(key.size(0) == args.batch && value.size(0) == args.batch &&
                      value.size(1) == args.kv_heads && value.size(2) == args.num_keys &&
                      key.size(3) == args.width && args.kv_heads > 0 &&
                      args.heads % args.kv_heads == 0,
                  "the shapes of query, key and value do not belong together");
  STD_TORCH_CHECK(args.width <= kMaxWidth && args.value_width <= kMaxWidth,
                  "expected head dimensions of at most ", kMaxWidth);
  args.query = rows_of_heads(query);
  args.key = rows_of_heads(key);
  args.value = rows_of_heads(value);
  args.scale = static_cast<float>(options.scale);
  args.softcap = static_cast<float>(options.softcap.value_or(0.0));
  args.alibi_slopes = per_head(options.alibi_slopes, query);
  STD_TORCH_CHECK(std::abs(options.query_offset / 2) < kMaxOffset / 2, "query_offset is ",
                  options.query_offset);
  args.query_offset = options.query_offset;
  if (options.attn_mask.has_value()) args.mask = mask_of(*options.attn_mask, args, query);
  // A bound beyond every distance is none; sums with it stay far from overflowing.
  const int64_t farthest =
      int64_t{args.num_queries} + args.num_keys + std::abs(options.query_offset);
  args.left = std::min(options.left.value_or(farthest), farthest);
  args.right = std::min(options.right.value_or(farthest), farthest);
  args.dropout = dropout_of(options.dropout_p, options.seed, query);
  args.is_plain = args.softcap == 0 && args.alibi_slopes == nullptr && !options.attn_mask;
  return args;
}

// Sets the documents' bounds; the tensor holds them.
inline std::optional<Tensor> set_documents(AttentionScores& args, const Tensor& query,
                                           const std::optional<Tensor>& cu_seqlens) {
  if (!cu_seqlens.has_value()) return std::nullopt;
  STD_TORCH_CHECK(args.batch == 1 && args.num_queries == args.num_keys,
                  "expected batch 1 and as many queries as keys with cu_seqlens");
  const Tensor bounds = find_documents(*cu_seqlens, query);
  args.document_begin = static_cast<const int32_t*>(bounds.const_data_ptr());
  args.document_end = args.document_begin + args.num_queries;
  return bounds;
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
