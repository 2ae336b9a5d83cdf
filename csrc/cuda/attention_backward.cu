#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_backward_keys.cuh"
#include "csrc/cuda/attention_backward_queries.cuh"
#include "csrc/cuda/attention_bias_gradients.h"
#include "csrc/ops/attention.h"

namespace dlplug {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
    const AttentionOptions& options) {
  using namespace cuda;
  const DeviceGuard guard(query.get_device_index());
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value), o = with_contiguous_rows(out),
               g = with_contiguous_rows(grad_out);
  auto args = args_of<AttentionBackward>(q, k, v, options);
  check_outputs(query, value, o, g, lse);
  for (const Tensor& x : {o, g, lse})
    STD_TORCH_CHECK(is_beside(x, query), "expected out, grad_out and lse on query's device");
  const int64_t heads = int64_t{args.batch} * args.heads, rows = heads * args.num_queries;
  const Tensor grad_query = empty_heads(query, args.width);
  const Tensor grad_key = empty_heads(key, args.width);
  const Tensor grad_value = empty_heads(value, args.value_width);
  const Prepared prepared = prepare(args, q, k, options);
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
  with_factor(query, options.allow_tf32, [&](auto factor) {
    with_width(args, [&](auto width) {
      using T = decltype(factor);
      using Shape = BackwardShape<T, width()>;
      const int64_t tiles = (int64_t{args.num_queries} + Shape::kOwned - 1) / Shape::kOwned;
      biases.emplace(args, query, needs_mask ? options.attn_mask : std::nullopt,
                     needs_slopes ? options.alibi_slopes : std::nullopt, tiles, Shape::kWarps);
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
