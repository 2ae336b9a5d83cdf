// Forward of the norms. A row is read from memory once; the later sweeps find it in the L1 cache
// (as floats in `scratch` where it was added up). Narrow rows go through in groups: between the two
// sweeps over a row its sums must be complete, and meanwhile the others run. What is read next is
// asked for while a row is read; but for wide rows of float32, which wait for memory most, while
// one is written: memory then reads and writes at the same time instead of in turns.
//
// Bytes per element: size of x + size of y, with residual also those of residual and h.
#pragma once

#include "csrc/cpu/kernels/norm.h"
#include "csrc/cpu/kernels/norm_dropout.h"
#include "csrc/cpu/kernels/norm_dtypes.h"
#include "csrc/cpu/kernels/row_parts.h"

namespace dlplug::DLPLUG_ISA {

DLPLUG_INLINE float total(const Float (&sums)[2]) { return sum(sums[0] + sums[1]); }
DLPLUG_INLINE float total(const Float (&sums)[4]) {
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Narrow rows are over before memory could idle.
template <class H, bool kAdd>
DLPLUG_INLINE bool asks_while_writing(int64_t width) {
  return sizeof(H) == 4 && !kAdd && width >= 512;
}

// Elements of x that are asked for ahead of those which are handled: at least a row.
DLPLUG_INLINE int64_t distance(int64_t width, bool is_while_writing) {
  const int64_t least = is_while_writing ? 2048 : 1024;
  return width < least ? least : width;
}

// Far enough ahead that the line has come by the time it is needed; past the end is harmless.
template <class T, class Part>
DLPLUG_INLINE void prefetch(const T* from, Part) {
  __builtin_prefetch(from);
  if constexpr (sizeof(T) == 4 && Part::kVectors == 2) __builtin_prefetch(from + kWidth);
}

// In this form a row of equal numbers gives exactly 0: value * rstd - mean * rstd would not, with
// an rstd that eps alone bounds.
template <bool kCentered>
DLPLUG_INLINE Float normalised(Float value, float mean, float rstd) {
  if constexpr (!kCentered)
    return value * rstd;
  else
    return (value - mean) * rstd;
}

struct Moments {
  float mean, variance;  // RMSNorm: 0 and the mean square
};

// The first sweep over a row: reads it, writes h (and a copy as floats to `own`), and returns the
// moments; of float32 the mean alone, since the deviations from it need another sweep.
template <class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream>
static Moments read_row(const NormForward& args, int64_t row, float* own) {
  constexpr bool kInOneSweep = sizeof(H) == 2 || !kCentered;
  const int64_t width = args.width;
  const bool is_asking = !asks_while_writing<H, kAdd>(width);
  const int64_t ahead = distance(width, false);
  const float inverse_width = 1.0f / (float)width;
  const X* x = (const X*)args.x + row * args.x_stride;
  const H* residual = kAdd ? (const H*)args.residual + row * args.residual_stride : nullptr;
  H* h = kAdd ? (H*)args.h + row * width : nullptr;
  [[maybe_unused]] DropoutRow drawn;
  if constexpr (kDropout) drawn.keys = random_keys(args.dropout.seed);

  auto read = [&](int64_t j, auto part, auto& values) __attribute__((always_inline)) {
    load(x + j, part, values);
    if constexpr (kAdd) {
      Float others[part.kVectors];
      load(residual + j, part, others);
      if constexpr (kDropout) drop_out(args.dropout, row, width, j, drawn, values);
#pragma GCC unroll 2
      for (int i = 0; i < part.kVectors; ++i) {
        // The statistics are those of what the next layer reads.
        values[i] = rounded_to(values[i] + others[i], H{});
      }
    }
  };

  // Deviations from the mean of a few of the row's numbers: it is at most sqrt(width / kWidth)
  // standard deviations from the row's own, so that the variance keeps more digits than H has.
  float near = 0.0f;
  if constexpr (kInOneSweep && kCentered) {
    Float values[1];
    if (width >= kWidth)
      read(0, Whole{}, values);
    else
      read(0, Tail{(int)width}, values);
    near = sum(values[0]) * (width < kWidth ? inverse_width : 1.0f / kWidth);
  }
  Float sums[2] = {}, squares[2] = {}, all_sums[2] = {}, all_squares[2] = {};
  auto sweep = [&](int64_t j, auto part) __attribute__((always_inline)) {
    Float values[part.kVectors];
    if (is_asking) prefetch(x + j + ahead, part);
    if constexpr (kAdd) prefetch(residual + j + ahead, part);
    read(j, part, values);
    if constexpr (kAdd) {
      emit<kStream>(h + j, values, part);
      store(own + j, values, part);
    }
#pragma GCC unroll 2
    for (int i = 0; i < part.kVectors; ++i) {
      const Float value = used(kInOneSweep && kCentered ? values[i] - near : values[i], part);
      if constexpr (kCentered) sums[i] += value;
      if constexpr (kInOneSweep) squares[i] = fma(value, value, squares[i]);
    }
  };
  over_parts(
      width, 2,
      [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        over_pairs(end - begin, [&](int64_t j, auto part)
                                    __attribute__((always_inline)) { sweep(begin + j, part); });
      },
      [&]() __attribute__((always_inline)) {
        if constexpr (kCentered) add_part(all_sums, sums);
        if constexpr (kInOneSweep) add_part(all_squares, squares);
      });
  if constexpr (!kCentered) return {0.0f, total(all_squares) * inverse_width};
  const float mean = total(all_sums) * inverse_width;
  const float variance = total(all_squares) * inverse_width - mean * mean;
  return {mean + near, variance < 0.0f ? 0.0f : variance};
}

// Of a row of floats with about this mean.
DLPLUG_INLINE Moments moments_near(const float* values, int64_t width, float mean) {
  const float inverse_width = 1.0f / (float)width;
  // The deviations' own sum takes back the rounding error of the first mean.
  Float deviations[4] = {}, squares[4] = {}, all_deviations[4] = {}, all_squares[4] = {};
  auto sweep = [&](int64_t j, int u, auto part) __attribute__((always_inline)) {
    const Float deviation = used(load(values + j, part) - mean, part);
    deviations[u] += deviation;
    squares[u] = fma(deviation, deviation, squares[u]);
  };
  over_parts(
      width, 4,
      [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        over_row<4>(end - begin, [&](int64_t j, int u, auto part)
                                     __attribute__((always_inline)) { sweep(begin + j, u, part); });
      },
      [&]() __attribute__((always_inline)) {
        add_part(all_deviations, deviations);
        add_part(all_squares, squares);
      });
  const float shift = total(all_deviations) * inverse_width;
  // Of equal numbers the first mean may be a rounding off, and then both terms are of one size.
  const float variance = total(all_squares) * inverse_width - shift * shift;
  return {mean + shift, variance < 0.0f ? 0.0f : variance};
}

// `values`: the row of h, as H or as floats.
template <class T, class H, bool kCentered, bool kAdd, bool kStream>
static void write_row(const NormForward& args, int64_t row, const T* values, float mean,
                      float rstd) {
  const bool is_asking = asks_while_writing<H, kAdd>(args.width);
  const int64_t ahead = distance(args.width, true);
  H* y = (H*)args.y + row * args.width;
  const float *weights = args.weight, *biases = args.bias;
  over_pairs(args.width, [&](int64_t j, auto part) __attribute__((always_inline)) {
    Float found[part.kVectors], row_weights[part.kVectors], row_biases[part.kVectors];
    if (is_asking) prefetch(values + j + ahead, part);
    load(values + j, part, found);
    load(weights + j, part, row_weights);
    if constexpr (kCentered) load(biases + j, part, row_biases);
#pragma GCC unroll 2
    for (int i = 0; i < part.kVectors; ++i) {
      const Float xhat = normalised<kCentered>(found[i], mean, rstd);
      if constexpr (kCentered)
        found[i] = fma(xhat, row_weights[i], row_biases[i]);
      else
        found[i] = xhat * row_weights[i];
    }
    emit<kStream>(y + j, found, part);
  });
}

// X: type of x. H: type of residual, h and y; X and H are the same without residual.
template <int kRows, class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream>
static void norm_forward_group(const NormForward& args, int64_t first, float* scratch) {
  const int64_t row_floats = scratch_row_floats(args.width);
  Moments of[kRows];
#pragma GCC unroll 1
  for (int r = 0; r < kRows; ++r) {
    float* own = scratch + r * row_floats;
    of[r] = read_row<X, H, kCentered, kAdd, kDropout, kStream>(args, first + r, own);
    if constexpr (kCentered && sizeof(H) == 4) {
      const float* x = (const float*)args.x + (first + r) * args.x_stride;
      of[r] = moments_near(kAdd ? own : x, args.width, of[r].mean);
    }
  }
  float rstd[kRows];
  for (int r = 0; r < kRows; ++r) {
    rstd[r] = 1.0f / __builtin_sqrtf(of[r].variance + args.eps);
    args.rstd[first + r] = rstd[r];
    if constexpr (kCentered) args.mean[first + r] = of[r].mean;
  }
#pragma GCC unroll 1
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = first + r;
    if constexpr (kAdd)
      write_row<float, H, kCentered, kAdd, kStream>(args, row, scratch + r * row_floats, of[r].mean,
                                                    rstd[r]);
    else
      write_row<X, H, kCentered, kAdd, kStream>(args, row, (const X*)args.x + row * args.x_stride,
                                                of[r].mean, rstd[r]);
  }
}

template <class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream>
static void norm_forward_rows(const NormForward& args, int64_t begin, int64_t end, float* scratch) {
  // float32 is read no faster in groups, and a group must leave room in the L1 cache.
  constexpr int64_t kGroupBytes = 8192;
  const int64_t row_bytes = args.width * (kAdd ? sizeof(float) : sizeof(X));
  int64_t row = begin;
  if (sizeof(H) == 2 && kMaxRows * row_bytes <= kGroupBytes)
    for (; row + kMaxRows <= end; row += kMaxRows)
      norm_forward_group<kMaxRows, X, H, kCentered, kAdd, kDropout, kStream>(args, row, scratch);
  for (; row < end; ++row)
    norm_forward_group<1, X, H, kCentered, kAdd, kDropout, kStream>(args, row, scratch);
  if constexpr (kStream) fence();
}

template <bool kCentered>
DLPLUG_INLINE void norm_forward(const NormForward& args, int64_t begin, int64_t end,
                                float* scratch) {
  with_dtype(args.x_dtype, [&](auto x) __attribute__((always_inline)) {
    with_flag(args.is_streaming, [&](auto streams) __attribute__((always_inline)) {
      using X = decltype(x);
      norm_forward_rows<X, X, kCentered, false, false, streams.value>(args, begin, end, scratch);
    });
  });
}

template <bool kCentered>
DLPLUG_INLINE void add_norm_forward(const NormForward& args, int64_t begin, int64_t end,
                                    float* scratch) {
  const bool has_dropout = args.dropout.threshold != 0;
  with_dtypes(args.x_dtype, args.dtype, [&](auto x, auto h) __attribute__((always_inline)) {
    with_flag(has_dropout, [&](auto drops) __attribute__((always_inline)) {
      with_flag(args.is_streaming, [&](auto streams) __attribute__((always_inline)) {
        norm_forward_rows<decltype(x), decltype(h), kCentered, true, drops.value, streams.value>(
            args, begin, end, scratch);
      });
    });
  });
}

}  // namespace dlplug::DLPLUG_ISA
