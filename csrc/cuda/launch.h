// Torch's current stream, and the check after a launch.
#pragma once

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include "csrc/common/tensor.h"

namespace dlplug {

// The function lives in libtorch_cuda, which this library does not name as needed: so it opens
// beside a torch without CUDA too, where nothing calls it. torch has loaded it by the first launch.
// From torch 2.13 on, Stream::nativeHandle() does the same.
inline cudaStream_t current_stream(int32_t device_index) {
  using Getter = AOTITorchError (*)(int32_t, void**);
  static const Getter getter = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
    return library == nullptr
               ? nullptr
               : reinterpret_cast<Getter>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
  }();
  STD_TORCH_CHECK(getter != nullptr, "this torch has no CUDA");
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(getter(device_index, &stream));
  return static_cast<cudaStream_t>(stream);
}

inline void check_launch() {
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, "CUDA: ", cudaGetErrorString(error));
}

}  // namespace dlplug
