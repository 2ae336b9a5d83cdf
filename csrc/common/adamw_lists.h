// The lists of adamw_ (csrc/ops/adamw.h) as rows of addresses; the same checks on every device.
#pragma once

#include <algorithm>
#include <vector>

#include "csrc/common/tensor.h"
#include "csrc/cpu/kernels/adamw.h"

namespace dlplug {

inline bool is_dense(const Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  std::vector<int64_t> axes;
  for (int64_t axis = 0; axis < tensor.dim(); ++axis)
    if (sizes[axis] != 1) axes.push_back(axis);
  std::sort(axes.begin(), axes.end(),
            [&](int64_t a, int64_t b) { return strides[a] < strides[b]; });
  int64_t expected = 1;
  for (int64_t axis : axes) {
    if (strides[axis] != expected) return false;
    expected *= sizes[axis];
  }
  return true;
}

inline bool has_layout_of(const Tensor& other, const Tensor& tensor) {
  if (tensor.dim() != other.dim()) return false;
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    if (tensor.size(axis) != other.size(axis)) return false;
    if (tensor.size(axis) > 1 && tensor.stride(axis) != other.stride(axis)) return false;
  }
  return true;
}

struct AdamWLists {
  std::vector<Tensor> params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, averages;

  // Without what follows from a step. `grads` become copies where their strides are not those of
  // the parameters; they live as long as this.
  std::vector<AdamWRow> rows() {
    const size_t count = params.size();
    STD_TORCH_CHECK(grads.size() == count && exp_avgs.size() == count &&
                        exp_avg_sqs.size() == count && steps.size() == count &&
                        (max_exp_avg_sqs.empty() || max_exp_avg_sqs.size() == count) &&
                        (averages.empty() || averages.size() == count),
                    "expected lists of the same length");
    std::vector<AdamWRow> rows(count);
    for (size_t i = 0; i < count; ++i) {
      const Tensor& param = params[i];
      STD_TORCH_CHECK(is_dense(param), "parameter ", i, " must be dense in memory");
      STD_TORCH_CHECK(grads[i].scalar_type() == param.scalar_type() &&
                          steps[i].scalar_type() == ScalarType::Float && steps[i].numel() == 1,
                      "gradient ", i, " must have its parameter's dtype, step ", i,
                      " be a float32");
      if (!has_layout_of(param, grads[i])) {
        Tensor copy = torch::stable::empty_like(param);
        torch::stable::copy_(copy, grads[i]);
        grads[i] = copy;
      }
      AdamWRow& row = rows[i];
      row.dtype = dtype_of(param);
      row.param = param.mutable_data_ptr();
      row.grad = grads[i].mutable_data_ptr();
      row.exp_avg = state_of(exp_avgs, i, param.scalar_type());
      row.exp_avg_sq = state_of(exp_avg_sqs, i, param.scalar_type());
      row.max_exp_avg_sq = state_of(max_exp_avg_sqs, i, param.scalar_type());
      row.average = static_cast<float*>(state_of(averages, i, ScalarType::Float));
      row.numel = param.numel();
    }
    return rows;
  }

 private:
  // The address of a state; null where there are none.
  void* state_of(const std::vector<Tensor>& states, size_t i, ScalarType dtype) const {
    if (states.empty()) return nullptr;
    STD_TORCH_CHECK(has_layout_of(params[i], states[i]) && states[i].scalar_type() == dtype,
                    "the states of parameter ", i, " must have its shape, strides and dtype");
    return states[i].mutable_data_ptr();
  }
};

}  // namespace dlplug
