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
// CPU No two written tensors may overlap. Arithmetic is in float32, each result rounded once;
// states below the smallest normal number become 0. Deterministic for any number of threads.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

void adamw_(std::vector<Tensor> params, std::vector<Tensor> grads, std::vector<Tensor> exp_avgs,
            std::vector<Tensor> exp_avg_sqs, std::vector<Tensor> max_exp_avg_sqs,
            std::vector<Tensor> steps, std::vector<Tensor> averages, const Tensor& numbers,
            bool maximize);

// The same by address. `table` is int64, on the CPU, and begins with eleven numbers: is_amsgrad,
// has_averages, maximize; as the bits of float64 lr, beta1, beta2, eps, weight_decay, grad_scale,
// grad_factor, average_weight. (As arguments of their own they would take as long to pass as a
// small network takes to update.) Then come columns of one number per row: params, exp_avgs,
// exp_avg_sqs, max_exp_avg_sqs (left out without is_amsgrad), averages (left out without
// has_averages), steps, numbers of elements, dtypes (csrc/common/types.h), grads. Nothing can be
// checked here: the caller has checked, and keeps the tensors alive. With grad_scale s != 1 each
// gradient is first divided by s, and keeps the quotient; the update then takes grad_factor times
// that, as clipping asks for, which is not kept.
void adamw_table_(const Tensor& table);

// Asks for the cache lines at some addresses, int64, and reads none: an address may be of anything,
// or of nothing any more.
void prefetch(const Tensor& addresses);

}  // namespace dlplug
