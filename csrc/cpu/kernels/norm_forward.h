// Forward of the norms, one row at a time. A row is read from memory once; the later sweeps find it
// in the L1 cache (as floats in `scratch` where it had to be widened or added up).
// Bytes per element: size of x + size of y, with residual also those of residual and h.
#pragma once

#include "csrc/common/philox.h"
#include "csrc/cpu/kernels/norm.h"
#include "csrc/cpu/kernels/norm_dtypes.h"
#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// Random bits of one row, for whole vectors past the last column.
static void random_row(uint64_t seed, int64_t row, int64_t width, uint32_t* bits) {
  for (int64_t block = 0; block * kRandomBlock < width; ++block)
    random_block(seed, row, block, bits + block * kRandomBlock);
}

DLPLUG_INLINE float total(const Float (&sums)[4]) {
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// X: type of x. H: type of residual, h and y; X and H are the same without residual.
template <class X, class H, bool kCentered, bool kAdd, bool kDropout, bool kStream>
static void norm_forward_rows(const NormForward& args, int64_t begin, int64_t end, float* scratch) {
  const int64_t width = args.width;
  const float inverse_width = 1.0f / (float)width;
  const float *weights = args.weight, *biases = args.bias;
  uint32_t* bits = (uint32_t*)(scratch + norm_scratch_words(width) / 2);
  // Far enough ahead that the line has come by the time it is needed; past the end is harmless.
  const int64_t ahead = width < 1024 ? 1024 : width;
  for (int64_t row = begin; row < end; ++row) {
    const X* x = (const X*)args.x + row * args.x_stride;
    const H* residual = kAdd ? (const H*)args.residual + row * args.residual_stride : nullptr;
    H* h = kAdd ? (H*)args.h + row * width : nullptr;
    H* y = (H*)args.y + row * width;
    constexpr bool kInPlace = __is_same(X, float) && !kAdd;
    const float* values = kInPlace ? (const float*)x : scratch;
    if constexpr (kDropout) random_row(args.dropout.seed, row, width, bits);

    Float sums[4] = {}, squares[4] = {};
    over_row<4>(width, [&](int64_t j, int u, auto part) __attribute__((always_inline)) {
      __builtin_prefetch(x + j + ahead);
      Float value = load(x + j, part);
      if constexpr (kDropout)
        value = dropped_out(value, bits + j, args.dropout.threshold, args.dropout.scale);
      if constexpr (kAdd) {
        __builtin_prefetch(residual + j + ahead);
        // The statistics are those of what the next layer reads.
        value = rounded_to(value + load(residual + j, part), H{});
      }
      if constexpr (!kInPlace) store(scratch + j, value, part);
      if constexpr (kCentered)
        sums[u] += used(value, part);
      else
        squares[u] = fma(used(value, part), value, squares[u]);
    });

    float mean = 0.0f, variance;
    if constexpr (kCentered) {
      mean = total(sums) * inverse_width;
      // The deviations' own sum takes back the rounding error of the first mean.
      Float deviations[4] = {};
      over_row<4>(width, [&](int64_t j, int u, auto part) __attribute__((always_inline)) {
        Float deviation = used(load(values + j, part) - mean, part);
        deviations[u] += deviation;
        squares[u] = fma(deviation, deviation, squares[u]);
      });
      const float shift = total(deviations) * inverse_width;
      variance = total(squares) * inverse_width - shift * shift;
      mean += shift;
      args.mean[row] = mean;
    } else {
      variance = total(squares) * inverse_width;
    }
    const float rstd = 1.0f / __builtin_sqrtf(variance + args.eps);
    args.rstd[row] = rstd;

    emit_row<kStream>(width, [&](int64_t j, auto part, auto put) __attribute__((always_inline)) {
      Float value = load(values + j, part);
      if constexpr (kAdd) put(h, value);
      Float weight = load(weights + j, part);
      if constexpr (kCentered)
        put(y, fma((value - mean) * rstd, weight, load(biases + j, part)));
      else
        put(y, value * rstd * weight);
    });
  }
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
