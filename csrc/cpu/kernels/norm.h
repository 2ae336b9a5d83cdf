// What the norm kernels are given. A kernel handles the rows [begin, end) of its arguments; the
// caller decides how rows are split among threads.
#pragma once

#include "csrc/common/isa.h"
#include "csrc/common/types.h"

namespace dlplug {

// Dropout of x: an element whose bits (csrc/common/philox.h) are < threshold becomes 0, the others
// are multiplied by `scale` = 1 / (1 - p). threshold = floor(p * 2^32 + 1/2); 0 keeps everything.
struct Dropout {
  uint64_t seed, threshold;
  float scale;
};

// y = normalised(h) * weight + bias with h = x, or h = dropout(x) + residual. All of shape
// (rows, width); strides count elements from one row to the next, outputs are contiguous.
struct NormForward {
  Dtype x_dtype;           // of x
  Dtype dtype;             // of residual, h and y: x_dtype, or float32
  bool is_streaming;       // write h and y past the caches; their rows are aligned to 64 bytes
  bool use_bf16_rounding;  // round to bfloat16 by AVX512_BF16
  const void* x;           // row stride x_stride
  const void* residual;    // row stride residual_stride; null in the ops without residual
  const float* weight;     // (width,)
  const float* bias;       // (width,); not read by RMSNorm
  void* h;                 // null in the ops without residual
  void* y;
  float* mean;  // (rows,); not written by RMSNorm
  float* rstd;  // (rows,) 1 / sqrt(var + eps)
  int64_t width, x_stride, residual_stride;
  float eps;
  Dropout dropout;
};

// Gradients of the above with respect to x, residual, and the sums for weight and bias.
struct NormBackward {
  Dtype x_dtype, dtype;
  bool is_streaming, use_bf16_rounding;
  const void* grad_y;   // of `dtype`, row stride grad_y_stride
  const void* grad_h;   // of `dtype`, row stride grad_h_stride: what else reaches h; or null
  const void* h;        // of `dtype`, row stride h_stride; x in the ops without residual
  const float* weight;  // (width,)
  const float* mean;    // (rows,); not read by RMSNorm
  const float* rstd;    // (rows,)
  void* grad_input;     // of `dtype`: gradient of h, which is that of residual
  void* grad_x;         // of `x_dtype`: gradient of x where it differs from that of h; or null
  float* grad_weight;   // (width,) to which these rows are added; or null
  float* grad_bias;     // (width,) likewise; null with grad_weight, and in RMSNorm
  int64_t width, grad_y_stride, grad_h_stride, h_stride;
  Dropout dropout;
};

// Rows that a forward kernel sweeps over together.
static constexpr int kMaxRows = 4;

// Floats of a row of scratch memory, and of all that a forward kernel needs, aligned to 64 bytes. A
// backward kernel needs 2 * width floats, all 0, where it has grad_weight; it leaves them so.
static constexpr int64_t scratch_row_floats(int64_t width) { return (width + 63) / 64 * 64; }
static constexpr int64_t norm_scratch_floats(int64_t width) {
  return scratch_row_floats(width) * kMaxRows;
}

}  // namespace dlplug

#define DLPLUG_DECLARE_NORM(name)                                                              \
  DLPLUG_DECLARE_KERNEL(name##_forward, const NormForward& args, int64_t begin, int64_t end,   \
                        float* scratch)                                                        \
  DLPLUG_DECLARE_KERNEL(name##_backward, const NormBackward& args, int64_t begin, int64_t end, \
                        float* scratch)

DLPLUG_DECLARE_NORM(layer_norm)
DLPLUG_DECLARE_NORM(rms_norm)
DLPLUG_DECLARE_NORM(add_layer_norm)
DLPLUG_DECLARE_NORM(add_rms_norm)
