// The two sweeps of the norms' backward pass over a group of rows. The second one finds the rows in
// the cache, and prefetches the next ones while it writes.
#pragma once

#include "csrc/cpu/kernels/norm.h"
#include "csrc/cpu/kernels/norm_dropout.h"
#include "csrc/cpu/kernels/norm_moments.h"
#include "csrc/cpu/kernels/norm_prefetch.h"

namespace dlplug::DLPLUG_ISA {

// One row of a backward pass; the last two numbers are known after the first sweep.
template <class H>
struct BackwardRow {
  const H *grad_y, *h;
  float mean, rstd;
  float mean_g, mean_g_xhat;
};

// Adds the rows to the sums for weight and bias, and completes `at`.
template <int kRows, class H, bool kCentered, bool kWeights>
DLPLUG_INLINE void sum_rows(const NormBackward& args, BackwardRow<H> (&at)[kRows]) {
  const int64_t width = args.width;
  const float inverse_width = 1.0f / (float)width;
  const float* weights = args.weight;
  float *grad_weights = args.grad_weight, *grad_biases = args.grad_bias;
  Float sum_g[kRows][1] = {}, sum_g_xhat[kRows][1] = {}, all_g[kRows] = {}, all_g_xhat[kRows] = {};

  auto sweep = [&](int64_t j, auto part) __attribute__((always_inline)) {
    constexpr int kVectors = part.kVectors;
    Float row_weights[kVectors], grad_weight[kVectors] = {}, grad_bias[kVectors] = {};
    load(weights + j, part, row_weights);
    if constexpr (kWeights) load(grad_weights + j, part, grad_weight);
    if constexpr (kWeights && kCentered) load(grad_biases + j, part, grad_bias);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
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
}

// Writes the gradients of the inputs of the rows from `first` on, column by column, and prefetches
// the rows that are `ahead` of them. The addresses are computed in the loop: where it waits for
// memory alone (float32), a loop that prefetches faster takes longer.
template <int kRows, class X, class H, bool kCentered, bool kGradH, bool kGradX, bool kDropout,
          bool kStream>
static void write_gradients(const NormBackward& args, int64_t first, const BackwardRow<H>* at,
                            int64_t ahead) {
  const int64_t width = args.width;
  const float* weights = args.weight;
  const H* grad_h = kGradH ? (const H*)args.grad_h + first * args.grad_h_stride : nullptr;
  H* grad_input = (H*)args.grad_input + first * width;
  X* grad_x = kGradX ? (X*)args.grad_x + first * width : nullptr;
  [[maybe_unused]] DropoutRow drawn[kRows];
  // For 16-bit types the gradient is rstd * g + slope * h + offset.
  float slope[kRows], offset[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    if constexpr (kDropout) drawn[r].keys = random_keys(args.dropout.seed);
    slope[r] = -at[r].mean_g_xhat * at[r].rstd * at[r].rstd;
    offset[r] = -at[r].mean * slope[r] - at[r].mean_g * at[r].rstd;
  }
  over_pairs(width, [&](int64_t j, auto part) __attribute__((always_inline)) {
    Float row_weights[part.kVectors];
    load(weights + j, part, row_weights);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      Float grads[part.kVectors], values[part.kVectors], others[part.kVectors];
      prefetch(at[r].grad_y + j + ahead * args.grad_y_stride, part);
      prefetch(at[r].h + j + ahead * args.h_stride, part);
      if constexpr (kGradH) prefetch(grad_h + j + (r + ahead) * args.grad_h_stride, part);
      load(at[r].grad_y + j, part, grads);
      load(at[r].h + j, part, values);
      if constexpr (kGradH) load(grad_h + j + r * args.grad_h_stride, part, others);
#pragma GCC unroll 2
      for (int i = 0; i < part.kVectors; ++i) {
        Float g = grads[i] * row_weights[i];
        if constexpr (sizeof(H) == 2) {
          grads[i] = fma(g, broadcast(at[r].rstd),
                         fma(values[i], broadcast(slope[r]), broadcast(offset[r])));
        } else {
          const Float xhat = normalised<kCentered>(values[i], at[r].mean, at[r].rstd);
          // In this order a row of width 1 gives exactly 0.
          if constexpr (kCentered) g -= at[r].mean_g;
          grads[i] = fma(xhat, broadcast(-at[r].mean_g_xhat), g) * at[r].rstd;
        }
        if constexpr (kGradH) grads[i] += others[i];
      }
      emit<kStream>(grad_input + r * width + j, grads, part);
      if constexpr (kGradX) {
        if constexpr (kDropout) drop_out(args.dropout, first + r, width, j, drawn[r], grads);
        emit<kStream>(grad_x + r * width + j, grads, part);
      }
    }
  });
}

}  // namespace dlplug::DLPLUG_ISA
