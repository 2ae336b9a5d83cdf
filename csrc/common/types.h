// Element types as they lie in memory. Plain data without inline functions, so that files compiled
// for different instruction sets can share it.
#pragma once

#include <stdint.h>

namespace dlplug {

struct BFloat16 {
  uint16_t bits;
};

struct Half {
  uint16_t bits;
};

enum class Dtype : int32_t { kFloat32, kBFloat16, kFloat16 };

// Of attention's scores: a float mask is added, a bool one hides.
enum class MaskType : int32_t { kNone, kBool, kFloat32, kBFloat16, kFloat16 };

}  // namespace dlplug
