#include "csrc/cuda/attention_hopper.h"
#include "csrc/cuda/attention_hopper_forward.cuh"
#include "csrc/cuda/tensor_map.h"

namespace dlplug {
namespace cuda {
namespace {

bool is_hopper([[maybe_unused]] const Tensor& x) {
#if defined(DLPLUG_EMULATION)
  return true;
#else
  int major = 0, minor = 0;
  const int device = x.get_device_index();
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return major == 9 && minor == 0;
#endif
}

// body(a value of the type, whether there is a softcap) with 64 or 128 as a constant.
template <class Body>
void with_kernel(const AttentionScores& args, Dtype dtype, Body body) {
  const auto with_cap = [&](auto type, auto width) {
    if (args.softcap == 0)
      body(type, width, std::false_type{});
    else
      body(type, width, std::true_type{});
  };
  const auto with_width = [&](auto type) {
    if (args.width == 64)
      with_cap(type, std::integral_constant<int, 64>{});
    else
      with_cap(type, std::integral_constant<int, 128>{});
  };
  if (dtype == Dtype::kBFloat16)
    with_width(__nv_bfloat16{});
  else
    with_width(__half{});
}

}  // namespace
}  // namespace cuda

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
  STD_TORCH_CHECK(!attn_mask && !alibi_slopes && dropout_p == 0,
                  "the Hopper kernel has no mask, no ALiBi and no dropout");
  STD_TORCH_CHECK(!sinks || is_beside(*sinks, query), "expected sinks beside query");
  const Dtype dtype = dtype_of(query);
  const int64_t width = query.size(3);
  STD_TORCH_CHECK(
      dtype != Dtype::kFloat32 && (width == 64 || width == 128) && value.size(3) == width,
      "the Hopper kernel takes bfloat16 and float16, head dimensions 64 and 128");
  const Tensor q = mappable(query), k = mappable(key), v = mappable(value);
  auto args = args_of<AttentionHopper>(q, k, v, options);
  STD_TORCH_CHECK(is_hopper(query), "the GPU is no Hopper, of compute capability 9.0");
  const Tensor out = empty_heads(query, width);
  const Tensor lse = empty(query, {args.batch, args.heads, args.num_queries}, ScalarType::Double);
  const Prepared prepared = prepare(args, query, key, options);
  args.out = rows_of_heads(out);
  args.lse = static_cast<double*>(lse.mutable_data_ptr());
  args.sinks = per_head(sinks, query);
  args.query_map = map_of(q, kHopperRows);
  args.key_map = map_of(k, kHopperRows);
  args.value_map = map_of(v, kHopperRows);
  with_kernel(args, dtype, [&](auto type, auto constant, auto is_capped) {
    constexpr int kWidth = decltype(constant)::value;
    launch(attention_hopper_tiles<decltype(type), kWidth, decltype(is_capped)::value>,
           blocks_of(int64_t{args.batch} * args.heads, args.num_queries, kHopperRows),
           kHopperThreads, HopperMemory<kWidth>::kBytes, current_stream(query), args);
  });
  return {out, lse};
}

}  // namespace dlplug
