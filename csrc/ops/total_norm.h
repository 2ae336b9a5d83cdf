// Euclidean norm of all elements of several tensors together, as clipping by norm needs it:
//   sqrt(sum over tensors, sum over elements, x^2), squares and sums in float64.
//
// `table` is int64, on the device of the tensors, of three columns of one number per tensor:
//   addresses, numbers of elements, dtypes (csrc/common/types.h); on a GPU a counter comes before
//   them, 0, which is 0 again afterwards. Nothing can be checked here: the caller has checked, and
//   keeps the tensors alive. Elements fill the memory from the address on, in any order.
// Returns a float64 tensor of shape () on that device. Deterministic for any number of threads.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

Tensor total_norm_table(const Tensor& table);

}  // namespace dlplug
