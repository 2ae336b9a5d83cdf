#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_few.h"
#include "csrc/cuda/attention_forward.cuh"
#include "csrc/ops/attention.h"

namespace dlplug {

std::tuple<Tensor, Tensor> attention_forward(const Tensor& query, const Tensor& key,
                                             const Tensor& value,
                                             const std::optional<Tensor>& sinks,
                                             const AttentionOptions& options) {
  using namespace cuda;
  const DeviceGuard guard(query.get_device_index());
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value);
  auto args = args_of<AttentionForward>(q, k, v, options);
  const Tensor out = empty_heads(query, args.value_width);
  const Tensor lse = empty(query, {args.batch, args.heads, args.num_queries}, ScalarType::Double);
  if (lse.numel() == 0) return {out, lse};
  const Prepared prepared = prepare(args, q, k, options);
  args.out = rows_of_heads(out);
  args.lse = static_cast<double*>(lse.mutable_data_ptr());
  STD_TORCH_CHECK(!sinks.has_value() || is_beside(*sinks, query), "expected sinks beside query");
  args.sinks = per_head(sinks, query);
  if (has_few_queries(args)) {
    attend_few(args, query);
    return {out, lse};
  }
  with_factor(query, options.allow_tf32, [&](auto factor) {
    with_width(args, [&](auto width) {
      using T = decltype(factor);
      using Shape = ForwardShape<T, width()>;
      const int64_t heads = int64_t{args.batch} * args.heads;
      launch(attention_forward_tiles<T, width()>,
             blocks_of(heads, args.num_queries, Shape::kQueries), Shape::kThreads, Shape::kBytes,
             current_stream(query), args);
    });
  });
  return {out, lse};
}

}  // namespace dlplug
