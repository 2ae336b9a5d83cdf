// AdamW (decoupled weight decay), one step of a list of parameters, in place:
//   t <- t + 1;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
//   param <- (1 - lr weight_decay) param
//            - lr / (1 - beta1^t) * m / (sqrt(u) / sqrt(1 - beta2^t) + eps)
// with u = v, or with AMSGrad u <- max(u, v); g is the gradient, negated to maximise.
//
// params, grads, exp_avgs (m), exp_avg_sqs (v), max_exp_avg_sqs (u, or none): per row the same
//   shape, dtype (float32, bfloat16 or float16) and dense layout; a gradient may have other strides
// averages (a, or none): float32, of the parameters' shapes and layouts; moved after the update, to
//   a + average_weight (param - a), towards the parameters as they are stored
// steps (t): one float32 number each
// numbers: lr, beta1, beta2, eps, weight_decay, average_weight; (6,) float64, contiguous, on the
// CPU. On a GPU the steps lie all there or all on the CPU, the numbers on either; nothing waits.
// No two written tensors may overlap. Arithmetic is in float32, each result rounded once; states
// below the smallest normal number become 0. Deterministic for any number of threads.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

void adamw_(std::vector<Tensor> params, std::vector<Tensor> grads, std::vector<Tensor> exp_avgs,
            std::vector<Tensor> exp_avg_sqs, std::vector<Tensor> max_exp_avg_sqs,
            std::vector<Tensor> steps, std::vector<Tensor> averages, const Tensor& numbers,
            bool maximize);

// The same by address, of several groups. A table is int64, on the CPU, and begins with eleven
// numbers: is_amsgrad, has_averages, maximize; as the bits of float64 lr, beta1, beta2, eps,
// weight_decay, grad_scale, grad_factor, average_weight. (As arguments of their own they would take
// as long to pass as a small network takes to update.) Then come columns of one number per row:
// params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs (left out without is_amsgrad), averages (left out
// without has_averages), steps, numbers of elements, dtypes (csrc/common/types.h), grads. Nothing
// can be checked here: the caller has checked, and keeps the tensors alive. With grad_scale s != 1
// each gradient is first divided by s, and keeps the quotient; the update then takes grad_factor
// times that, which is not kept. With max_norm > 0, grad_factor is instead what scales the
// gradients of all tables, as they are before they are divided, down to that norm together; 1 where
// they have less.
void adamw_tables_(std::vector<Tensor> tables, double max_norm);

// The same on a GPU. `table` is int64, on the device, and begins with a counter, 0; then come
// columns of one number per row: params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs (0 without
// is_amsgrad), two columns of 0, averages (or 0), steps (addresses on the device; without any, a
// column that is written here), numbers of elements, dtypes, a column of 0, the first of each row's
// chunks, grads. `numbers` is int64, (22,), on the CPU: rows, chunks of all rows, elements of a
// chunk (a multiple of 256), is_amsgrad, maximize, 0, 0; steps: 0 on the CPU, 2 on the device;
// addresses on the device, or 0, of float32 lr, grad_scale, found_inf (nothing changes unless it is
// 0), of a float64 norm of all gradients and of an int64 seed; as the bits of float64 lr, beta1,
// beta2, eps, weight_decay, grad_scale, grad_factor, average_weight, max_norm (of gradients divided
// by their scale; needs the norm of those that are not). What is given by address counts instead of
// the number. `steps` are the addresses of steps on the CPU, int64, or empty; no two rows share one
// on the device. Nothing waits for the device.
void adamw_device_table_(const Tensor& table, const Tensor& numbers, const Tensor& steps);

// Writes `numbers`, int64 on the CPU, into a table on a GPU, from its element `begin` on. They may
// be changed or freed at once; a CUDA graph keeps them.
void write_table_(Tensor table, const Tensor& numbers, int64_t begin);

// Prefetches the cache lines at some addresses, int64, and reads none: an address may be of
// anything, even of memory that was freed.
void prefetch(const Tensor& addresses);

}  // namespace dlplug
