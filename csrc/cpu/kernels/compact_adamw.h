// What the kernel of AdamW with compact states is given. It updates the elements [begin, end) of
// one parameter; `begin` is a multiple of kCompactUnit, and so is `end` unless it is the last.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/cpu/kernels/adamw.h"

namespace dlplug {

constexpr int64_t kCompactUnit = 256;  // elements; a block of the 8-bit states

// How a parameter and its states lie in memory; numbers as in dlplug/ops/fallback/compact_adamw.py.
enum class Storage : int32_t { kFloat32States, kRemainder, kStochastic, kKahan, k8Bit };

struct CompactAdamWRow {
  Storage storage;
  Dtype dtype;  // of param and grad
  void* param;
  void* grad;               // only read, unless the options ask for unscaling
  void* exp_avg;            // m: float, bfloat16 or int8
  void* exp_avg_sq;         // v: float, bfloat16 or uint8
  void* extra;              // int16 remainder, or bfloat16 compensation; else null
  float* exp_avg_scale;     // largest |m| of each block, with 8 bits; else null
  float* exp_avg_sq_scale;  // largest v of each block
  float* average;           // of the parameter over the steps, or null
  int64_t numel;
  float negative_step;  // as in AdamWRow
  float inverse_root;
  uint64_t seed;  // of the random bits
  int64_t index;  // of the parameter, which makes its random bits its own
};

}  // namespace dlplug

DLPLUG_DECLARE_KERNEL(compact_adamw_update, const CompactAdamWRow& row, const AdamWOptions& options,
                      int64_t begin, int64_t end)
