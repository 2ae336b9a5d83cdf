// AdamW whose states, or parameters, take fewer bytes than float32; the arithmetic is that of
// adamw.h, in float32. What each storage keeps is told in dlplug/ops/fallback/compact_adamw.py.
//
// Tables as of adamw_tables_ in csrc/ops/adamw.h, one for each group, but for what they begin with
//   (a seed, and 0, instead of is_amsgrad and has_averages) and the columns: params, exp_avgs,
//   exp_avg_sqs, extras, exp_avg_scales, exp_avg_sq_scales (addresses; 0 where a storage has none),
//   averages (or 0), steps, storages (kernels/compact_adamw.h), numbers of elements, dtypes, grads.
//   A norm is rounded to float32 before it is compared with max_norm.
// The seed is that of the random bits of stochastic rounding; those of a row follow from its place
//   in the table. Deterministic for any number of threads.
#pragma once

#include "csrc/common/tensor.h"

namespace dlplug {

void compact_adamw_tables_(std::vector<Tensor> tables, double max_norm);

// The same on a GPU; the arguments of adamw_device_table_ in csrc/ops/adamw.h. Of its columns the
// fourth has extras, the fifth and the sixth the scales, and the one after the dtypes has storages
// plus 256 times the row's number for its random bits. Of the numbers the sixth is the storage that
// rows have unless they have float32 states, and the seventh the seed; is_amsgrad is 0. A seed on
// the device is replaced by that of the next step, larger by the seventh number, modulo 2^63; it
// needs steps on the device.
void compact_adamw_device_table_(const Tensor& table, const Tensor& numbers, const Tensor& steps);

}  // namespace dlplug
