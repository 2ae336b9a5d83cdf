// What csrc/cuda/tensor_map.h needs of the driver, for the emulated kernels: the description of a
// tensor by which the tensor memory accelerator copies boxes of it.
#pragma once

#include <cstdint>

using CUresult = int;
using cuuint32_t = uint32_t;
using cuuint64_t = uint64_t;
constexpr CUresult CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1;
enum CUtensorMapDataType {
  CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9
};
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE };
enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_128B = 3 };
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3 };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE };

struct alignas(64) CUtensorMap {
  const unsigned char* data;
  uint32_t rank, swizzle;
  uint64_t dim[5], stride[5];  // elements; bytes, that of the first axis too
  uint32_t box[5];
};
static_assert(sizeof(CUtensorMap) == 128);

// The conditions are those of the driver's documentation, for 16-bit elements side by side.
inline CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, cuuint32_t rank,
                                       void* data, const cuuint64_t* dim, const cuuint64_t* stride,
                                       const cuuint32_t* box, const cuuint32_t* element_stride,
                                       CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  constexpr uint64_t kElement = 2, kMaxDim = uint64_t{1} << 32, kMaxStride = uint64_t{1} << 40;
  const bool is_swizzled = swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
  if (reinterpret_cast<uintptr_t>(map) % 64 != 0 || reinterpret_cast<uintptr_t>(data) % 16 != 0 ||
      rank < 1 || rank > 5 || box[0] * kElement % 16 != 0 ||
      (is_swizzled && box[0] * kElement > 128))
    return CUDA_ERROR_INVALID_VALUE;
  *map = {
      static_cast<const unsigned char*>(data), rank, static_cast<uint32_t>(swizzle), {}, {}, {}};
  for (cuuint32_t i = 0; i < rank; ++i) {
    map->dim[i] = dim[i];
    map->stride[i] = i == 0 ? kElement : stride[i - 1];
    map->box[i] = box[i];
    if (dim[i] == 0 || dim[i] > kMaxDim || box[i] == 0 || box[i] > 256 || element_stride[i] != 1)
      return CUDA_ERROR_INVALID_VALUE;
    if (i > 0 && (stride[i - 1] % 16 != 0 || stride[i - 1] >= kMaxStride))
      return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
