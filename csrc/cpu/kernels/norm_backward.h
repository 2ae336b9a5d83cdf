// Backward of the norms. With xhat = (h - mean) * rstd and g = grad_y * weight:
//   gradient of h = rstd * (g - mean(g) - xhat * mean(g * xhat)) + grad_h    RMSNorm: no mean(g)
//   grad_weight   = sum over rows of grad_y * xhat,  grad_bias = sum over rows of grad_y
//   grad_x        = gradient of h, with the dropout of the forward pass
// Rows go through in groups: the sums for weight and bias are read and written once per group
// instead of once per row. The second sweep finds the group's rows in the cache. In float32, which
// waits for memory most, it asks for the next rows: memory then reads and writes at the same time.
// Bytes per element: grad_y, h and grad_input once each, and grad_h, grad_x where they exist.
#pragma once

#include "csrc/cpu/kernels/norm_forward.h"

namespace dlplug::DLPLUG_ISA {

// Two accumulators and two constants a row must fit in the registers beside the shared values. In
// float32 a group of two leaves room in the L1 cache for the rows that are asked for.
#if defined(__AVX512F__)
template <class H>
constexpr int kGroup = sizeof(H) == 2 ? 4 : 2;
#else
template <class H>
constexpr int kGroup = 2;
#endif

// Rows are asked for this early (bytes): a group of narrow rows would be over before they come.
template <class H>
constexpr int64_t kPrefetchBytes = sizeof(H) == 2 ? 4096 : 8192;

// One row's share of a backward pass, after the sums over it.
template <class H>
struct BackwardRow {
  const H *grad_y, *h;
  float mean, rstd;
  float mean_g, mean_g_xhat;
};

template <class X, class H, bool kCentered, bool kGradH, bool kGradX, bool kDropout, bool kStream>
static void norm_backward_inputs(const NormBackward& args, int64_t row, const BackwardRow<H>& at,
                                 int64_t rows_ahead) {
  const int64_t width = args.width;
  const float* weights = args.weight;
  const H* grad_h = kGradH ? (const H*)args.grad_h + row * args.grad_h_stride : nullptr;
  H* grad_input = (H*)args.grad_input + row * width;
  X* grad_x = kGradX ? (X*)args.grad_x + row * width : nullptr;
  [[maybe_unused]] DropoutRow drawn;
  if constexpr (kDropout) drawn.keys = random_keys(args.dropout.seed);
  // For narrow types as one linear function of h and g.
  const float slope = -at.mean_g_xhat * at.rstd * at.rstd;
  const float offset = -at.mean * slope - at.mean_g * at.rstd;
  over_pairs(width, [&](int64_t j, auto part) __attribute__((always_inline)) {
    Float grads[part.kVectors], values[part.kVectors], row_weights[part.kVectors];
    Float others[part.kVectors];
    if constexpr (sizeof(H) == 4) {
      prefetch(at.grad_y + j + rows_ahead * args.grad_y_stride, part);
      prefetch(at.h + j + rows_ahead * args.h_stride, part);
    }
    if constexpr (kGradH) prefetch(grad_h + j + rows_ahead * args.grad_h_stride, part);
    load(at.grad_y + j, part, grads);
    load(at.h + j, part, values);
    load(weights + j, part, row_weights);
    if constexpr (kGradH) load(grad_h + j, part, others);
#pragma GCC unroll 2
    for (int i = 0; i < part.kVectors; ++i) {
      Float g = grads[i] * row_weights[i];
      if constexpr (sizeof(H) == 2) {
        grads[i] = fma(g, broadcast(at.rstd), fma(values[i], broadcast(slope), broadcast(offset)));
      } else {
        const Float xhat = normalised<kCentered>(values[i], at.mean, at.rstd);
        // In this order a row of width 1 gives exactly 0.
        if constexpr (kCentered) g -= at.mean_g;
        grads[i] = fma(xhat, broadcast(-at.mean_g_xhat), g) * at.rstd;
      }
      if constexpr (kGradH) grads[i] += others[i];
    }
    emit<kStream>(grad_input + j, grads, part);
    if constexpr (kGradX) {
      if constexpr (kDropout) drop_out(args.dropout, row, width, j, drawn, grads);
      emit<kStream>(grad_x + j, grads, part);
    }
  });
}

template <int kRows, class X, class H, bool kCentered, bool kAdd, bool kWeights, bool kStream>
static void norm_backward_group(const NormBackward& args, int64_t row) {
  const int64_t width = args.width;
  const float inverse_width = 1.0f / (float)width;
  const int64_t row_bytes = width * (int64_t)sizeof(H);
  const bool is_narrow = kRows * row_bytes < kPrefetchBytes<H> && width > 0;
  const int64_t rows_ahead = is_narrow ? (kPrefetchBytes<H> + row_bytes - 1) / row_bytes : kRows;
  const float* weights = args.weight;
  float *grad_weights = args.grad_weight, *grad_biases = args.grad_bias;
  BackwardRow<H> at[kRows];
  Float sum_g[kRows][1] = {}, sum_g_xhat[kRows][1] = {}, all_g[kRows] = {}, all_g_xhat[kRows] = {};
  for (int r = 0; r < kRows; ++r) {
    at[r].grad_y = (const H*)args.grad_y + (row + r) * args.grad_y_stride;
    at[r].h = (const H*)args.h + (row + r) * args.h_stride;
    at[r].mean = kCentered ? args.mean[row + r] : 0.0f;
    at[r].rstd = args.rstd[row + r];
  }

  auto sweep = [&](int64_t j, auto part) __attribute__((always_inline)) {
    constexpr int kVectors = part.kVectors;
    Float row_weights[kVectors], grad_weight[kVectors] = {}, grad_bias[kVectors] = {};
    load(weights + j, part, row_weights);
    if constexpr (kWeights) load(grad_weights + j, part, grad_weight);
    if constexpr (kWeights && kCentered) load(grad_biases + j, part, grad_bias);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if constexpr (sizeof(H) == 2) {
        prefetch(at[r].grad_y + j + rows_ahead * args.grad_y_stride, part);
        prefetch(at[r].h + j + rows_ahead * args.h_stride, part);
      }
      Float grads[kVectors], values[kVectors];
      load(at[r].grad_y + j, part, grads);
      load(at[r].h + j, part, values);
#pragma GCC unroll 2
      for (int i = 0; i < kVectors; ++i) {
        const Float xhat = normalised<kCentered>(values[i], at[r].mean, at[r].rstd);
        const Float g = grads[i] * row_weights[i];
        if constexpr (kCentered) sum_g[r][0] += g;
        // Lanes past the last column hold g = 0, but 0 * infinity would be NaN.
        sum_g_xhat[r][0] = fma(g, used(xhat, part), sum_g_xhat[r][0]);
        if constexpr (kWeights) grad_weight[i] = fma(grads[i], xhat, grad_weight[i]);
        if constexpr (kWeights && kCentered) grad_bias[i] += grads[i];
      }
    }
    if constexpr (kWeights) store(grad_weights + j, grad_weight, part);
    if constexpr (kWeights && kCentered) store(grad_biases + j, grad_bias, part);
  };
  over_parts(
      width, 1,
      [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        over_pairs(end - begin, [&](int64_t j, auto part)
                                    __attribute__((always_inline)) { sweep(begin + j, part); });
      },
      [&]() __attribute__((always_inline)) {
        if constexpr (kCentered) add_parts(all_g, sum_g);
        add_parts(all_g_xhat, sum_g_xhat);
      });

