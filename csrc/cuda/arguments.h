// From an op's arguments to what kernels are given: types, random masks.
#pragma once

#include <cmath>

#include "csrc/cuda/launch.h"
#include "csrc/cuda/philox.cuh"
#include "csrc/cuda/vector.cuh"

namespace dlplug::cuda {

// body(a value of the type).
template <class Body>
void with_type(Dtype dtype, Body body) {
  switch (dtype) {
    case Dtype::kFloat32:
      return body(float{});
    case Dtype::kBFloat16:
      return body(__nv_bfloat16{});
    case Dtype::kFloat16:
      return body(__half{});
  }
}

// `seed` is one int64 on x's device; it may be absent when p is 0.
inline Dropout dropout_of(double p, const std::optional<Tensor>& seed, const Tensor& x) {
  if (p == 0) return {nullptr, 0, 1.0f};
  STD_TORCH_CHECK(seed.has_value() && is_beside(*seed, x) && seed->numel() == 1 &&
                      seed->scalar_type() == ScalarType::Long,
                  "dropout needs a seed: one int64 on x's device");
  const auto threshold = static_cast<uint64_t>(std::floor(p * 4294967296.0 + 0.5));
  return {static_cast<const int64_t*>(seed->const_data_ptr()), threshold,
          p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0f};
}

}  // namespace dlplug::cuda
