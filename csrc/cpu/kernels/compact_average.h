// The average of a parameter of compact AdamW.
#pragma once

#include "csrc/common/memory.h"
#include "csrc/cpu/kernels/adamw_values.h"
#include "csrc/cpu/kernels/compact_adamw.h"

namespace dlplug::DLPLUG_ISA {

// Moves the averages of kWidth elements, or n, from i on towards the parameters as they are stored.
template <class... N>
DLPLUG_INLINE void move_average(const CompactAdamWRow& row, const AdamWConstants& c, int64_t i,
                                Float param, N... n) {
  store(row.average + i, lerp(c.average, load(row.average + i, n...), param), n...);
}

}  // namespace dlplug::DLPLUG_ISA
