// Which compiled variant of a kernel runs: the best that the processor and the operating system
// support, or the one that was selected (DLPLUG_CPU_ISA, dlplug.ops.use_isa).
#pragma once

#include <stdint.h>

namespace dlplug {

// AMX is AVX-512 (with AVX512_BF16) whose kernels of attention multiply bfloat16 by tiles.
enum class Isa : int64_t { kScalar = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3 };

// The best level of this machine: CPUID for the instructions, XCR0 for the registers that the
// operating system saves, and whether it saves those that it saves only of who asks.
Isa best_isa();

// The level in use. The first that is AMX asks for the tiles; where they are refused it is AVX-512.
Isa current_isa();

// Whether the processor has AVX512_BF16 beside AVX-512, the latter is in use, and it is allowed.
bool has_bf16();

// Returns false, and changes nothing, when this machine does not support `isa`.
bool select_isa(Isa isa);

// For tests: what is not allowed is as if the processor did not have it.
void allow_bf16(bool is_allowed);

// The variant for the current level.
template <class Function>
Function* select_kernel(Function* scalar, Function* avx2, Function* avx512) {
  switch (current_isa()) {
    case Isa::kAmx:
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    default:
      return scalar;
  }
}

}  // namespace dlplug

// Declares `void name(...)` in the namespace of every instruction set that is compiled.
#if defined(__x86_64__)
#define DLPLUG_DECLARE_KERNEL(name, ...) \
  namespace dlplug::scalar {             \
  void name(__VA_ARGS__);                \
  }                                      \
  namespace dlplug::avx2 {               \
  void name(__VA_ARGS__);                \
  }                                      \
  namespace dlplug::avx512 {             \
  void name(__VA_ARGS__);                \
  }
#define DLPLUG_SELECT_KERNEL(name) \
  ::dlplug::select_kernel(&::dlplug::scalar::name, &::dlplug::avx2::name, &::dlplug::avx512::name)
#else
#define DLPLUG_DECLARE_KERNEL(name, ...) \
  namespace dlplug::scalar {             \
  void name(__VA_ARGS__);                \
  }
#define DLPLUG_SELECT_KERNEL(name) (&::dlplug::scalar::name)
#endif
