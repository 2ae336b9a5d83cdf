// What the CPU library offers. The schemas, checks and fallbacks stand in dlplug/ops/<op>.py.
#include "csrc/common/isa.h"
#include "csrc/common/tensor.h"
#include "csrc/cpu/stream_copy.h"
#include "csrc/ops/adamw.h"
#include "csrc/ops/add_layer_norm.h"
#include "csrc/ops/add_rms_norm.h"
#include "csrc/ops/attention.h"
#include "csrc/ops/compact_adamw.h"
#include "csrc/ops/layer_norm.h"
#include "csrc/ops/rms_norm.h"
#include "csrc/ops/total_norm.h"

namespace dlplug {
namespace {

int64_t best_cpu_isa() { return static_cast<int64_t>(best_isa()); }

// A negative level asks only; the answer is the level in use afterwards.
int64_t cpu_isa(int64_t level) {
  if (level >= 0) select_isa(static_cast<Isa>(level));
  return static_cast<int64_t>(current_isa());
}

void allow_cpu_bf16(bool is_allowed) { allow_bf16(is_allowed); }

}  // namespace
}  // namespace dlplug

STABLE_TORCH_LIBRARY_IMPL(dlplug, CPU, library) {
  library.impl("adamw_", TORCH_BOX(&dlplug::adamw_));
  library.impl("adamw_tables_", TORCH_BOX(&dlplug::adamw_tables_));
  library.impl("add_layer_norm_forward", TORCH_BOX(&dlplug::add_layer_norm_forward));
  library.impl("add_layer_norm_backward", TORCH_BOX(&dlplug::add_layer_norm_backward));
  library.impl("add_rms_norm_forward", TORCH_BOX(&dlplug::add_rms_norm_forward));
  library.impl("add_rms_norm_backward", TORCH_BOX(&dlplug::add_rms_norm_backward));
  library.impl("attention_forward", TORCH_BOX(&dlplug::schema::attention_forward));
  library.impl("attention_backward", TORCH_BOX(&dlplug::schema::attention_backward));
  library.impl("compact_adamw_tables_", TORCH_BOX(&dlplug::compact_adamw_tables_));
  library.impl("layer_norm_forward", TORCH_BOX(&dlplug::layer_norm_forward));
  library.impl("layer_norm_backward", TORCH_BOX(&dlplug::layer_norm_backward));
  library.impl("prefetch", TORCH_BOX(&dlplug::prefetch));
  library.impl("rms_norm_forward", TORCH_BOX(&dlplug::rms_norm_forward));
  library.impl("rms_norm_backward", TORCH_BOX(&dlplug::rms_norm_backward));
  library.impl("stream_copy", TORCH_BOX(&dlplug::stream_copy));
  library.impl("total_norm_table", TORCH_BOX(&dlplug::total_norm_table));
}

STABLE_TORCH_LIBRARY_IMPL(dlplug, CompositeExplicitAutograd, library) {
  library.impl("allow_cpu_bf16", TORCH_BOX(&dlplug::allow_cpu_bf16));
  library.impl("best_cpu_isa", TORCH_BOX(&dlplug::best_cpu_isa));
  library.impl("cpu_isa", TORCH_BOX(&dlplug::cpu_isa));
}