  Float4 mean_g = {};
  if constexpr (kCentered) mean_g = sums(all_g) * inverse_width;
  const Float4 mean_g_xhat = sums(all_g_xhat) * inverse_width;
  for (int r = 0; r < kRows; ++r) {
    at[r].mean_g = mean_g[r];
    at[r].mean_g_xhat = mean_g_xhat[r];
  }
#pragma GCC unroll 1
  for (int r = 0; r < kRows; ++r) {
    if constexpr (!kAdd) {
      norm_backward_inputs<X, H, kCentered, false, false, false, kStream>(args, row + r, at[r],
                                                                          rows_ahead);
    } else {
      // Without grad_x there is no dropout.
      const bool has_dropout = args.grad_x != nullptr && args.dropout.threshold != 0;
      with_flag(args.grad_h != nullptr, [&](auto grad_h) __attribute__((always_inline)) {
        with_flag(args.grad_x != nullptr, [&](auto grad_x) __attribute__((always_inline)) {
          with_flag(has_dropout, [&](auto drops) __attribute__((always_inline)) {
            norm_backward_inputs<X, H, kCentered, grad_h.value, grad_x.value,
                                 grad_x.value && drops.value, kStream>(args, row + r, at[r],
                                                                       rows_ahead);
          });
        });
      });
    }
  }
}

template <class X, class H, bool kCentered, bool kAdd, bool kWeights, bool kStream>
static void norm_backward_rows(const NormBackward& args, int64_t begin, int64_t end) {
  int64_t row = begin;
  for (; row + kGroup<H> <= end; row += kGroup<H>)
    norm_backward_group<kGroup<H>, X, H, kCentered, kAdd, kWeights, kStream>(args, row);
  for (; row < end; ++row)
    norm_backward_group<1, X, H, kCentered, kAdd, kWeights, kStream>(args, row);
  if constexpr (kStream) fence();
}

template <class X, class H, bool kCentered, bool kAdd>
DLPLUG_INLINE void norm_backward_flags(const NormBackward& args, int64_t begin, int64_t end) {
  with_flag(args.grad_weight != nullptr, [&](auto weights) __attribute__((always_inline)) {
    with_flag(args.is_streaming, [&](auto streams) __attribute__((always_inline)) {
      norm_backward_rows<X, H, kCentered, kAdd, weights.value, streams.value>(args, begin, end);
    });
  });
}

template <bool kCentered>
DLPLUG_INLINE void norm_backward(const NormBackward& args, int64_t begin, int64_t end) {
  with_dtype(args.x_dtype, args.has_bf16, [&](auto x) __attribute__((always_inline)) {
    using X = decltype(x);
    norm_backward_flags<X, X, kCentered, false>(args, begin, end);
  });
}

template <bool kCentered>
DLPLUG_INLINE void add_norm_backward(const NormBackward& args, int64_t begin, int64_t end) {
  with_dtypes(args.x_dtype, args.dtype, args.has_bf16,
              [&](auto x, auto h) __attribute__((always_inline)) {
                norm_backward_flags<decltype(x), decltype(h), kCentered, true>(args, begin, end);
              });
}

}  // namespace dlplug::DLPLUG_ISA
