// Numbers of the host into memory of a GPU, as arguments of kernels: a launch copies its arguments,
// so nothing of the host has to outlive the call, nothing is pinned, nothing waits, and a CUDA
// graph keeps the numbers themselves.
#pragma once

#include <cstdint>

#include "csrc/cuda/launch.h"

namespace dlplug::device {

// In the order of the stream; `to` lies on its device.
void write_table(int64_t* to, const int64_t* numbers, int64_t count, cudaStream_t stream);

}  // namespace dlplug::device
