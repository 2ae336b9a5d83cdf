#include "csrc/cuda/attention_backward_call.h"
#include "csrc/cuda/attention_hopper.h"
#include "csrc/cuda/attention_hopper_arguments.h"
#include "csrc/cuda/attention_hopper_backward.cuh"

namespace dlplug {
namespace cuda {
namespace {

template <class T, int kWidth, bool kOwnsKeys, bool kIsCapped>
void launch_pass(const BackwardCall& call) {
  using Memory = HopperBackwardMemory<kWidth, kOwnsKeys>;
  const AttentionBackward& args = call.args;
  const auto of_keys = [&](int rows) {
    return std::pair(map_of(call.key, rows), map_of(call.value, rows));
  };
  const auto of_queries = [&](int rows) {
    return std::pair(map_of(call.query, rows), map_of(call.grad_out, rows));
  };
  const auto [one, other] = kOwnsKeys ? of_keys(kHopperRows) : of_queries(kHopperRows);
  const auto [first, second] = kOwnsKeys ? of_queries(Memory::kOther) : of_keys(Memory::kOther);
  const HopperBackward given{args, one, other, first, second};
  const int heads = kOwnsKeys ? args.kv_heads : args.heads;
  launch(attention_hopper_gradients<T, kWidth, kOwnsKeys, kIsCapped>,
         blocks_of(int64_t{args.batch} * heads, kOwnsKeys ? args.num_keys : args.num_queries,
                   kHopperRows),
         kHopperThreads, Memory::kBytes, current_stream(call.query), given);
}

}  // namespace
}  // namespace cuda

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_hopper_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& lse, bool needs_mask, bool needs_slopes,
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
    return attention_backward(grad_out, query, key, value, out, lse, needs_mask, needs_slopes,
                              options);
  check_for_hopper(query, value, options);
  const BackwardCall call(grad_out, query, key, value, out, lse, options,
                          [](const Tensor& x) { return mappable(x); });
  with_hopper_kernel(call.args, query, [&](auto type, auto constant, auto is_capped) {
    using T = decltype(type);
    constexpr int kWidth = decltype(constant)::value;
    constexpr bool kIsCapped = decltype(is_capped)::value;
    call.template launch_rows<T>();
    launch_pass<T, kWidth, false, kIsCapped>(call);
    launch_pass<T, kWidth, true, kIsCapped>(call);
  });
  // There is no mask, and are no slopes.
  const auto none = [&] { return empty(query, {0}, ScalarType::Float); };
  return {call.grad_query, call.grad_key, call.grad_value, none(), none()};
}

}  // namespace dlplug
