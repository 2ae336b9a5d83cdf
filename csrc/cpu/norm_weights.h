// Weight and bias of the norms as float32, in which the kernels take them, and their gradients back
// in the dtypes of their tensors.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "csrc/common/tensor.h"
#include "csrc/cpu/kernels/convert.h"

namespace dlplug {

// Uninitialised floats that begin at a cache line.
class Floats {
 public:
  explicit Floats(int64_t count) : owner_(new float[count + kAlignment / sizeof(float)]) {
    auto address = reinterpret_cast<uintptr_t>(owner_.get());
    data_ = reinterpret_cast<float*>((address + kAlignment - 1) / kAlignment * kAlignment);
  }
  float* data() const { return data_; }

 private:
  static constexpr int64_t kAlignment = 64;  // bytes of a cache line
  std::unique_ptr<float[]> owner_;
  float* data_;
};

// A weight or bias as `width` floats: `value` in each where there is no tensor, the tensor's own
// memory where it is contiguous float32.
class FloatRow {
 public:
  FloatRow(const std::optional<Tensor>& tensor, int64_t width, float value) {
    if (!tensor.has_value()) {
      owned_.emplace(width);
      std::fill_n(owned_->data(), width, value);
      data_ = owned_->data();
      return;
    }
    STD_TORCH_CHECK(tensor->dim() == 1 && tensor->size(0) == width && tensor->is_cpu(),
                    "expected a weight or bias of shape (", width, ",) on the CPU");
    kept_ = as_contiguous(*tensor);
    data_ = static_cast<const float*>(kept_->const_data_ptr());
    const Dtype dtype = dtype_of(*tensor);
    if (dtype != Dtype::kFloat32) {
      owned_.emplace(width);
      DLPLUG_SELECT_KERNEL(widen_floats)(dtype, data_, owned_->data(), width);
      data_ = owned_->data();
    }
  }
  const float* data() const { return data_; }

 private:
  std::optional<Tensor> kept_;
  std::optional<Floats> owned_;
  const float* data_;
};

// Writes floats to a contiguous tensor in its dtype.
inline void copy_out(const float* from, const Tensor& to) {
  if (to.numel() == 0) return;  // it has no address, which memcpy wants even for nothing
  const Dtype dtype = dtype_of(to);
  if (dtype == Dtype::kFloat32)
    std::memcpy(to.mutable_data_ptr(), from, to.numel() * sizeof(float));
  else
    DLPLUG_SELECT_KERNEL(narrow_floats)(dtype, from, to.mutable_data_ptr(), to.numel());
}

// The dtype of the gradient of a weight or bias; float32 where there is no tensor.
inline ScalarType dtype_or_float(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? tensor->scalar_type() : ScalarType::Float;
}

}  // namespace dlplug
