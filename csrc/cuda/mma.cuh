// The tensor cores' products of 16-bit matrices, and copies into shared memory that go on meanwhile
// (sm_80 and later). In the emulation the lanes of a warp bring their parts, and one of them works.
//
// A thread's part of a matrix, with lane = 4 * g + t:
//   left (16, 16):  [0] has (g, 2t) and (g, 2t + 1); [1] 8 rows below; [2], [3] these 8 columns on
//   right (16, 8):  [0] has (2t, g) and (2t + 1, g); [1] 8 rows below
//   sums (16, 8):   [0], [1] are (g, 2t), (g, 2t + 1); [2], [3] 8 rows below
#pragma once

#include <cstdint>

#include "csrc/cuda/vector.cuh"

#if defined(DLPLUG_EMULATION)
#include <utility>
#include <vector>
#endif

namespace dlplug {

#if defined(DLPLUG_EMULATION)

template <class T>
uint32_t packed(float low, float high) {
  const T both[2] = {from_float<T>(low), from_float<T>(high)};
  uint32_t bits;
  std::memcpy(&bits, both, sizeof(bits));
  return bits;
}

template <class T>
float unpacked(uint32_t bits, int which) {
  T both[2];
  std::memcpy(both, &bits, sizeof(bits));
  return to_float(both[which]);
}

template <class T>
void multiply_add(float (&sums)[4], const uint32_t (&left)[4], uint32_t right0, uint32_t right1,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  struct Part {
    float* sums;
    const uint32_t* left;
    uint32_t right[2];
  } part{sums, left, {right0, right1}};
  const auto multiply = [](void* const* lanes) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane) {
      const Part& own = *static_cast<const Part*>(lanes[lane]);
      const int g = lane / 4, t = lane % 4;
      for (int i = 0; i < 8; ++i)
        a[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = unpacked<T>(own.left[i / 2], i % 2);
      for (int i = 0; i < 4; ++i)
        b[2 * t + i % 2 + i / 2 * 8][g] = unpacked<T>(own.right[i / 2], i % 2);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const Part& own = *static_cast<const Part*>(lanes[lane]);
      const int g = lane / 4, t = lane % 4;
      for (int i = 0; i < 4; ++i)
        for (int k = 0; k < 16; ++k) own.sums[i] += a[g + i / 2 * 8][k] * b[k][2 * t + i % 2];
    }
  };
  emulation::meet_and_work(multiply, &part, {file, line});
}

// [i] of lane l: of the row that lane 8 * i + l / 4 gives, elements 2 * (l % 4) and the next.
inline void load_matrices(uint32_t (&to)[4], const void* row, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  check_alignment(row, 16);
  std::pair<uint32_t*, const void*> part{to, row};
  const auto load = [](void* const* lanes) {
    const auto of = [&](int lane) {
      return static_cast<std::pair<uint32_t*, const void*>*>(lanes[lane]);
    };
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i)
        of(lane)->first[i] = static_cast<const uint32_t*>(of(8 * i + lane / 4)->second)[lane % 4];
  };
  emulation::meet_and_work(load, &part, {file, line});
}

// [i] of lane l: element l / 4 of the rows that lanes 8 * i + 2 * (l % 4) and the next give.
inline void load_transposed(uint32_t (&to)[4], const void* row, const char* file = __builtin_FILE(),
                            int line = __builtin_LINE()) {
  check_alignment(row, 16);
  std::pair<uint32_t*, const void*> part{to, row};
  const auto load = [](void* const* lanes) {
    const auto of = [&](int lane) {
      return static_cast<std::pair<uint32_t*, const void*>*>(lanes[lane]);
    };
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        const int from = 8 * i + lane % 4 * 2, column = lane / 4;
        of(lane)->first[i] = static_cast<const uint16_t*>(of(from)->second)[column] |
                             static_cast<const uint16_t*>(of(from + 1)->second)[column] << 16;
      }
  };
  emulation::meet_and_work(load, &part, {file, line});
}

// What is copied arrives when it is waited for, not before.
class AsyncCopies {
 public:
  void copy(void* to, const void* from) {
    check_alignment(to, 16);
    check_alignment(from, 16);
    open_.push_back({to, from});
  }
  void commit() { groups_.push_back(std::exchange(open_, {})); }
  template <int kPending>
  void wait() {
    while (groups_.size() > kPending) {
      for (const auto& [to, from] : groups_.front()) std::memcpy(to, from, 16);
      groups_.erase(groups_.begin());
    }
  }

 private:
  using Group = std::vector<std::pair<void*, const void*>>;
  Group open_;
  std::vector<Group> groups_;
};

#else

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

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Four matrices of 8 x 8 elements from shared memory. Lane 8 * i + r gives row r of matrix i, 16
// aligned bytes; to[i] is lane l's part of it: elements 2 * (l % 4) and the next of row l / 4.
__device__ inline void load_matrices(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same of each matrix transposed: element l / 4 of the rows 2 * (l % 4) and the next.
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

#endif

}  // namespace dlplug
