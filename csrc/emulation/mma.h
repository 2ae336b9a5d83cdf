// csrc/cuda/mma.cuh for the emulated kernels: the 32 lanes of a warp bring their parts of matrices,
// and what the instruction does is done once for all of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "csrc/cuda/vector.cuh"

namespace dlplug {

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

}  // namespace dlplug
