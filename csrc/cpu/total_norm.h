// The sum of squares of several tensors, in parts that follow from the tensors alone.
#pragma once

#include <stdint.h>

#include <vector>

#include "csrc/common/types.h"

namespace dlplug {

class SquaresOfTensors {
 public:
  // A contiguous tensor, or one whose elements fill the memory from `address` on in another order.
  void add(int64_t address, int64_t numel, Dtype dtype);

  // The root of the sum over all elements, in float64; the same bits for any number of threads.
  double norm() const;

 private:
  struct Chunk {
    const void* values;
    int64_t count;
    Dtype dtype;
  };

  std::vector<Chunk> chunks_;
  int64_t elements_ = 0;
};

}  // namespace dlplug
