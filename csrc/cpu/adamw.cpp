#include "csrc/ops/adamw.h"

#include <algorithm>
#include <cstring>

#include "csrc/cpu/adamw.h"

namespace dlplug {
namespace {

constexpr int64_t kUnit = 64;  // elements; a multiple of a cache line in every dtype

constexpr int64_t kNumbers = 11;  // with which a table begins

bool is_dense(const Tensor& tensor) {
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

bool has_layout_of(const Tensor& other, const Tensor& tensor) {
  if (tensor.dim() != other.dim()) return false;
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    if (tensor.size(axis) != other.size(axis)) return false;
    if (tensor.size(axis) > 1 && tensor.stride(axis) != other.stride(axis)) return false;
  }
  return true;
}

// The address of a state of `param`; null where there are none.
void* state_of(const std::vector<Tensor>& states, size_t i, const Tensor& param, ScalarType dtype) {
  if (states.empty()) return nullptr;
  STD_TORCH_CHECK(has_layout_of(param, states[i]) && states[i].scalar_type() == dtype,
                  "the states of parameter ", i, " must have its shape, strides and dtype");
  return states[i].mutable_data_ptr();
}

}  // namespace

void adamw_(std::vector<Tensor> params, std::vector<Tensor> grads, std::vector<Tensor> exp_avgs,
            std::vector<Tensor> exp_avg_sqs, std::vector<Tensor> max_exp_avg_sqs,
            std::vector<Tensor> steps, std::vector<Tensor> averages, const Tensor& numbers,
            bool maximize) {
  const size_t count = params.size();
  STD_TORCH_CHECK(grads.size() == count && exp_avgs.size() == count &&
                      exp_avg_sqs.size() == count && steps.size() == count &&
                      (max_exp_avg_sqs.empty() || max_exp_avg_sqs.size() == count) &&
                      (averages.empty() || averages.size() == count),
                  "expected lists of the same length");
  STD_TORCH_CHECK(numbers.scalar_type() == ScalarType::Double && numbers.is_contiguous() &&
                      numbers.numel() == 6,
                  "expected six float64 numbers");
  const double* n = static_cast<const double*>(numbers.const_data_ptr());
  const Hyperparameters given{n[0], n[1], n[2], n[3], n[4], maximize, 1.0, 1.0, n[5]};
  std::vector<Tensor> own_grads = grads;  // with the parameters' strides
  std::vector<AdamWRow> rows(count);
  for (size_t i = 0; i < count; ++i) {
    const Tensor& param = params[i];
    STD_TORCH_CHECK(is_dense(param), "parameter ", i, " must be dense in memory");
    STD_TORCH_CHECK(grads[i].scalar_type() == param.scalar_type() &&
                        steps[i].scalar_type() == ScalarType::Float && steps[i].numel() == 1,
                    "gradient ", i, " must have its parameter's dtype, step ", i, " be a float32");
    if (!has_layout_of(param, grads[i])) {
      own_grads[i] = torch::stable::empty_like(param);
      torch::stable::copy_(own_grads[i], grads[i]);
    }
    AdamWRow& row = rows[i];
    row.dtype = dtype_of(param);
    row.param = param.mutable_data_ptr();
    row.grad = own_grads[i].mutable_data_ptr();
    row.exp_avg = state_of(exp_avgs, i, param, param.scalar_type());
    row.exp_avg_sq = state_of(exp_avg_sqs, i, param, param.scalar_type());
    row.max_exp_avg_sq = state_of(max_exp_avg_sqs, i, param, param.scalar_type());
    row.average = static_cast<float*>(state_of(averages, i, param, ScalarType::Float));
    row.numel = param.numel();
  }
  StepCounter counter(given);
  for (size_t i = 0; i < count; ++i)
    counter.advance(static_cast<float*>(steps[i].mutable_data_ptr()), rows[i]);
  update_rows(rows, kUnit, options_of(given), DLPLUG_SELECT_KERNEL(adamw_update));
}

void adamw_table_(const Tensor& table) {
  STD_TORCH_CHECK(
      table.scalar_type() == ScalarType::Long && table.is_contiguous() && table.numel() >= kNumbers,
      "expected a contiguous int64 table that begins with ", kNumbers, " numbers");
  const int64_t* next = static_cast<const int64_t*>(table.const_data_ptr());
  const bool is_amsgrad = next[0] != 0, has_averages = next[1] != 0, maximize = next[2] != 0;
  double n[kNumbers - 3];
  std::memcpy(n, next + 3, sizeof(n));
  const Hyperparameters given{n[0], n[1], n[2], n[3], n[4], maximize, n[5], n[6], n[7]};
  next += kNumbers;
  const int64_t columns = 7 + is_amsgrad + has_averages;
  const int64_t count = (table.numel() - kNumbers) / columns;
  STD_TORCH_CHECK(table.numel() == kNumbers + count * columns, "expected ", columns, " columns");
  auto column = [&] {
    const int64_t* values = next;
    next += count;
    return values;
  };
  const int64_t *params = column(), *exp_avgs = column(), *exp_avg_sqs = column();
  const int64_t* max_exp_avg_sqs = is_amsgrad ? column() : nullptr;
  const int64_t* averages = has_averages ? column() : nullptr;
  const int64_t *steps = column(), *numels = column(), *dtypes = column(), *grads = column();

  auto address = [](int64_t value) { return reinterpret_cast<void*>(value); };
  StepCounter counter(given);
  std::vector<AdamWRow> rows(count);
  for (int64_t i = 0; i < count; ++i) {
    AdamWRow& row = rows[i];
    row.dtype = static_cast<Dtype>(dtypes[i]);
    row.param = address(params[i]);
    row.grad = address(grads[i]);
    row.exp_avg = address(exp_avgs[i]);
    row.exp_avg_sq = address(exp_avg_sqs[i]);
    row.max_exp_avg_sq = is_amsgrad ? address(max_exp_avg_sqs[i]) : nullptr;
    row.average = static_cast<float*>(has_averages ? address(averages[i]) : nullptr);
    row.numel = numels[i];
    counter.advance(static_cast<float*>(address(steps[i])), row);
  }
  update_rows(rows, kUnit, options_of(given), DLPLUG_SELECT_KERNEL(adamw_update));
}

void prefetch(const Tensor& addresses) {
  STD_TORCH_CHECK(addresses.scalar_type() == ScalarType::Long && addresses.is_contiguous(),
                  "expected contiguous int64 addresses");
  const int64_t* values = static_cast<const int64_t*>(addresses.const_data_ptr());
  for (int64_t i = 0; i < addresses.numel(); ++i)
    __builtin_prefetch(reinterpret_cast<const void*>(values[i]));
}

}  // namespace dlplug
