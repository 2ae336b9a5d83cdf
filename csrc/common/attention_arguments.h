// What attention asks of its arguments on every device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "csrc/ops/attention.h"

namespace dlplug {

// Positions up to here, in whatever sums, stay within int64; as in dlplug/ops/_attention_checks.py.
constexpr int64_t kMaxOffset = int64_t{1} << 60;

inline void check_heads(const Tensor& query, const Tensor& key, const Tensor& value) {
  STD_TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4,
                  "expected query, key and value of 4 axes");
  STD_TORCH_CHECK(
      key.scalar_type() == query.scalar_type() && value.scalar_type() == query.scalar_type(),
      "expected query, key and value of one dtype");
  STD_TORCH_CHECK(key.size(0) == query.size(0) && value.size(0) == query.size(0) &&
                      value.size(1) == key.size(1) && value.size(2) == key.size(2) &&
                      key.size(3) == query.size(3) && key.size(1) > 0 &&
                      query.size(1) % key.size(1) == 0,
                  "the shapes of query, key and value do not belong together");
}

// What the backward is given of the forward.
inline void check_outputs(const Tensor& query, const Tensor& value, const Tensor& out,
                          const Tensor& grad_out, const Tensor& lse) {
  STD_TORCH_CHECK(lse.is_contiguous() && lse.scalar_type() == ScalarType::Double &&
                      lse.numel() == query.size(0) * query.size(1) * query.size(2),
                  "expected lse as attention_forward gives it");
  for (const Tensor& x : {out, grad_out})
    STD_TORCH_CHECK(x.dim() == 4 && x.size(0) == query.size(0) && x.size(1) == query.size(1) &&
                        x.size(2) == query.size(2) && x.size(3) == value.size(3) &&
                        x.scalar_type() == query.scalar_type(),
                    "expected out and grad_out of one shape");
}

inline void check_mask(const Tensor& mask, const Tensor& query, const Tensor& key) {
  const int64_t sizes[] = {query.size(0), query.size(1), query.size(2), key.size(2)};
  bool is_fitting = mask.dim() == 4;
  for (int axis = 0; axis < 4 && is_fitting; ++axis)
    is_fitting = mask.size(axis) == 1 || mask.size(axis) == sizes[axis];
  STD_TORCH_CHECK(is_fitting, "expected attn_mask of 4 axes, each 1 or as the scores'");
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

// Elements from one index of an axis of a mask to the next; 0 where it is broadcast.
inline int64_t mask_step(const Tensor& mask, int64_t axis) {
  return mask.size(axis) == 1 ? 0 : mask.stride(axis);
}

inline const float* per_head(const std::optional<Tensor>& x, const Tensor& query) {
  if (!x.has_value()) return nullptr;
  STD_TORCH_CHECK(x->dim() == 1 && x->size(0) == query.size(1) && x->is_contiguous() &&
                      x->scalar_type() == ScalarType::Float,
                  "expected contiguous float32 of shape (", query.size(1), ",)");
  return static_cast<const float*>(x->const_data_ptr());
}

// Sets left, right and query_offset. A bound beyond every distance is none; sums with it stay far
// from overflowing.
template <class Args>
void set_positions(Args& args, const AttentionOptions& options) {
  STD_TORCH_CHECK(std::abs(options.query_offset / 2) < kMaxOffset / 2, "query_offset is ",
                  options.query_offset);
  const int64_t farthest =
      int64_t{args.num_queries} + args.num_keys + std::abs(options.query_offset);
  args.left = std::min(options.left.value_or(farthest), farthest);
  args.right = std::min(options.right.value_or(farthest), farthest);
  args.query_offset = options.query_offset;
}

inline void check_documents(const Tensor& cu_seqlens, const Tensor& query, const Tensor& key) {
  const bool has_two = cu_seqlens.dim() == 2 && cu_seqlens.size(0) == 2;
  STD_TORCH_CHECK((cu_seqlens.dim() == 1 || has_two) && cu_seqlens.is_contiguous() &&
                      cu_seqlens.scalar_type() == ScalarType::Int,
                  "expected contiguous int32 cu_seqlens, of both or of queries and keys");
  STD_TORCH_CHECK(query.size(0) == 1 && (has_two || query.size(2) == key.size(2)),
                  "expected batch 1 and as many queries as keys with one cu_seqlens");
}

inline Tensor with_contiguous_rows(const Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : torch::stable::contiguous(x);
}

// (batch, heads, rows, width), contiguous, or laid out as (batch, rows, heads, width).
inline Tensor empty_heads(const Tensor& like, int64_t width) {
  const auto dtype = like.scalar_type();
  const int64_t batch = like.size(0), heads = like.size(1), rows = like.size(2);
  if (like.is_contiguous()) return empty(like, {batch, heads, rows, width}, dtype);
  return torch::stable::transpose(empty(like, {batch, rows, heads, width}, dtype), 1, 2);
}

}  // namespace dlplug
