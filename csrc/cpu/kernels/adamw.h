// What the AdamW kernel is given. It updates the elements [begin, end) of one parameter, so that
// the caller decides how the work is split; no element depends on another.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/common/types.h"

namespace dlplug {

// One parameter. The arrays have the same layout and do not overlap each other or another row.
struct AdamWRow {
  Dtype dtype;  // of all arrays but the average
  void* param;
  void* grad;            // only read, unless the options ask for unscaling
  void* exp_avg;         // m
  void* exp_avg_sq;      // v
  void* max_exp_avg_sq;  // the largest v so far, or null without AMSGrad
  float* average;        // of the parameter over the steps, or null
  int64_t numel;
  float negative_step;  // -lr / (1 - beta1^t)
  float inverse_root;   // 1 / sqrt(1 - beta2^t)
};

// The same for every parameter of a call.
struct AdamWOptions {
  float first_weight;   // 1 - beta1: weight of the gradient in m
  float second_weight;  // 1 - beta2: weight of the squared gradient in v
  float beta2;
  float decay;  // 1 - lr * weight_decay
  float eps;
  float grad_factor;     // of the gradient in the update; negative to maximise
  float inverse_scale;   // of the gradients, see below
  bool is_unscaling;     // multiply the gradients by inverse_scale and keep the product in `grad`
  float average_weight;  // of the new parameter in its average
};

}  // namespace dlplug

// Expects the processor to flush denormals; a state that decays towards 0 would otherwise slow each
// operation on it tenfold.
DLPLUG_DECLARE_KERNEL(adamw_update, const AdamWRow& row, const AdamWOptions& options, int64_t begin,
                      int64_t end)
