// The few things that every torch-facing file needs: dtype codes, output tensors, rows of a tensor.
// Never included by a file of csrc/cpu/kernels, which no torch header may enter.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <initializer_list>
#include <optional>
#include <vector>

#include "csrc/common/types.h"

// Older headers of torch have it under another name.
#if !defined(STABLE_TORCH_ERROR_CODE_CHECK)
#define STABLE_TORCH_ERROR_CODE_CHECK(call) TORCH_ERROR_CODE_CHECK(call)
#endif

namespace dlplug {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The public functions have checked every argument and named the offender; this guards the kernels
// against direct calls of torch.ops.dlplug.
inline Dtype dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return Dtype::kFloat32;
    case ScalarType::BFloat16:
      return Dtype::kBFloat16;
    case ScalarType::Half:
      return Dtype::kFloat16;
    default:
      STD_TORCH_CHECK(false, "expected float32, bfloat16 or float16, got ",
                      torch::headeronly::toString(tensor.scalar_type()));
  }
}

// torch's own number for a dtype.
inline int32_t code_of(ScalarType dtype) {
  return torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
}

inline int64_t bytes_of(Dtype dtype) { return dtype == Dtype::kFloat32 ? 4 : 2; }

// glibc gives every block of more than 32 MiB back to the system at once, so a large output is made
// of new pages on each call, and touching them one by one takes longer than most kernels (7 GB/s
// were seen). In huge pages, where the system lends them on request, that is several times faster.
inline void ask_for_huge_pages(const Tensor& tensor) {
#if defined(MADV_HUGEPAGE)
  constexpr size_t kLarge = size_t{32} << 20, kPage = 4096;
  const size_t bytes = static_cast<size_t>(tensor.numel()) *
                       aoti_torch_dtype_element_size(code_of(tensor.scalar_type()));
  if (bytes <= kLarge) return;
  const auto begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) + kPage - 1;
  const auto length = (bytes - kPage) / kPage * kPage;
  // A wish: where it is not granted nothing changes.
  madvise(reinterpret_cast<void*>(begin / kPage * kPage), length, MADV_HUGEPAGE);
#else
  (void)tensor;
#endif
}

// Uninitialised and contiguous, on the device of `like`. Goes past the dispatcher, where looking an
// operator up by name costs more than the allocation.
inline Tensor empty(const Tensor& like, torch::headeronly::IntHeaderOnlyArrayRef shape,
                    ScalarType dtype) {
  constexpr size_t kMaxDim = 64;  // torch's own bound
  const size_t dim = shape.size();
  STD_TORCH_CHECK(dim <= kMaxDim, "at most ", kMaxDim, " axes are supported, got ", dim);
  int64_t strides[kMaxDim];
  int64_t stride = 1;
  for (size_t axis = dim; axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis] > 1 ? shape[axis] : 1;
  }
  int32_t device_type = 0, device_index = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &device_index));
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(dim), shape.data(),
                                                         strides, code_of(dtype), device_type,
                                                         device_index, &handle));
  Tensor tensor(handle);
  if (device_type == aoti_torch_device_type_cpu()) ask_for_huge_pages(tensor);
  return tensor;
}

inline Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType dtype) {
  return empty(like, torch::headeronly::IntHeaderOnlyArrayRef(shape.begin(), shape.size()), dtype);
}

inline Tensor empty_contiguous_like(const Tensor& like) {
  return empty(like, like.sizes(), like.scalar_type());
}

// A contiguous tensor itself, or a copy.
inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// A tensor seen as `count` rows over its last axis: row i begins at data + i * stride elements.
struct Rows {
  Tensor tensor;  // keeps the data alive; a contiguous copy where one row stride does not exist
  int64_t count;
  int64_t width;
  int64_t stride;
};

inline Rows rows_of(const Tensor& tensor) {
  const int64_t dim = tensor.dim();
  STD_TORCH_CHECK(dim >= 1, "expected at least one axis");
  const auto sizes = tensor.sizes();
  const auto strides = tensor.strides();
  const int64_t width = sizes[dim - 1];
  int64_t count = 1;
  int64_t stride = width;  // of the innermost leading axis longer than 1
  bool found = false;
  bool regular = width <= 1 || strides[dim - 1] == 1;
  for (int64_t axis = dim - 2; axis >= 0; --axis) {
    if (sizes[axis] != 1) {
      if (!found) stride = strides[axis];
      regular = regular && strides[axis] == stride * count;
      found = true;
    }
    count *= sizes[axis];
  }
  if (regular) return {tensor, count, width, stride};
  return {as_contiguous(tensor), count, width, width};
}

}  // namespace dlplug
