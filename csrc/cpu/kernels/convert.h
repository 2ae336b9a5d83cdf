// Between floats and the narrow types, for vectors such as a norm's weight.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/common/types.h"

// `narrow` holds `count` elements of `dtype`, which is not float32.
DLPLUG_DECLARE_KERNEL(widen_floats, Dtype dtype, const void* narrow, float* wide, int64_t count)
DLPLUG_DECLARE_KERNEL(narrow_floats, Dtype dtype, const float* wide, void* narrow, int64_t count)
