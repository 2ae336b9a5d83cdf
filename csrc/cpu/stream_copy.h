// The fastest copy that a kernel can make: what the bandwidth of the norms is measured against.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

// Copies `source` to `target` past the caches, in as many threads as PyTorch has. Both contiguous
// float32 of one size on the CPU, `target` at a cache line, not overlapping.
void stream_copy(const Tensor& source, const Tensor& target);

}  // namespace dlplug
