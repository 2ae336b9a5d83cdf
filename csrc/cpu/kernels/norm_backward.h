// Backward of the norms. With xhat = (h - mean) * rstd and g = grad_y * weight:
//   gradient of h = rstd * (g - mean(g) - xhat * mean(g * xhat)) + grad_h    RMSNorm: no mean(g)
//   grad_weight   = sum over rows of grad_y * xhat,  grad_bias = sum over rows of grad_y
//   grad_x        = gradient of h, with the dropout of the forward pass
// Rows go through in groups: the sums for weight and bias are read and written once per group
// instead of once per row.
// Bytes per element: grad_y, h and grad_input once each, and grad_h, grad_x where they exist.
#pragma once

#include "csrc/cpu/kernels/norm_backward_sweeps.h"
#include "csrc/cpu/kernels/norm_dtypes.h"

namespace dlplug::DLPLUG_ISA {

// Rows of a group: two accumulators and two constants of each must fit in the registers beside the
// shared values. In float32 a group of two leaves room in the L1 cache for prefetched rows.
#if defined(__AVX512F__)
template <class H>
constexpr int kGroup = sizeof(H) == 2 ? 4 : 2;
#else
template <class H>
constexpr int kGroup = 2;
#endif

// Rows whose weight gradients are summed before they are added to those of the rows before: adding
// thousands of rows one by one would lose digits.
constexpr int64_t kRowsPerSum = 32;

template <int kRows, class X, class H, bool kCentered, bool kAdd, bool kWeights, bool kStream>
static void norm_backward_group(const NormBackward& args, int64_t first) {
  // Rows that are prefetched ahead: a group of narrow rows is finished before the next one has come
  // from memory.
  const int64_t row_bytes = args.width * (int64_t)sizeof(H);
  const bool is_narrow = kRows * row_bytes < kPrefetchBytes && row_bytes > 0;
  const int64_t ahead = is_narrow ? (kPrefetchBytes + row_bytes - 1) / row_bytes : kRows;
  BackwardRow<H> at[kRows];
  for (int r = 0; r < kRows; ++r) {
    at[r].grad_y = (const H*)args.grad_y + (first + r) * args.grad_y_stride;
    at[r].h = (const H*)args.h + (first + r) * args.h_stride;
    at[r].mean = kCentered ? args.mean[first + r] : 0.0f;
    at[r].rstd = args.rstd[first + r];
  }
  sum_rows<kRows, H, kCentered, kWeights>(args, at);

  auto write = [&](auto grad_h, auto grad_x, auto drops) __attribute__((always_inline)) {
    // Several rows together save loads of the weights: of no use to rows of float32, which wait for
    // memory, and to those with dropout, which wait for random bits.
    constexpr int kTogether = sizeof(H) == 2 && !drops.value ? kRows : 1;
#pragma GCC unroll 1
    for (int r = 0; r < kRows; r += kTogether)
      write_gradients<kTogether, X, H, kCentered, grad_h.value, grad_x.value, drops.value, kStream>(
          args, first + r, at + r, ahead);
  };
  if constexpr (!kAdd) {
    write(Flag<false>{}, Flag<false>{}, Flag<false>{});
  } else {
    // Without grad_x there is no dropout.
    const bool has_dropout = args.grad_x != nullptr && args.dropout.threshold != 0;
    with_flag(args.grad_h != nullptr, [&](auto grad_h) __attribute__((always_inline)) {
      with_flag(args.grad_x != nullptr, [&](auto grad_x) __attribute__((always_inline)) {
        with_flag(has_dropout, [&](auto drops) __attribute__((always_inline)) {
          write(grad_h, grad_x, Flag < grad_x.value && drops.value > {});
        });
      });
    });
  }
}

// to[i] += from[i], and from[i] = 0
DLPLUG_INLINE void take_sums(float* to, float* from, int64_t count) {
  over_row<1>(count, [&](int64_t i, int, auto part) __attribute__((always_inline)) {
    store(to + i, load(to + i, part) + load(from + i, part), part);
    store(from + i, Float{}, part);
  });
}

template <class X, class H, bool kCentered, bool kAdd, bool kWeights, bool kStream>
static void norm_backward_rows(const NormBackward& args, int64_t begin, int64_t end,
                               float* scratch) {
  const int64_t width = args.width;
  NormBackward few = args;
  few.grad_weight = scratch;
  few.grad_bias = scratch + width;
  for (int64_t row = begin; row < end;) {
    const int64_t last = row + kRowsPerSum < end ? row + kRowsPerSum : end;
    for (; row + kGroup<H> <= last; row += kGroup<H>)
      norm_backward_group<kGroup<H>, X, H, kCentered, kAdd, kWeights, kStream>(few, row);
    for (; row < last; ++row)
      norm_backward_group<1, X, H, kCentered, kAdd, kWeights, kStream>(few, row);
    if constexpr (kWeights) take_sums(args.grad_weight, few.grad_weight, width);
    if constexpr (kWeights && kCentered) take_sums(args.grad_bias, few.grad_bias, width);
  }
  if constexpr (kStream) fence();
}

template <class X, class H, bool kCentered, bool kAdd>
DLPLUG_INLINE void norm_backward_flags(const NormBackward& args, int64_t begin, int64_t end,
                                       float* scratch) {
  with_flag(args.grad_weight != nullptr, [&](auto weights) __attribute__((always_inline)) {
    with_flag(args.is_streaming, [&](auto streams) __attribute__((always_inline)) {
      norm_backward_rows<X, H, kCentered, kAdd, weights.value, streams.value>(args, begin, end,
                                                                              scratch);
    });
  });
}

template <bool kCentered>
DLPLUG_INLINE void norm_backward(const NormBackward& args, int64_t begin, int64_t end,
                                 float* scratch) {
  with_dtype(args.x_dtype, args.use_bf16_rounding, [&](auto x) __attribute__((always_inline)) {
    using X = decltype(x);
    norm_backward_flags<X, X, kCentered, false>(args, begin, end, scratch);
  });
}

template <bool kCentered>
DLPLUG_INLINE void add_norm_backward(const NormBackward& args, int64_t begin, int64_t end,
                                     float* scratch) {
  with_dtypes(args.x_dtype, args.dtype, args.use_bf16_rounding,
              [&](auto x, auto h) __attribute__((always_inline)) {
                norm_backward_flags<decltype(x), decltype(h), kCentered, true>(args, begin, end,
                                                                               scratch);
              });
}

}  // namespace dlplug::DLPLUG_ISA
