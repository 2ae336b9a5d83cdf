#include "csrc/ops/adamw.h"

#include <cstring>
#include <utility>

#include "csrc/common/adamw_lists.h"
#include "csrc/cpu/adamw.h"
#include "csrc/cpu/total_norm.h"

namespace dlplug {
namespace {

constexpr int64_t kUnit = 64;  // elements; a multiple of a cache line in every dtype

constexpr int64_t kNumbers = 11;  // with which a table begins

// One of the tables of adamw_tables_ (csrc/ops/adamw.h), which has to live as long.
class AdamWTable {
 public:
  Hyperparameters numbers;

  AdamWTable(const Tensor& table) {
    STD_TORCH_CHECK(table.scalar_type() == ScalarType::Long && table.is_contiguous() &&
                        table.numel() >= kNumbers,
                    "expected a contiguous int64 table that begins with ", kNumbers, " numbers");
    const int64_t* next = static_cast<const int64_t*>(table.const_data_ptr());
    const bool is_amsgrad = next[0] != 0, has_averages = next[1] != 0, maximize = next[2] != 0;
    double n[kNumbers - 3];
    std::memcpy(n, next + 3, sizeof(n));
    numbers = {n[0], n[1], n[2], n[3], n[4], maximize, n[5], n[6], n[7]};
    next += kNumbers;
    const int64_t columns = 7 + is_amsgrad + has_averages;
    count_ = (table.numel() - kNumbers) / columns;
    STD_TORCH_CHECK(table.numel() == kNumbers + count_ * columns, "expected ", columns, " columns");
    auto column = [&](bool is_there = true) {
      const int64_t* values = is_there ? next : nullptr;
      next += is_there ? count_ : 0;
      return values;
    };
    params_ = column(), exp_avgs_ = column(), exp_avg_sqs_ = column();
    max_exp_avg_sqs_ = column(is_amsgrad), averages_ = column(has_averages);
    steps_ = column(), numels_ = column(), dtypes_ = column(), grads_ = column();
  }

  void add_gradients(SquaresOfTensors& squares) const {
    for (int64_t i = 0; i < count_; ++i)
      squares.add(grads_[i], numels_[i], static_cast<Dtype>(dtypes_[i]));
  }

  // With each step counted.
  std::vector<AdamWRow> rows() const {
    auto at = [](const int64_t* column, int64_t i) {
      return column == nullptr ? nullptr : reinterpret_cast<void*>(column[i]);
    };
    StepCounter counter(numbers);
    std::vector<AdamWRow> rows(count_);
    for (int64_t i = 0; i < count_; ++i) {
      AdamWRow& row = rows[i];
      row.dtype = static_cast<Dtype>(dtypes_[i]);
      row.param = at(params_, i);
      row.grad = at(grads_, i);
      row.exp_avg = at(exp_avgs_, i);
      row.exp_avg_sq = at(exp_avg_sqs_, i);
      row.max_exp_avg_sq = at(max_exp_avg_sqs_, i);
      row.average = static_cast<float*>(at(averages_, i));
      row.numel = numels_[i];
      counter.advance(static_cast<float*>(at(steps_, i)), row);
    }
    return rows;
  }

 private:
  int64_t count_;
  const int64_t *params_, *exp_avgs_, *exp_avg_sqs_, *max_exp_avg_sqs_, *averages_, *steps_;
  const int64_t *numels_, *dtypes_, *grads_;
};

// As PyTorch's clip_grad_norm_; NaN stays NaN.
double clipping_factor(double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor >= 1.0 ? 1.0 : factor;
}

double norm_of_gradients(const std::vector<AdamWTable>& groups) {
  SquaresOfTensors squares;
  for (const AdamWTable& group : groups) group.add_gradients(squares);
  return squares.norm();
}

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

void adamw_tables_(std::vector<Tensor> tables, double max_norm) {
  std::vector<AdamWTable> groups(tables.begin(), tables.end());
  if (max_norm > 0.0) {
    const double factor = clipping_factor(norm_of_gradients(groups), max_norm);
    for (AdamWTable& group : groups) group.numbers.grad_factor = factor;
  }
  for (const AdamWTable& group : groups) {
    std::vector<AdamWRow> rows = group.rows();
    update_rows(rows, kUnit, options_of(group.numbers), DLPLUG_SELECT_KERNEL(adamw_update));
  }
}

void prefetch(const Tensor& addresses) {
  STD_TORCH_CHECK(addresses.scalar_type() == ScalarType::Long && addresses.is_contiguous(),
                  "expected contiguous int64 addresses");
  const int64_t* values = static_cast<const int64_t*>(addresses.const_data_ptr());
  for (int64_t i = 0; i < addresses.numel(); ++i)
    __builtin_prefetch(reinterpret_cast<const void*>(values[i]));
}

}  // namespace dlplug
