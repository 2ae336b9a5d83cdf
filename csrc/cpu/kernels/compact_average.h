// The average of a parameter of compact AdamW.
#pragma once

#include "csrc/cpu/kernels/adamw_values.h"
#include "csrc/cpu/kernels/compact_adamw.h"
#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// Moves the averages of a part of a row, from element i on, towards the parameters, which have just
// been stored.
template <class T, class Part>
DLPLUG_INLINE void move_average(const CompactAdamWRow& row, const AdamWConstants& c,
                                const T* params, int64_t i, Part part) {
  Float averages[part.kVectors], stored[part.kVectors];
  load(row.average + i, part, averages);
  load(params + i, part, stored);
  for (int k = 0; k < part.kVectors; ++k) averages[k] = lerp(c.average, averages[k], stored[k]);
  store(row.average + i, averages, part);
}

}  // namespace dlplug::DLPLUG_ISA
