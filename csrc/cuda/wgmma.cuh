// Products of matrices by a warpgroup: four warps, together, of 64 rows (sm_90a). They go on while
// the threads do something else. csrc/emulation/wgmma.h has the same for the CPU.
//
// A thread's part of 64 x 8 sums is that of 16 x 8 in mma.cuh, warp w of the four having the rows
// from 16 * w on; likewise of the left matrix in registers.
//
// Order: fence, products, commit; wait<n> until all but the latest n committed groups are there.
// Until then neither what they read nor their sums may be touched.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/vector.cuh"

#if defined(DLPLUG_EMULATION)
#include "csrc/emulation/wgmma.h"
#else
#include "csrc/cuda/mma.cuh"
#endif

namespace dlplug::warpgroup {

constexpr int kThreads = 128;

// Of a matrix in shared memory of which 128 bytes (64 elements) lie side by side, swizzled over
// groups of 8 such rows that begin at multiples of 1024.
//   stride   bytes from 8 rows to the next 8
//   leading  where the left matrix's rows or the right one's columns lie side by side: bytes from
//            64 of them to the next 64; else not used
__device__ inline uint64_t descriptor(uint32_t start, uint32_t leading, uint32_t stride) {
  constexpr uint64_t kSwizzleOver128Bytes = uint64_t{1} << 62;
  return kSwizzleOver128Bytes | uint64_t{stride >> 4} << 32 | uint64_t{leading >> 4} << 16 |
         (start & 0x3ffff) >> 4;
}

#if !defined(DLPLUG_EMULATION)

// Before the first product, and after anything else has touched registers that products use.
__device__ inline void fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// What is read of these registers later is read after this line, what was written before: to the
// compiler they are changed here.
template <int kCount>
__device__ inline void keep(float (&registers)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < 4 * kCount; ++i) asm volatile("" : "+f"(registers[i / 4][i % 4])::"memory");
}
template <int kCount>
__device__ inline void keep(uint32_t (&registers)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < 4 * kCount; ++i) asm volatile("" : "+r"(registers[i / 4][i % 4])::"memory");
}

// The registers are those of the products that are over then.
template <int kPending, class Registers>
__device__ inline void wait(Registers& registers) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  keep(registers);
}

// A warpgroup's threads have as many registers from here on; those that it gives others can take.
template <int kCount>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

#define DLPLUG_SUMS(how, n) how(sums[n][0]), how(sums[n][1]), how(sums[n][2]), how(sums[n][3])
#define DLPLUG_SUMS_64(how)                                                           \
  DLPLUG_SUMS(how, 0), DLPLUG_SUMS(how, 1), DLPLUG_SUMS(how, 2), DLPLUG_SUMS(how, 3), \
      DLPLUG_SUMS(how, 4), DLPLUG_SUMS(how, 5), DLPLUG_SUMS(how, 6), DLPLUG_SUMS(how, 7)
#define DLPLUG_SUMS_128(how)                                                                  \
  DLPLUG_SUMS_64(how), DLPLUG_SUMS(how, 8), DLPLUG_SUMS(how, 9), DLPLUG_SUMS(how, 10),        \
      DLPLUG_SUMS(how, 11), DLPLUG_SUMS(how, 12), DLPLUG_SUMS(how, 13), DLPLUG_SUMS(how, 14), \
      DLPLUG_SUMS(how, 15)

#define DLPLUG_MULTIPLY_SHARED_64(type, how, adds)                                       \
  asm volatile(                                                                          \
      "{\n"                                                                              \
      ".reg .pred p;\n"                                                                  \
      "setp.ne.b32 p, %34, 0;\n"                                                         \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type                        \
      " {"                                                                               \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, " \
      "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"             \
      "}, %32, %33, p, 1, 1, 0, 0;\n"                                                    \
      "}"                                                                                \
      : DLPLUG_SUMS_64(how)                                                              \
      : "l"(left), "l"(right), "r"(adds)                                                 \
      : "memory")

