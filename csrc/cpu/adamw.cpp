#include "csrc/ops/adamw.h"

#include <utility>

#include "csrc/common/adamw_lists.h"
#include "csrc/cpu/adamw.h"
#include "csrc/cpu/adamw_table.h"

namespace dlplug {
namespace {

constexpr int64_t kUnit = 64;  // elements; a multiple of a cache line in every dtype

// One of the tables of adamw_tables_.
class PlainTable : public AdamWTable {
 public:
  using Norm = double;

  PlainTable(const Tensor& table) : AdamWTable(table) {
    const bool is_amsgrad = facts_[0] != 0, has_averages = facts_[1] != 0;
    count_rows(7 + is_amsgrad + has_averages);
    params_ = column(), exp_avgs_ = column(), exp_avg_sqs_ = column();
    max_exp_avg_sqs_ = is_amsgrad ? column() : nullptr;
    averages_ = has_averages ? column() : nullptr;
    steps_ = column();
    take_gradients();
  }

  std::vector<AdamWRow> rows() const {
    auto at = [](const int64_t* column, int64_t i) {
      return column == nullptr ? nullptr : reinterpret_cast<void*>(column[i]);
    };
    StepCounter counter(numbers);
    std::vector<AdamWRow> rows(count_);
    for (int64_t i = 0; i < count_; ++i) {
      AdamWRow& row = rows[i];
      set_gradient(i, row);
      row.param = at(params_, i);
      row.exp_avg = at(exp_avgs_, i);
      row.exp_avg_sq = at(exp_avg_sqs_, i);
      row.max_exp_avg_sq = at(max_exp_avg_sqs_, i);
      row.average = static_cast<float*>(at(averages_, i));
      counter.advance(static_cast<float*>(at(steps_, i)), row);
    }
    return rows;
  }

 private:
  const int64_t *params_, *exp_avgs_, *exp_avg_sqs_, *max_exp_avg_sqs_, *averages_, *steps_;
};

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
  update_tables<PlainTable>(tables, max_norm, kUnit, DLPLUG_SELECT_KERNEL(adamw_update));
}

void prefetch(const Tensor& addresses) {
  STD_TORCH_CHECK(addresses.scalar_type() == ScalarType::Long && addresses.is_contiguous(),
                  "expected contiguous int64 addresses");
  const int64_t* values = static_cast<const int64_t*>(addresses.const_data_ptr());
  for (int64_t i = 0; i < addresses.numel(); ++i)
    __builtin_prefetch(reinterpret_cast<const void*>(values[i]));
}

}  // namespace dlplug
