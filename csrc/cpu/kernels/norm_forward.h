// Forward of the norms. A row is read from memory once; the later sweeps find it in the L1 cache
// (with a residual, the copy of h in `scratch`). Narrow rows are handled in groups, column by
// column: the sums of a group are reduced together, which for one row would take as long as a sweep
// over it, and weight and bias are read once for all.
//
// Bytes per element: size of x + size of y, with residual also those of residual and h.
#pragma once

#include "csrc/cpu/kernels/norm_dtypes.h"
#include "csrc/cpu/kernels/norm_forward_sweeps.h"

namespace dlplug::DLPLUG_ISA {

// Rows of a group, whose accumulators must fit in the registers: a row has 4 of 16-bit types, 8 of
// float32.
#if defined(__AVX512F__)
template <class H>
constexpr int kForwardRows = sizeof(H) == 2 ? 4 : 2;
#else
template <class H>
constexpr int kForwardRows = sizeof(H) == 2 ? 2 : 1;
#endif

// The most that a group reads: it leaves room in the L1 cache for what is prefetched and written.
constexpr int64_t kForwardBytes = 12288;

// Writes mean, rstd and y of a group whose moments are known.
template <class X, class H, bool kCentered, bool kAdd, bool kStream, int kRows>
DLPLUG_INLINE void finish_rows(const NormForward& args, int64_t first,
                               const ForwardRow<X, H> (&at)[kRows], const Moments& moments) {
  // The variance of equal numbers is a difference of rounding errors, which may be negative.
  Float4 scale = (moments.variance < 0.0f ? Float4{} : moments.variance) + args.eps;
  for (int r = 0; r < kRows; ++r) scale[r] = __builtin_sqrtf(scale[r]);
  scale = 1.0f / scale;
  for (int r = 0; r < kRows; ++r) {
    args.rstd[first + r] = scale[r];
    if constexpr (kCentered) args.mean[first + r] = moments.mean[r];
  }
  write_rows<X, H, kCentered, kAdd, kStream>(args, at, moments.mean, scale);
}

// The same for a group in which the moments of some rows have lost digits: these rows take another
// sweep. Each row is handled by itself, because its bits must not depend on its group. Not inlined,
// so that the usual groups keep their registers.
template <class X, class H, bool kAdd, bool kStream>
[[gnu::noinline]] static void finish_far_rows(const NormForward& args, int64_t first, int count,
                                              float* scratch, Moments moments) {
  const Int4 is_far = far(moments);
  for (int r = 0; r < count; ++r) {
    ForwardRow<X, H> at[1];
    set_rows<kAdd>(args, first + r, scratch + r * scratch_row_floats(args.width), at);
    Moments row = {Float4{moments.mean[r]}, Float4{moments.variance[r]}, Float4{}};
    if (is_far[r]) row = moments_near(args.width, at, row.mean);
    finish_rows<X, H, true, kAdd, kStream>(args, first + r, at, row);
  }
}

// X: type of x. H: type of residual, h and y; X and H are the same without residual.
template <int kRows, class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream>
static void norm_forward_group(const NormForward& args, int64_t first, float* scratch) {
  ForwardRow<X, H> at[kRows];
  set_rows<kAdd>(args, first, scratch, at);
  Moments moments = read_rows<X, H, kCentered, kAdd, kDropout, kStream>(args, first, at);
  if constexpr (kCentered && sizeof(H) == 4) moments = moments_near(args.width, at, moments.mean);
  if constexpr (kCentered && sizeof(H) == 2)
    if (__builtin_expect(any(far(moments)), 0))
      return finish_far_rows<X, H, kAdd, kStream>(args, first, kRows, scratch, moments);
  finish_rows<X, H, kCentered, kAdd, kStream>(args, first, at, moments);
}

template <class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream>
static void norm_forward_rows(const NormForward& args, int64_t begin, int64_t end, float* scratch) {
  // A group does not help rows of float32 that are wide or have a residual, which wait for memory
  // more than for their sums, nor rows with dropout, which wait for random bits.
  constexpr bool kIsFloat = sizeof(H) == 4;
  constexpr int kRows = kDropout || (kIsFloat && kAdd) ? 1 : kForwardRows<H>;
  const int64_t row_bytes = args.width * (int64_t)sizeof(H) * (kAdd ? 2 : 1);
  int64_t row = begin;
  if (kRows * row_bytes <= kForwardBytes && !(kIsFloat && is_wide(args.width)))
    for (; row + kRows <= end; row += kRows)
      norm_forward_group<kRows, X, H, kCentered, kAdd, kDropout, kStream>(args, row, scratch);
  for (; row < end; ++row)
    norm_forward_group<1, X, H, kCentered, kAdd, kDropout, kStream>(args, row, scratch);
  if constexpr (kStream) fence();
}

template <bool kCentered>
DLPLUG_INLINE void norm_forward(const NormForward& args, int64_t begin, int64_t end,
                                float* scratch) {
  with_dtype(args.x_dtype, args.use_bf16_rounding, [&](auto x) __attribute__((always_inline)) {
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
  with_dtypes(args.x_dtype, args.dtype, args.use_bf16_rounding,
              [&](auto x, auto h) __attribute__((always_inline)) {
                with_flag(has_dropout, [&](auto drops) __attribute__((always_inline)) {
                  with_flag(args.is_streaming, [&](auto streams) __attribute__((always_inline)) {
                    using X = decltype(x);
                    using H = decltype(h);
                    norm_forward_rows<X, H, kCentered, true, drops.value, streams.value>(
                        args, begin, end, scratch);
                  });
                });
              });
}

}  // namespace dlplug::DLPLUG_ISA
