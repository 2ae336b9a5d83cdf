// The sum of squares of `count` elements of `dtype`, in float64, added in an order that depends on
// `count` alone.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/common/types.h"

DLPLUG_DECLARE_KERNEL(sum_of_squares, Dtype dtype, const void* values, int64_t count, double* sum)
