// Which calls the kernels for Hopper GPUs take, and which of them a call takes.
#pragma once

#include <type_traits>

#include "csrc/cuda/attention_hopper_tile.cuh"
#include "csrc/cuda/tensor_map.h"

namespace dlplug::cuda {

inline bool is_hopper([[maybe_unused]] const Tensor& x) {
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

inline void check_for_hopper(const Tensor& query, const Tensor& value,
                             const AttentionOptions& options) {
  STD_TORCH_CHECK(!options.attn_mask && !options.alibi_slopes && options.dropout_p == 0,
                  "the Hopper kernel has no mask, no ALiBi and no dropout");
  const int64_t width = query.size(3);
  STD_TORCH_CHECK(
      dtype_of(query) != Dtype::kFloat32 && (width == 64 || width == 128) && value.size(3) == width,
      "the Hopper kernel takes bfloat16 and float16, head dimensions 64 and 128");
  STD_TORCH_CHECK(is_on_gpu(query) && is_hopper(query),
                  "the GPU is no Hopper, of compute capability 9.0");
}

// body(a value of the type, 64 or 128 as a constant, whether there is a softcap).
template <class Body>
void with_hopper_kernel(const AttentionScores& args, const Tensor& query, Body body) {
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
  if (dtype_of(query) == Dtype::kBFloat16)
    with_width(__nv_bfloat16{});
  else
    with_width(__half{});
}

}  // namespace dlplug::cuda
