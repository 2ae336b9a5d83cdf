// What a launcher needs of torch and of CUDA: device guard, current stream, a checked launch.
#pragma once

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <utility>

#if defined(DLPLUG_EMULATION)
#include <xmmintrin.h>
#endif

#include "csrc/common/tensor.h"

namespace dlplug {

#if defined(DLPLUG_EMULATION)  // csrc/emulation: the kernels run on the CPU, on its tensors

inline bool is_on_gpu(const Tensor& tensor) { return tensor.is_cpu(); }
inline cudaStream_t current_stream(const Tensor&) { return nullptr; }
struct DeviceGuard {
  explicit DeviceGuard(int32_t) {}
};
// Of what is compiled with --ftz=true, while it lives.
class FlushedDenormals {
 public:
  FlushedDenormals() : mode_(_mm_getcsr()) { _mm_setcsr(mode_ | 0x8040u); }
  ~FlushedDenormals() { _mm_setcsr(mode_); }

 private:
  unsigned mode_;
};

#else

using torch::stable::accelerator::DeviceGuard;

inline bool is_on_gpu(const Tensor& tensor) { return tensor.is_cuda(); }
struct FlushedDenormals {
  FlushedDenormals() {}  // the compiler's flag does it
};

// The function lives in libtorch_cuda, which this library does not name as needed: so it opens
// beside a torch without CUDA too, where nothing calls it. torch has loaded it by the first launch.
// From torch 2.13 on, Stream::nativeHandle() does the same.
inline cudaStream_t current_stream(const Tensor& tensor) {
  using Getter = AOTITorchError (*)(int32_t, void**);
  static const Getter getter = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
    return library == nullptr
               ? nullptr
               : reinterpret_cast<Getter>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
  }();
  STD_TORCH_CHECK(getter != nullptr, "this torch has no CUDA");
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(getter(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

#endif

inline void check(cudaError_t error) {
  STD_TORCH_CHECK(error == cudaSuccess, "CUDA: ", cudaGetErrorString(error));
}

inline bool is_beside(const Tensor& tensor, const Tensor& x) {
  return is_on_gpu(tensor) && tensor.get_device_index() == x.get_device_index();
}

// Of a block, in bytes: what is not dynamic, at most, and what is left for that unasked.
constexpr size_t kStaticSharedMemory = 1024;
constexpr size_t kPlainSharedMemory = (48 << 10) - kStaticSharedMemory;

// kernel<<<grid, block, shared, stream>>>(arguments...) with clusters of this many blocks, checked.
template <class... Parameters, class... Arguments>
void launch_clusters(unsigned cluster, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                     size_t shared, cudaStream_t stream, Arguments&&... arguments) {
  if (shared > kPlainSharedMemory)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)));
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  config.attrs = &attribute;
  config.numAttrs = cluster > 1 ? 1 : 0;  // older devices know no clusters
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
            cudaStream_t stream, Arguments&&... arguments) {
  launch_clusters(1, kernel, grid, block, shared, stream, std::forward<Arguments>(arguments)...);
}

}  // namespace dlplug
