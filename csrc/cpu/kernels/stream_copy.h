// Copies `count` floats past the caches: whole cache lines of kLineBytes, to where one begins.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/common/types.h"

namespace dlplug {

static constexpr int64_t kLineBytes = 64;

}  // namespace dlplug

DLPLUG_DECLARE_KERNEL(copy_streaming, const float* from, float* to, int64_t count)