#define DLPLUG_MULTIPLY_SHARED_128(type, how, adds)                                      \
  asm volatile(                                                                          \
      "{\n"                                                                              \
      ".reg .pred p;\n"                                                                  \
      "setp.ne.b32 p, %66, 0;\n"                                                         \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                       \
      " {"                                                                               \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, " \
      "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, " \
      "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
      "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"             \
      "}, %64, %65, p, 1, 1, 0, 0;\n"                                                    \
      "}"                                                                                \
      : DLPLUG_SUMS_128(how)                                                             \
      : "l"(left), "l"(right), "r"(adds)                                                 \
      : "memory")

#define DLPLUG_MULTIPLY_REGISTERS_64(type)                                               \
  asm volatile(                                                                          \
      "{\n"                                                                              \
      ".reg .pred p;\n"                                                                  \
      "setp.ne.b32 p, %37, 0;\n"                                                         \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type                        \
      " {"                                                                               \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, " \
      "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"             \
      "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n"                                      \
      "}"                                                                                \
      : DLPLUG_SUMS_64("+f")                                                             \
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(1)       \
      : "memory")

#define DLPLUG_MULTIPLY_REGISTERS_128(type)                                              \
  asm volatile(                                                                          \
      "{\n"                                                                              \
      ".reg .pred p;\n"                                                                  \
      "setp.ne.b32 p, %69, 0;\n"                                                         \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                       \
      " {"                                                                               \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, " \
      "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, " \
      "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
      "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"             \
      "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n"                                      \
      "}"                                                                                \
      : DLPLUG_SUMS_128("+f")                                                            \
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(1)       \
      : "memory")

// sums = left * right^T, or += if it adds: rows of 16 elements that lie side by side, both. What
// does not add only writes its sums: no registers are kept for a value that they had before.
template <class T>
__device__ inline void multiply_shared(float (&sums)[8][4], uint64_t left, uint64_t right,
                                       bool adds) {
  constexpr bool kIsBFloat16 = std::is_same_v<T, __nv_bfloat16>;
  if (adds) {
    if constexpr (kIsBFloat16)
      DLPLUG_MULTIPLY_SHARED_64("bf16", "+f", 1);
    else
      DLPLUG_MULTIPLY_SHARED_64("f16", "+f", 1);
  } else {
    if constexpr (kIsBFloat16)
      DLPLUG_MULTIPLY_SHARED_64("bf16", "=f", 0);
    else
      DLPLUG_MULTIPLY_SHARED_64("f16", "=f", 0);
  }
}
template <class T>
__device__ inline void multiply_shared(float (&sums)[16][4], uint64_t left, uint64_t right,
                                       bool adds) {
  constexpr bool kIsBFloat16 = std::is_same_v<T, __nv_bfloat16>;
  if (adds) {
    if constexpr (kIsBFloat16)
      DLPLUG_MULTIPLY_SHARED_128("bf16", "+f", 1);
    else
      DLPLUG_MULTIPLY_SHARED_128("f16", "+f", 1);
  } else {
    if constexpr (kIsBFloat16)
      DLPLUG_MULTIPLY_SHARED_128("bf16", "=f", 0);
    else
      DLPLUG_MULTIPLY_SHARED_128("f16", "=f", 0);
  }
}

// sums += left * right: 16 rows of the right matrix, whose columns lie side by side.
template <class T>
__device__ inline void multiply_registers(float (&sums)[8][4], const uint32_t (&left)[4],
                                          uint64_t right) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    DLPLUG_MULTIPLY_REGISTERS_64("bf16");
  else
    DLPLUG_MULTIPLY_REGISTERS_64("f16");
}
template <class T>
__device__ inline void multiply_registers(float (&sums)[16][4], const uint32_t (&left)[4],
                                          uint64_t right) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    DLPLUG_MULTIPLY_REGISTERS_128("bf16");
  else
    DLPLUG_MULTIPLY_REGISTERS_128("f16");
}

#undef DLPLUG_MULTIPLY_SHARED_64
#undef DLPLUG_MULTIPLY_SHARED_128
#undef DLPLUG_MULTIPLY_REGISTERS_64
#undef DLPLUG_MULTIPLY_REGISTERS_128
#undef DLPLUG_SUMS_128
#undef DLPLUG_SUMS_64
#undef DLPLUG_SUMS

#endif

}  // namespace dlplug::warpgroup
