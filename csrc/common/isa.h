// Which compiled variant of a kernel runs: the best that the processor and the operating system
// support, or the one that was selected (DLPLUG_CPU_ISA, dlplug.ops.use_isa).
#pragma once

#include <stdint.h>

namespace dlplug {

enum class Isa : int64_t { kScalar = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3 };

// The best level of this machine: CPUID for the instructions, XCR0 for the registers that the
// operating system saves, and for AMX the process permission, which is asked for here.
Isa best_isa();

Isa current_isa();

// Returns false, and changes nothing, when this machine does not support `isa`.
bool select_isa(Isa isa);

// The variant for the current level; a kernel without its own AMX variant runs AVX-512 there.
template <class Function>
Function* select_kernel(Function* scalar, Function* avx2, Function* avx512,
                        Function* amx = nullptr) {
  switch (current_isa()) {
    case Isa::kAmx:
      if (amx != nullptr) return amx;
      [[fallthrough]];
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

// The same for kernels that also have an AMX variant (csrc/cpu/kernels/*_amx.cpp is compiled for
// it alone; the file defines `name` in namespace dlplug::amx).
#if defined(__x86_64__)
#define DLPLUG_DECLARE_AMX_KERNEL(name, ...) \
  namespace dlplug::amx {                    \
  void name(__VA_ARGS__);                    \
  }
#define DLPLUG_SELECT_KERNEL_OR_AMX(name)                                                          \
  ::dlplug::select_kernel(&::dlplug::scalar::name, &::dlplug::avx2::name, &::dlplug::avx512::name, \
                          &::dlplug::amx::name)
#else
#define DLPLUG_DECLARE_AMX_KERNEL(name, ...)
#define DLPLUG_SELECT_KERNEL_OR_AMX(name) (&::dlplug::scalar::name)
#endif
