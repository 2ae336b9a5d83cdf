#include "csrc/cpu/kernels/norm_backward.h"
#include "csrc/cpu/kernels/norm_forward.h"

namespace dlplug::DLPLUG_ISA {

void add_rms_norm_forward(const NormForward& args, int64_t begin, int64_t end, float* scratch) {
  add_norm_forward<false>(args, begin, end, scratch);
}

void add_rms_norm_backward(const NormBackward& args, int64_t begin, int64_t end, float* scratch) {
  add_norm_backward<false>(args, begin, end, scratch);
}

}  // namespace dlplug::DLPLUG_ISA
