#include "csrc/cuda/attention_backward_call.h"
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
  BackwardCall call(grad_out, query, key, value, out, lse, options,
                    [](const Tensor& x) { return with_contiguous_rows(x); });
  AttentionBackward& args = call.args;
  std::optional<BiasGradients> biases;
  const cudaStream_t stream = current_stream(query);
  with_factor(query, options.allow_tf32, [&](auto factor) {
    with_width(args, [&](auto width) {
      using T = decltype(factor);
      using Shape = BackwardShape<T, width()>;
      const int64_t tiles = (int64_t{args.num_queries} + Shape::kOwned - 1) / Shape::kOwned;
      biases.emplace(args, query, needs_mask ? options.attn_mask : std::nullopt,
                     needs_slopes ? options.alibi_slopes : std::nullopt, tiles, Shape::kWarps);
      if (call.count_rows() > 0) {
        call.launch_rows<T>();
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
  return {call.grad_query, call.grad_key, call.grad_value, biases->mask, biases->slopes};
}

}  // namespace dlplug
