// The sweeps of the norms' forward pass over a group of rows: the first reads the rows and adds up
// their moments, the last writes y. Between them float32 needs the one of norm_moments.h.
#pragma once

#include "csrc/cpu/kernels/norm.h"
#include "csrc/cpu/kernels/norm_dropout.h"
#include "csrc/cpu/kernels/norm_moments.h"
#include "csrc/cpu/kernels/norm_prefetch.h"

namespace dlplug::DLPLUG_ISA {

// Where one row of a group lies.
template <class X, class H>
struct ForwardRow {
  const X* x;
  const H *residual, *kept;  // kept: what the later sweeps read, either x or the copy of h
  H *h, *copy, *y;
};

template <bool kAdd, class X, class H, int kRows>
DLPLUG_INLINE void set_rows(const NormForward& args, int64_t first, float* scratch,
                            ForwardRow<X, H> (&at)[kRows]) {
  const int64_t width = args.width;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = first + r;
    at[r].x = (const X*)args.x + row * args.x_stride;
    at[r].y = (H*)args.y + row * width;
    if constexpr (kAdd) {
      at[r].residual = (const H*)args.residual + row * args.residual_stride;
      at[r].h = (H*)args.h + row * width;
      at[r].copy = (H*)(scratch + r * scratch_row_floats(width));
      at[r].kept = at[r].copy;
    } else {
      at[r].kept = at[r].x;
    }
  }
}

// The first sweep: reads the rows, writes h, and returns the moments. Of float32 it is the mean
// alone: the sum of squared deviations from it takes another sweep.
template <class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream, int kRows>
DLPLUG_INLINE Moments read_rows(const NormForward& args, int64_t first,
                                const ForwardRow<X, H> (&at)[kRows]) {
  constexpr bool kInOneSweep = sizeof(H) == 2 || !kCentered;
  const int64_t width = args.width;
  const bool is_prefetching = !prefetches_while_writing<H, kCentered, kAdd>(width);
  const int64_t ahead = elements_ahead<H, kAdd>(kRows * width);
  const float inverse_width = 1.0f / (float)width;
  [[maybe_unused]] DropoutRow drawn[kRows];
  if constexpr (kDropout)
    for (int r = 0; r < kRows; ++r) drawn[r].keys = random_keys(args.dropout.seed);

  auto read = [&](int r, int64_t j, auto part, auto& values) __attribute__((always_inline)) {
    load(at[r].x + j, part, values);
    if constexpr (kAdd) {
      Float others[part.kVectors];
      load(at[r].residual + j, part, others);
      if constexpr (kDropout) drop_out(args.dropout, first + r, width, j, drawn[r], values);
#pragma GCC unroll 2
      for (int i = 0; i < part.kVectors; ++i) values[i] += others[i];
    }
  };

  // In one sweep squares are taken of deviations from the mean of the row's first vector, which is
  // seldom far from the mean of the row.
  Float4 near = {};
  if constexpr (kInOneSweep && kCentered) {
    Float few[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      Float values[1];
      if (width >= kWidth)
        read(r, 0, Whole{}, values);
      else
        read(r, 0, Tail{(int)width}, values);
      few[r] = values[0];
    }
    near = sums(few) * (width < kWidth ? inverse_width : 1.0f / kWidth);
  }

  Float row_sums[kRows][2] = {}, squares[kRows][2] = {}, all_sums[kRows] = {},
        all_squares[kRows] = {};
  auto sweep = [&](int64_t j, auto part) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      Float values[part.kVectors];
      if (is_prefetching) prefetch(at[r].x + j + ahead, part);
      if constexpr (kAdd) prefetch(at[r].residual + j + ahead, part);
      read(r, j, part, values);
      // The moments are those of h as it is stored, which the next layer reads.
      if constexpr (kAdd) emit_twice<kStream>(at[r].h + j, at[r].copy + j, values, part);
#pragma GCC unroll 2
      for (int i = 0; i < part.kVectors; ++i) {
        const Float value = used(kInOneSweep && kCentered ? values[i] - near[r] : values[i], part);
        if constexpr (kCentered) row_sums[r][i] += value;
        if constexpr (kInOneSweep) squares[r][i] = fma(value, value, squares[r][i]);
      }
    }
  };
  over_parts(
      width, 2,
      [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        over_pairs(end - begin, [&](int64_t j, auto part)
                                    __attribute__((always_inline)) { sweep(begin + j, part); });
      },
      [&]() __attribute__((always_inline)) {
        if constexpr (kCentered) add_parts(all_sums, row_sums);
        if constexpr (kInOneSweep) add_parts(all_squares, squares);
      });
  if constexpr (!kCentered) return {Float4{}, sums(all_squares) * inverse_width, Float4{}};
  const Float4 shift = sums(all_sums) * inverse_width;
  return {near + shift, sums(all_squares) * inverse_width - shift * shift, shift};
}

// The last sweep: reads what the first one kept, and writes y.
template <class X, class H, bool kCentered, bool kAdd, bool kStream, int kRows>
DLPLUG_INLINE void write_rows(const NormForward& args, const ForwardRow<X, H> (&at)[kRows],
                              Float4 mean, Float4 rstd) {
  const bool is_prefetching = prefetches_while_writing<H, kCentered, kAdd>(args.width);
  const int64_t ahead = elements_ahead<H, kAdd>(kRows * args.width);
  const float *weight = args.weight, *bias = args.bias;
  over_pairs(args.width, [&](int64_t j, auto part) __attribute__((always_inline)) {
    Float weights[part.kVectors], biases[part.kVectors];
    load(weight + j, part, weights);
    if constexpr (kCentered) load(bias + j, part, biases);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      Float values[part.kVectors];
      if (is_prefetching) prefetch(at[r].kept + j + ahead, part);
      load(at[r].kept + j, part, values);
#pragma GCC unroll 2
      for (int i = 0; i < part.kVectors; ++i) {
        const Float xhat = normalised<kCentered>(values[i], mean[r], rstd[r]);
        if constexpr (kCentered)
          values[i] = fma(xhat, weights[i], biases[i]);
        else
          values[i] = xhat * weights[i];
      }
      emit<kStream>(at[r].y + j, values, part);
    }
  });
}

}  // namespace dlplug::DLPLUG_ISA
