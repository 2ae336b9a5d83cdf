// From the dtypes and flags in a kernel's arguments to types: body(float{}), body(Flag<true>{}).
#pragma once

#include "csrc/cpu/kernels/native_bfloat16.h"

namespace dlplug::DLPLUG_ISA {

template <bool kValue>
struct Flag {
  static constexpr bool value = kValue;
};

template <class Body>
DLPLUG_INLINE void with_flag(bool flag, Body body) {
  if (flag)
    body(Flag<true>{});
  else
    body(Flag<false>{});
}

// `use_bf16_rounding` as in NormForward.
template <class Body>
DLPLUG_INLINE void with_dtype(Dtype dtype, [[maybe_unused]] bool use_bf16_rounding, Body body) {
  switch (dtype) {
    case Dtype::kFloat32:
      return body(float{});
    case Dtype::kBFloat16:
#if defined(__AVX512BW__)
      if (use_bf16_rounding) return body(NativeBFloat16{});
#endif
      return body(BFloat16{});
    case Dtype::kFloat16:
      return body(Half{});
  }
}

// `wide` is `narrow`, or float32 (a residual stream that is kept in float32).
template <class Body>
DLPLUG_INLINE void with_dtypes(Dtype narrow, Dtype wide, bool use_bf16_rounding, Body body) {
  if (wide == Dtype::kFloat32)
    with_dtype(narrow, false, [&](auto x) __attribute__((always_inline)) { body(x, float{}); });
  else
    with_dtype(narrow, use_bf16_rounding, [&](auto x) __attribute__((always_inline)) {
      if constexpr (!__is_same(decltype(x), float)) body(x, x);
    });
}

}  // namespace dlplug::DLPLUG_ISA
