// Loops over the columns of a row in pairs of vectors, whole vectors and a tail.
#pragma once

#include "csrc/common/memory.h"

namespace dlplug::DLPLUG_ISA {

// Parts of a row: body(j, part) handles the kVectors vectors from column j on.
struct Pair {
  static constexpr int kVectors = 2;
};
struct Whole {
  static constexpr int kVectors = 1;
};
struct Tail {
  static constexpr int kVectors = 1;
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

// A part's vectors at once.
template <class T>
DLPLUG_INLINE void load(const T* from, Pair, Float (&to)[2]) {
  load(from, to[0], to[1]);
}
template <class T, class Part>
DLPLUG_INLINE void load(const T* from, Part part, Float (&to)[1]) {
  to[0] = load(from, part);
}
template <class T>
DLPLUG_INLINE void store(T* to, const Float (&values)[2], Pair) {
  store(to, values[0], values[1]);
}
template <class T, class Part>
DLPLUG_INLINE void store(T* to, const Float (&values)[1], Part part) {
  store(to, values[0], part);
}

// 0 in the lanes that are not in use, so that they do not count in a sum.
DLPLUG_INLINE Float used(Float value, Pair) { return value; }
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

// body(column, part) for each pair of vectors, then for what is left. Two vectors of a narrow type
// are one register, so that a pair is read and written by one instruction.
template <class Body>
DLPLUG_INLINE void over_pairs(int64_t width, Body body) {
  int64_t j = 0;
  for (; j + 2 * kWidth <= width; j += 2 * kWidth) body(j, Pair{});
  if (j + kWidth <= width) {
    body(j, Whole{});
    j += kWidth;
  }
  if (j < width) body(j, Tail{(int)(width - j)});
}

// Stores results, past the caches or not. A streamed row is whole cache lines: one vector is left
// where it fills a line by itself.
template <bool kStream, class T, class Part, int kVectors>
DLPLUG_INLINE void emit(T* to, const Float (&values)[kVectors], Part part) {
  if constexpr (kStream && __is_same(Part, Pair))
    stream(to, values[0], values[1]);
  else
    store(to, values, part);
}

// Stores results at `copy` too, and gives the values back as they are read there.
template <bool kStream, class T, class Part, int kVectors>
DLPLUG_INLINE void emit_twice(T* to, T* copy, Float (&values)[kVectors], Part part) {
  if constexpr (sizeof(T) == 4) {
    emit<kStream>(to, values, part);
    store(copy, values, part);
    return;
  }
  store(copy, values, part);
  if constexpr (sizeof(T) == 2) load(copy, part, values);
  if constexpr (sizeof(T) == 2 && __is_same(Part, Pair)) {
    Float both;  // the bits of a pair
    __builtin_memcpy(&both, copy, sizeof(both));
    if constexpr (kStream)
      stream((float*)to, both);
    else
      __builtin_memcpy(to, &both, sizeof(both));
  } else {
    emit<kStream>(to, values, part);
  }
}

}  // namespace dlplug::DLPLUG_ISA
