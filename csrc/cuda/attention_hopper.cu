#include "csrc/cuda/attention_hopper.h"
#include "csrc/cuda/attention_hopper_arguments.h"
#include "csrc/cuda/attention_hopper_forward.cuh"

namespace dlplug {

std::tuple<Tensor, Tensor> attention_hopper_forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& sinks,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset, bool allow_tf32) {
  using namespace cuda;
  const DeviceGuard guard(query.get_device_index());
  const AttentionOptions options{attn_mask, alibi_slopes, cu_seqlens, seed,
                                 dropout_p, scale,        softcap,    left,
                                 right,     query_offset, allow_tf32};
  if (query.numel() == 0 || key.numel() == 0)  // a tensor map has no axis of size 0
    return attention_forward(query, key, value, sinks, options);
  check_for_hopper(query, value, options);
  STD_TORCH_CHECK(!sinks || is_beside(*sinks, query), "expected sinks beside query");
  const Tensor q = mappable(query), k = mappable(key), v = mappable(value);
  auto args = args_of<AttentionHopper>(q, k, v, options);
  const Tensor out = empty_heads(query, args.width);
  const Tensor lse = empty(query, {args.batch, args.heads, args.num_queries}, ScalarType::Double);
  const Prepared prepared = prepare(args, query, key, options);
  args.out = rows_of_heads(out);
  args.lse = static_cast<double*>(lse.mutable_data_ptr());
  args.sinks = per_head(sinks, query);
  args.query_map = map_of(q, kHopperRows);
  args.key_map = map_of(k, kHopperRows);
  args.value_map = map_of(v, kHopperRows);
  with_hopper_kernel(args, query, [&](auto type, auto constant, auto is_capped) {
    constexpr int kWidth = decltype(constant)::value;
    launch(attention_hopper_tiles<decltype(type), kWidth, decltype(is_capped)::value>,
           blocks_of(int64_t{args.batch} * args.heads, args.num_queries, kHopperRows),
           kHopperThreads, HopperMemory<kWidth>::kBytes, current_stream(query), args);
  });
  return {out, lse};
}

}  // namespace dlplug
