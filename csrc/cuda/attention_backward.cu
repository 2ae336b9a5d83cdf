#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_backward_keys.cuh"
#include "csrc/cuda/attention_backward_queries.cuh"
#include "csrc/cuda/attention_bias_gradients.h"
#include "csrc/ops/attention.h"

namespace dlplug {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset) {
  using namespace cuda;
  const DeviceGuard guard(query.get_device_index());
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value), o = with_contiguous_rows(out),
               g = with_contiguous_rows(grad_out);
  auto args = args_of<AttentionBackward>(q, k, v,
                                         {attn_mask, alibi_slopes, cu_seqlens, seed, dropout_p,
                                          scale, softcap, left, right, query_offset});
  const int64_t heads = int64_t{args.batch} * args.heads, rows = heads * args.num_queries;
  STD_TORCH_CHECK(lse.is_contiguous() && lse.scalar_type() == ScalarType::Double &&
                      lse.numel() == rows && is_beside(lse, query),
                  "expected lse as attention_forward gives it");
  const auto is_like_out = [&](const Tensor& x) {
    return x.dim() == 4 && x.size(0) == args.batch && x.size(1) == args.heads &&
           x.size(2) == args.num_queries && x.size(3) == args.value_width &&
           x.scalar_type() == query.scalar_type() && is_beside(x, query);
  };
  STD_TORCH_CHECK(is_like_out(o) && is_like_out(g), "expected out and grad_out of one shape");
  const Tensor grad_query = empty_heads(query, args.width);
  const Tensor grad_key = empty_heads(key, args.width);
  const Tensor grad_value = empty_heads(value, args.value_width);
  const auto documents = set_documents(args, query, cu_seqlens);
  const Tensor stats = empty(query, {rows, 4}, ScalarType::Float);
  args.out = rows_of_heads(o);
  args.grad_out = rows_of_heads(g);
  args.grad_query = rows_of_heads(grad_query);
  args.grad_key = rows_of_heads(grad_key);
  args.grad_value = rows_of_heads(grad_value);
  args.lse = static_cast<const double*>(lse.const_data_ptr());
  args.rows = static_cast<float4*>(stats.mutable_data_ptr());

  std::optional<BiasGradients> biases;
  const cudaStream_t stream = current_stream(query);
  with_type(dtype_of(query), [&](auto type) {
    with_width(args, [&](auto width) {
      using T = decltype(type);
      using Shape = BackwardShape<T, width()>;
      const int64_t tiles = (int64_t{args.num_queries} + Shape::kOwned - 1) / Shape::kOwned;
      biases.emplace(args, query, needs_mask ? attn_mask : std::nullopt,
                     needs_slopes ? alibi_slopes : std::nullopt, tiles, Shape::kWarps);
      if (rows > 0) {
        launch(attention_backward_rows<T>, blocks_of(1, rows, kRowThreads / kWarp), kRowThreads, 0,
               stream, args);
        launch(
            attention_backward_queries<T, width()>,
            blocks_of(int64_t{args.num_single} * args.num_bundles, args.num_queries, Shape::kOwned),
            Shape::kThreads, Shape::kBytes, stream, args);
      }
      if (args.batch > 0 && args.num_keys > 0)
        launch(attention_backward_keys<T, width()>,
               blocks_of(int64_t{args.batch} * args.kv_heads * Shape::kParts, args.num_keys,
                         Shape::kOwned),
               Shape::kThreads, Shape::kBytes, stream, args);
    });
  });
  biases->finish(args);
  return {grad_query, grad_key, grad_value, biases->mask, biases->slopes};
}

}  // namespace dlplug
