#include "csrc/cpu/kernels/norm_backward.h"
#include "csrc/cpu/kernels/norm_forward.h"

namespace dlplug::DLPLUG_ISA {

void layer_norm_forward(const NormForward& args, int64_t begin, int64_t end, float* scratch) {
  norm_forward<true>(args, begin, end, scratch);
}

void layer_norm_backward(const NormBackward& args, int64_t begin, int64_t end, float* scratch) {
  norm_backward<true>(args, begin, end, scratch);
}

}  // namespace dlplug::DLPLUG_ISA
