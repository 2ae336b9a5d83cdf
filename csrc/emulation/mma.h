// csrc/cuda/mma.cuh for the emulated kernels: the 32 lanes of a warp bring their parts of matrices,
// and what the instruction does is done once for all of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "csrc/cuda/vector.cuh"

namespace dlplug {

template <class T>
uint32_t factor_of(uint32_t bits) {
  if (!std::is_same_v<T, Tf32>) return bits;
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffffffu;  // NaN
  return (bits + 0x1000u) & ~0x1fffu;
}

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

// Elements of a row of `left`, and of a column of `right`.
template <class T>
constexpr int kDepth = sizeof(T) == 2 ? 16 : 8;

// One lane's parts to where they belong. The tensor cores do not look at a float's last 13 digits.
template <class T, class Row>
void unpack(float (&left)[16][kDepth<T>], Row (&right)[kDepth<T>], int lane,
            const uint32_t* own_left, const uint32_t* own_right) {
  const int g = lane / 4, t = lane % 4;
  if constexpr (std::is_same_v<T, Tf32>) {
    const auto value = [](uint32_t bits) { return __uint_as_float(bits & ~0x1fffu); };
    for (int i = 0; i < 4; ++i) left[g + i % 2 * 8][t + i / 2 * 4] = value(own_left[i]);
    for (int i = 0; i < 2; ++i) right[t + i * 4][g] = value(own_right[i]);
  } else {
    for (int i = 0; i < 8; ++i)
      left[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = unpacked<T>(own_left[i / 2], i % 2);
    for (int i = 0; i < 4; ++i)
      right[2 * t + i % 2 + i / 2 * 8][g] = unpacked<T>(own_right[i / 2], i % 2);
  }
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
    // The vectors of g++, which makes none of loops at -O1, since this is called most. Each sum
    // takes its terms in the order of k.
    typedef float Row __attribute__((vector_size(8 * sizeof(float))));
    float a[16][kDepth<T>];
    Row b[kDepth<T>], sums[16];
    for (int lane = 0; lane < 32; ++lane) {
      const Part& own = *static_cast<const Part*>(lanes[lane]);
      const int g = lane / 4, t = lane % 4;
      unpack<T>(a, b, lane, own.left, own.right);
      for (int i = 0; i < 4; ++i) sums[g + i / 2 * 8][2 * t + i % 2] = own.sums[i];
    }
    for (int row = 0; row < 16; ++row)
      for (int k = 0; k < kDepth<T>; ++k) sums[row] += a[row][k] * b[k];
    for (int lane = 0; lane < 32; ++lane) {
      const Part& own = *static_cast<const Part*>(lanes[lane]);
      const int g = lane / 4, t = lane % 4;
      for (int i = 0; i < 4; ++i) own.sums[i] = sums[g + i / 2 * 8][2 * t + i % 2];
    }
  };
  emulation::meet_and_work(multiply, &part, {file, line});
}

// Each lane brings the address of a row and takes `kPart(rows, i, lane)` as its [i].
template <uint32_t (*kPart)(const uint16_t* const* rows, int i, int lane)>
void load_parts(uint32_t (&to)[4], const void* row, const char* file, int line) {
  check_alignment(row, 16);
  std::pair<uint32_t*, const void*> part{to, row};
  const auto load = [](void* const* lanes) {
    const auto of = [&](int lane) {
      return *static_cast<std::pair<uint32_t*, const void*>*>(lanes[lane]);
    };
    const uint16_t* rows[32];
    for (int lane = 0; lane < 32; ++lane)
      rows[lane] = static_cast<const uint16_t*>(of(lane).second);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) of(lane).first[i] = kPart(rows, i, lane);
  };
  emulation::meet_and_work(load, &part, {file, line});
}

inline uint32_t pair_of(uint16_t low, uint16_t high) {
  return low | static_cast<uint32_t>(high) << 16;
}

inline uint32_t pair_of_row(const uint16_t* const* rows, int i, int lane) {
  const uint16_t* const from = rows[8 * i + lane / 4] + lane % 4 * 2;
  return pair_of(from[0], from[1]);
}

inline uint32_t pair_of_column(const uint16_t* const* rows, int i, int lane) {
  const int from = 8 * i + lane % 4 * 2;
  return pair_of(rows[from][lane / 4], rows[from + 1][lane / 4]);
}

// [i] of lane l: of the row that lane 8 * i + l / 4 gives, elements 2 * (l % 4) and the next.
inline void load_matrices(uint32_t (&to)[4], const void* row, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  load_parts<pair_of_row>(to, row, file, line);
}

// [i] of lane l: element l / 4 of the rows that lanes 8 * i + 2 * (l % 4) and the next give.
inline void load_transposed(uint32_t (&to)[4], const void* row, const char* file = __builtin_FILE(),
                            int line = __builtin_LINE()) {
  load_parts<pair_of_column>(to, row, file, line);
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
