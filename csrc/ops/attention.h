// Softmax attention: out = weights @ value, weights = softmax of the scores over the keys seen.
//   x = scale * q.k;  x = softcap * tanh(x / softcap);  x -= slope * |i + query_offset - j|
//   x += attn_mask where it is float
//   weights = exp(x) / (sum of exp(x) + exp(sink)), then dropout
// Query i sees key j where  -right <= i + query_offset - j <= left  and both lie in one document
// and a bool attn_mask is true. A row that sees nothing, or only -inf, gives 0. Where cu_seqlens
// has two rows, i and j count from where their document starts.
//
// query  (B, H, Q, D)   float32, bfloat16 or float16; any strides (copied unless the last is 1)
// key    (B, G, K, D)   like query; G divides H, head h reads key head h / (H / G)
// value  (B, G, K, E)   like query
// attn_mask (1 or B, 1 or H, 1 or Q, 1 or K)   bool, float32 or like query; any strides (copied
//                unless the last is 0 or 1)
// sinks, alibi_slopes (H,) float32
// cu_seqlens (documents + 1,) int32, B = 1 and Q = K; or (2, documents + 1), of queries and of keys
// seed   int64 scalar, read when dropout_p > 0
// out    (B, H, Q, E)   like query
// lse    (B, H, Q)      float64: log of the sum of exponentials; -inf where nothing is seen
// Outputs are contiguous where what they belong to is, else laid out as (B, rows, heads, width).
// Nothing is written in place and no output aliases an input.
// Float32 is multiplied as it is, unless allow_tf32 on a GPU: then factors are rounded to 11 binary
// digits (TF32), and sums are float32; the few queries of a decoder are not.
// Where the processor multiplies bfloat16 itself (AVX512_BF16, AMX), denormals of query, key,
// value, of the weights and of their gradients count as 0, as in those instructions.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

struct AttentionOptions {
  const std::optional<Tensor>&attn_mask, &alibi_slopes, &cu_seqlens, &seed;
  double dropout_p, scale;
  std::optional<double> softcap;
  std::optional<int64_t> left, right;
  int64_t query_offset;
  bool allow_tf32;
};

std::tuple<Tensor, Tensor> attention_forward(const Tensor& query, const Tensor& key,
                                             const Tensor& value,
                                             const std::optional<Tensor>& sinks,
                                             const AttentionOptions& options);

// grad_out (B, H, Q, E) like query, any strides (copied unless the last is 1); out and lse as
// attention_forward gave them for the same arguments.
// Returns the gradients of query, key, value, and of a float attn_mask and of alibi_slopes where
// needs_mask and needs_slopes ask for them, else (0,). That of attn_mask is contiguous and of its
// shape; sums over the axes it is broadcast over are float32.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
    const AttentionOptions& options);

// The same with the arguments of the schemas.
namespace schema {

inline std::tuple<Tensor, Tensor> attention_forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& sinks,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset, bool allow_tf32) {
  return dlplug::attention_forward(query, key, value, sinks,
                                   {attn_mask, alibi_slopes, cu_seqlens, seed, dropout_p, scale,
                                    softcap, left, right, query_offset, allow_tf32});
}

inline std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset, bool allow_tf32) {
  return dlplug::attention_backward(grad_out, query, key, value, out, lse, needs_mask, needs_slopes,
                                    {attn_mask, alibi_slopes, cu_seqlens, seed, dropout_p, scale,
                                     softcap, left, right, query_offset, allow_tf32});
}

}  // namespace schema
}  // namespace dlplug
