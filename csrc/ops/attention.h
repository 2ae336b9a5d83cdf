// Softmax attention: out = weights @ value, weights = softmax of the scores over the keys seen.
//   x = scale * q.k;  x = softcap * tanh(x / softcap);  x -= slope * |i + query_offset - j|
//   weights = exp(x) / (sum of exp(x) + exp(sink)), then dropout
// Query i sees key j where  -right <= i + query_offset - j <= left  and both lie in one document.
//
// query  (B, H, Q, D)   float32, bfloat16 or float16; any strides (copied unless the last is 1)
// key    (B, G, K, D)   like query; G divides H, head h reads key head h / (H / G)
// value  (B, G, K, E)   like query
// sinks, alibi_slopes (H,) float32;  cu_seqlens (documents + 1,) int32, B = 1 and Q = K
// seed   int64 scalar, read when dropout_p > 0
// out    (B, H, Q, E)   like query
// lse    (B, H, Q)      float32: log of the sum of exponentials; -inf where nothing is seen
// Outputs are contiguous where what they belong to is, else laid out as (B, rows, heads, width).
// Nothing is written in place and no output aliases an input.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

std::tuple<Tensor, Tensor> attention_forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& sinks,
    const std::optional<Tensor>& alibi_slopes, const std::optional<Tensor>& cu_seqlens,
    const std::optional<Tensor>& seed, double dropout_p, double scale,
    std::optional<double> softcap, std::optional<int64_t> left, std::optional<int64_t> right,
    int64_t query_offset);

// Returns the gradients of query, key and value.
std::tuple<Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset);

}  // namespace dlplug
