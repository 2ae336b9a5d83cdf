#include "csrc/ops/adamw.h"

#include <cstring>
#include <utility>

#include "csrc/common/adamw_lists.h"
#include "csrc/cpu/adamw.h"

namespace dlplug {
namespace {

constexpr int64_t kUnit = 64;  // elements; a multiple of a cache line in every dtype

constexpr int64_t kNumbers = 11;  // with which a table begins

}  // namespace

void adamw_(std::vector<Tensor> params, std::vector<Tensor> grads, std::vector<Tensor> exp_avgs,
            std::vector<Tensor> exp_avg_sqs, std::vector<Tensor> max_exp_avg_sqs,
            std::vector<Tensor> steps, std::vector<Tensor> averages, const Tensor& numbers,
            bool maximize) {
  STD_TORCH_CHECK(numbers.scalar_type() == ScalarType::Double && numbers.is_contiguous() &&
                      numbers.numel() == 6,
                  "expected six float64 numbers");
  const Hyperparameters given =
      hyperparameters_of(static_cast<const double*>(numbers.const_data_ptr()), maximize);
  AdamWLists lists{std::move(params),      std::move(grads),           std::move(exp_avgs),
                   std::move(exp_avg_sqs), std::move(max_exp_avg_sqs), std::move(steps),
                   std::move(averages)};
  std::vector<AdamWRow> rows = lists.rows();
  StepCounter counter(given);
  for (size_t i = 0; i < rows.size(); ++i)
    counter.advance(static_cast<float*>(lists.steps[i].mutable_data_ptr()), rows[i]);
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
