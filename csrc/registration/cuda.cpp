// What the CUDA library offers. The schemas, checks and fallbacks stand in dlplug/ops/<op>.py.
#include "csrc/ops/layer_norm.h"

STABLE_TORCH_LIBRARY_IMPL(dlplug, CUDA, library) {
  library.impl("layer_norm_forward", TORCH_BOX(&dlplug::layer_norm_forward));
  library.impl("layer_norm_backward", TORCH_BOX(&dlplug::layer_norm_backward));
}
