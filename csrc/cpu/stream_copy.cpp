#include "csrc/cpu/stream_copy.h"

#include "csrc/cpu/kernels/stream_copy.h"

namespace dlplug {

void stream_copy(const Tensor& source, const Tensor& target) {
  for (const Tensor* tensor : {&source, &target})
    STD_TORCH_CHECK(tensor->scalar_type() == ScalarType::Float && tensor->is_contiguous(),
                    "expected contiguous float32");
  STD_TORCH_CHECK(source.numel() == target.numel(), "expected two tensors of one size");
  const auto* from = static_cast<const float*>(source.const_data_ptr());
  auto* to = static_cast<float*>(target.mutable_data_ptr());
  STD_TORCH_CHECK(reinterpret_cast<uintptr_t>(to) % kLineBytes == 0,
                  "expected a target that begins at a cache line");
  // In lines, so that every thread begins at one.
  const int64_t count = source.numel(), line = kLineBytes / sizeof(float);
  constexpr int64_t kGrain = 1024;
  auto* kernel = DLPLUG_SELECT_KERNEL(copy_streaming);
  torch::stable::parallel_for(0, count / line, kGrain, [&](int64_t begin, int64_t end) {
    kernel(from + begin * line, to + begin * line, (end - begin) * line);
  });
  for (int64_t i = count / line * line; i < count; ++i) to[i] = from[i];
}

}  // namespace dlplug
