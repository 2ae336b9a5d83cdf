// Attention's operators of the CPU with emulated tiles, as `dlplug_emulated_tiles`: its kernels for
// AVX-512, which are compiled for nothing else there, and a level that a test chooses.
#include <atomic>
#include <cstdlib>

#include "csrc/common/isa.h"
#include "csrc/common/tensor.h"
#include "csrc/cpu/kernels/attention.h"
#include "csrc/emulation/tiles.h"
#include "csrc/ops/attention.h"

namespace dlplug {
namespace {

std::atomic<Isa> level{Isa::kAmx};

}  // namespace

Isa best_isa() { return Isa::kAmx; }
Isa current_isa() { return level; }
bool has_bf16() { return level >= Isa::kAvx512; }

}  // namespace dlplug

#define MISSING(name, ...)                 \
  namespace dlplug::scalar {               \
  void name(__VA_ARGS__) { std::abort(); } \
  }                                        \
  namespace dlplug::avx2 {                 \
  void name(__VA_ARGS__) { std::abort(); } \
  }
#define MISSING_KERNEL(name, Args) MISSING(name, const Args&, int64_t, int64_t, char*, int64_t*)

MISSING_KERNEL(attention_forward, AttentionForward)
MISSING_KERNEL(attention_forward_few, AttentionForward)
MISSING_KERNEL(attention_backward, AttentionBackward)
MISSING(attention_combine, const AttentionForward&, int64_t, int64_t)
MISSING(attention_sum_shares, const AttentionBackward&, int64_t, int64_t)
MISSING(attention_sum_mask_shares, const float*, int64_t, int64_t, Dtype, void*, int64_t, int64_t)

STABLE_TORCH_LIBRARY_IMPL(dlplug_emulated_tiles, CPU, library) {
  library.impl("attention_forward", TORCH_BOX(&dlplug::schema::attention_forward));
  library.impl("attention_backward", TORCH_BOX(&dlplug::schema::attention_backward));
}

#define EXPORTED extern "C" [[gnu::visibility("default")]]

EXPORTED void use_level(int64_t isa) { dlplug::level = static_cast<dlplug::Isa>(isa); }
EXPORTED const char* take_fault() { return dlplug::emulated::take_fault(); }
EXPORTED int64_t num_products() { return dlplug::emulated::num_products(); }
EXPORTED int64_t num_configured() { return dlplug::emulated::num_configured(); }
