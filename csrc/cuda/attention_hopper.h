// Attention for Hopper GPUs (compute capability 9.0): as attention_forward and attention_backward
// of csrc/ops/attention.h, for query, key and value in bfloat16 or float16 whose head dimensions
// are all 64 or all 128, without mask, ALiBi and dropout.
#pragma once

#include "csrc/ops/attention.h"

namespace dlplug {

std::tuple<Tensor, Tensor> attention_hopper_forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& sinks,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset, bool allow_tf32);

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_hopper_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset, bool allow_tf32);

}  // namespace dlplug
