// The formula of AdamW, which is the CPU's (csrc/cpu/kernels/adamw_values.h), for one element. The
// files that include this are compiled without contraction and with denormals flushed: so their
// results have the CPU's bits.
#pragma once

#include <cuda_runtime.h>
#include <math.h>

#define DLPLUG_VECTOR_IS_FLOAT
#define DLPLUG_ISA device
#define DLPLUG_INLINE __device__ inline

namespace dlplug::device {

using Float = float;

DLPLUG_INLINE Float broadcast(float value) { return value; }
DLPLUG_INLINE Float fma(Float a, Float b, Float c) { return fmaf(a, b, c); }
DLPLUG_INLINE Float sqrt(Float a) { return sqrtf(a); }
// A NaN in either operand is kept, as in torch.maximum.
DLPLUG_INLINE Float max(Float a, Float b) { return a > b ? a : (a != a ? a : b); }

}  // namespace dlplug::device

#include "csrc/cpu/kernels/adamw_values.h"
