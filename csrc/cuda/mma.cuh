// The tensor cores' products of 16-bit and of TF32 matrices, and copies into shared memory that go
// on meanwhile (sm_80 and later). csrc/emulation/mma.h has the same for the CPU.
//
// A thread's part of a matrix, with lane = 4 * g + t:
//   left (16, 16):  [0] has (g, 2t) and (g, 2t + 1); [1] 8 rows below; [2], [3] these 8 columns on
//   right (16, 8):  [0] has (2t, g) and (2t + 1, g); [1] 8 rows below
//   sums (16, 8):   [0], [1] are (g, 2t), (g, 2t + 1); [2], [3] 8 rows below
// Of TF32, where an element takes 32 bits:
//   left (16, 8):   [0] is (g, t); [1] 8 rows below; [2], [3] these 4 columns on
//   right (8, 8):   [0] is (t, g); [1] 4 rows below
#pragma once

#include <cstdint>

#include "csrc/cuda/vector.cuh"

namespace dlplug {

// A float32 that is multiplied as TF32: of its 24 binary digits, the first 11.
struct Tf32 {
  float value;
};

__device__ inline float to_float(Tf32 x) { return x.value; }
template <>
__device__ inline Tf32 from_float<Tf32>(float value) {
  return {value};
}

}  // namespace dlplug

#if defined(DLPLUG_EMULATION)
#include "csrc/emulation/mma.h"
#else

namespace dlplug {

// 32 bits in memory to what is multiplied: 16-bit elements as they are, a float to the nearest
// TF32.
template <class T>
__device__ inline uint32_t factor_of(uint32_t bits) {
  return bits;
}
template <>
__device__ inline uint32_t factor_of<Tf32>(uint32_t bits) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

// To the nearest; `low` at the lower address.
template <class T>
__device__ inline uint32_t packed(float low, float high);
template <>
__device__ inline uint32_t packed<__nv_bfloat16>(float low, float high) {
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
template <>
__device__ inline uint32_t packed<__half>(float low, float high) {
  uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

// sums += left * right.
template <class T>
__device__ inline void multiply_add(float (&sums)[4], const uint32_t (&left)[4], uint32_t right0,
                                    uint32_t right1);
template <>
__device__ inline void multiply_add<__nv_bfloat16>(float (&sums)[4], const uint32_t (&left)[4],
                                                   uint32_t right0, uint32_t right1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}
template <>
__device__ inline void multiply_add<__half>(float (&sums)[4], const uint32_t (&left)[4],
                                            uint32_t right0, uint32_t right1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

template <>
__device__ inline void multiply_add<Tf32>(float (&sums)[4], const uint32_t (&left)[4],
                                          uint32_t right0, uint32_t right1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Four matrices of 8 rows of 16 bytes from shared memory. Lane 8 * i + r gives row r of matrix i,
// aligned; to[i] is lane l's part of it, of row l / 4: of 16-bit elements 2 * (l % 4) and the next,
// of 32-bit ones l % 4.
__device__ inline void load_matrices(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same of each matrix of 16-bit elements transposed: element l / 4 of the rows 2 * (l % 4) and
// the next.
__device__ inline void load_transposed(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// Copies of 16 aligned bytes to shared memory. What this thread copied before a commit is one
// group; wait<n> waits until all but the latest n groups are there, for this thread to see.
class AsyncCopies {
 public:
  __device__ void copy(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from)
                 : "memory");
  }
  __device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int kPending>
  __device__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
  }
};

}  // namespace dlplug

#endif
