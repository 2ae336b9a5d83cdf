// What the CUDA library offers. The schemas, checks and fallbacks stand in dlplug/ops/<op>.py.
#include "csrc/cuda/attention_hopper.h"
#include "csrc/ops/adamw.h"
#include "csrc/ops/add_layer_norm.h"
#include "csrc/ops/add_rms_norm.h"
#include "csrc/ops/attention.h"
#include "csrc/ops/compact_adamw.h"
#include "csrc/ops/layer_norm.h"
#include "csrc/ops/rms_norm.h"
#include "csrc/ops/total_norm.h"

#if defined(DLPLUG_EMULATION)  // the same kernels on the CPU, for tests: csrc/emulation
STABLE_TORCH_LIBRARY_IMPL(dlplug_emulation, CPU, library)
#else
STABLE_TORCH_LIBRARY_IMPL(dlplug, CUDA, library)
#endif
{
  library.impl("adamw_", TORCH_BOX(&dlplug::adamw_));
  library.impl("adamw_device_table_", TORCH_BOX(&dlplug::adamw_device_table_));
  library.impl("add_layer_norm_forward", TORCH_BOX(&dlplug::add_layer_norm_forward));
  library.impl("add_layer_norm_backward", TORCH_BOX(&dlplug::add_layer_norm_backward));
  library.impl("add_rms_norm_forward", TORCH_BOX(&dlplug::add_rms_norm_forward));
  library.impl("add_rms_norm_backward", TORCH_BOX(&dlplug::add_rms_norm_backward));
  library.impl("compact_adamw_device_table_", TORCH_BOX(&dlplug::compact_adamw_device_table_));
  library.impl("attention_forward", TORCH_BOX(&dlplug::schema::attention_forward));
  library.impl("attention_backward", TORCH_BOX(&dlplug::schema::attention_backward));
#if defined(DLPLUG_HOPPER) || defined(DLPLUG_EMULATION)
  library.impl("attention_hopper_forward", TORCH_BOX(&dlplug::attention_hopper_forward));
  library.impl("attention_hopper_backward", TORCH_BOX(&dlplug::attention_hopper_backward));
#endif
  library.impl("layer_norm_forward", TORCH_BOX(&dlplug::layer_norm_forward));
  library.impl("layer_norm_backward", TORCH_BOX(&dlplug::layer_norm_backward));
  library.impl("rms_norm_forward", TORCH_BOX(&dlplug::rms_norm_forward));
  library.impl("rms_norm_backward", TORCH_BOX(&dlplug::rms_norm_backward));
  library.impl("total_norm_table", TORCH_BOX(&dlplug::total_norm_table));
  library.impl("write_table_", TORCH_BOX(&dlplug::write_table_));
}
