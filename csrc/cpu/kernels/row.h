// Loops over the columns of a row in whole vectors and a tail.
#pragma once

#include "csrc/common/memory.h"

namespace dlplug::DLPLUG_ISA {

struct Whole {};
struct Tail {
  int count;  // lanes in use, 1 .. kWidth - 1
};

template <class T>
DLPLUG_INLINE Float load(const T* from, Whole) {
  return load(from);
}
template <class T>
DLPLUG_INLINE Float load(const T* from, Tail tail) {
  return load(from, tail.count);
}
template <class T>
DLPLUG_INLINE void store(T* to, Float value, Whole) {
  store(to, value);
}
template <class T>
DLPLUG_INLINE void store(T* to, Float value, Tail tail) {
  store(to, value, tail.count);
}

// 0 in the lanes that are not in use, so that they do not count in a sum.
DLPLUG_INLINE Float used(Float value, Whole) { return value; }
DLPLUG_INLINE Float used(Float value, Tail tail) {
  return (Float)((Int)value & (lanes() < tail.count));
}

// body(column, which, part) for each vector of the row; `which` in [0, kUnroll) names one of the
// body's independent accumulators, so that additions need not wait for each other.
template <int kUnroll, class Body>
DLPLUG_INLINE void over_row(int64_t width, Body body) {
  int64_t j = 0;
  for (; j + kUnroll * kWidth <= width; j += kUnroll * kWidth) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnroll; ++u) body(j + u * kWidth, u, Whole{});
  }
  for (; j + kWidth <= width; j += kWidth) body(j, 0, Whole{});
  if (j < width) body(j, 0, Tail{(int)(width - j)});
}

// Stores results, past the caches or not. body(column, part, put) computes the vector at `column`
// and hands it to put(to, value), once for each of its outputs, `to` being a row's begin.
// Streaming takes two vectors at a time, and rows that are whole cache lines: one vector may be
// left where it fills a line by itself.
template <bool kStream, class Body>
DLPLUG_INLINE void emit_row(int64_t width, Body body) {
  if constexpr (kStream) {
    int64_t j = 0;
    for (; j + 2 * kWidth <= width; j += 2 * kWidth) {
      constexpr int kOutputs = 2;
      Float first[kOutputs], second[kOutputs];
      int n = 0, m = 0;
      body(j, Whole{}, [&](auto*, Float value) { first[n++] = value; });
      body(j + kWidth, Whole{}, [&](auto* to, Float value) {
        second[m] = value;
        stream(to + j, first[m], second[m]);
        ++m;
      });
    }
    if (j < width) body(j, Whole{}, [&](auto* to, Float value) { store(to + j, value); });
  } else {
    over_row<4>(width, [&](int64_t j, int, auto part) __attribute__((always_inline)) {
      body(j, part, [&](auto* to, Float value) { store(to + j, value, part); });
    });
  }
}

}  // namespace dlplug::DLPLUG_ISA
