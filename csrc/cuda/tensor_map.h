// The tensor maps by which copies into shared memory find boxes of attention's tensors.
#pragma once

#include <cuda.h>

#include "csrc/cuda/attention_arguments.h"

namespace dlplug::cuda {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

#if defined(DLPLUG_EMULATION)
inline EncodeTiled encode_tiled() { return &cuTensorMapEncodeTiled; }
#else
// From the driver at run time: a library that named it would not open without a driver.
inline EncodeTiled encode_tiled() {
  static const EncodeTiled found = [] {
    [[maybe_unused]] constexpr unsigned kVersion = 12000;  // of the function's form
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    constexpr char kName[] = "cuTensorMapEncodeTiled";
#if CUDART_VERSION >= 12050
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion(kName, &function, kVersion, cudaEnableDefault, &result);
#else
    const cudaError_t error = cudaGetDriverEntryPoint(kName, &function, cudaEnableDefault, &result);
#endif
    const bool is_there = error == cudaSuccess && result == cudaDriverEntryPointSuccess;
    return is_there ? reinterpret_cast<EncodeTiled>(function) : nullptr;
  }();
  STD_TORCH_CHECK(found != nullptr, "this NVIDIA driver has no cuTensorMapEncodeTiled");
  return found;
}
#endif

constexpr int kBoxColumns = 64;  // 128 bytes: as far as the swizzle reaches

// A tensor (batch, heads, rows, width) of which a map can be made, copied if need be: multiples of
// 16 bytes, and steps that are not 0.
inline Tensor mappable(const Tensor& x) {
  bool is_fitting = x.stride(3) == 1 && rows_of_heads(x).is_regular;
  for (int axis = 0; axis < 3; ++axis) is_fitting &= x.size(axis) == 1 || x.stride(axis) > 0;
  if (is_fitting) return x;
  // What is contiguous, at an odd address for example, `contiguous` gives back as it is.
  return x.is_contiguous() ? torch::stable::clone(x) : torch::stable::contiguous(x);
}

// Boxes of `rows` rows of one head and kBoxColumns of their 16-bit elements, swizzled.
inline CUtensorMap map_of(const Tensor& x, int rows) {
  const cuuint64_t dim[] = {static_cast<cuuint64_t>(x.size(3)), static_cast<cuuint64_t>(x.size(2)),
                            static_cast<cuuint64_t>(x.size(1)), static_cast<cuuint64_t>(x.size(0))};
  // An axis of one element may have any stride, and the driver asks for multiples of 16 bytes.
  const auto step = [&](int axis) {
    int64_t stride = x.stride(axis);
    if (x.size(axis) == 1) {
      stride = 1;
      for (int inner = axis + 1; inner < 4; ++inner) stride *= x.size(inner);
    }
    return static_cast<cuuint64_t>(stride) * 2;
  };
  const cuuint64_t stride[] = {step(2), step(1), step(0)};
  const cuuint32_t box[] = {kBoxColumns, static_cast<cuuint32_t>(rows), 1, 1};
  const cuuint32_t element_stride[] = {1, 1, 1, 1};
  CUtensorMap map{};
  const CUresult error =
      encode_tiled()(&map,
                     dtype_of(x) == Dtype::kBFloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                     : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                     4, const_cast<void*>(x.const_data_ptr()), dim, stride, box, element_stride,
                     CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  STD_TORCH_CHECK(error == CUDA_SUCCESS, "CUDA: no tensor map of this tensor, error ",
                  static_cast<int>(error));
  return map;
}

}  // namespace dlplug::cuda
