// What the tables of addresses have in common that AdamW's ops are given (csrc/ops/adamw.h), and
// the step of several of them, clipped by one norm.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "csrc/common/adamw_options.h"
#include "csrc/common/tensor.h"
#include "csrc/common/types.h"
#include "csrc/cpu/adamw.h"
#include "csrc/cpu/total_norm.h"

namespace dlplug {

// A table, which has to live as long. Those that derive from it take their own columns first.
class AdamWTable {
 public:
  Hyperparameters numbers;

  void add_gradients(SquaresOfTensors& squares) const {
    for (int64_t i = 0; i < count_; ++i)
      squares.add(grads_[i], numels_[i], static_cast<Dtype>(dtypes_[i]));
  }

 protected:
  int64_t facts_[2];  // the first two numbers, whose meaning each op decides
  int64_t count_ = 0;
  const int64_t *numels_, *dtypes_, *grads_;

  explicit AdamWTable(const Tensor& table) {
    STD_TORCH_CHECK(table.scalar_type() == ScalarType::Long && table.is_contiguous() &&
                        table.numel() >= kNumbers,
                    "expected a contiguous int64 table that begins with ", kNumbers, " numbers");
    next_ = static_cast<const int64_t*>(table.const_data_ptr());
    left_ = table.numel() - kNumbers;
    facts_[0] = next_[0], facts_[1] = next_[1];
    double n[kNumbers - 3];
    std::memcpy(n, next_ + 3, sizeof(n));
    numbers = {n[0], n[1], n[2], n[3], n[4], next_[2] != 0, n[5], n[6], n[7]};
    next_ += kNumbers;
  }

  void count_rows(int64_t columns) {
    STD_TORCH_CHECK(left_ % columns == 0, "expected ", columns, " columns");
    count_ = left_ / columns;
  }

  const int64_t* column() { return std::exchange(next_, next_ + count_); }

  // The last three.
  void take_gradients() { numels_ = column(), dtypes_ = column(), grads_ = column(); }

  template <class Row>
  void set_gradient(int64_t i, Row& row) const {
    row.numel = numels_[i];
    row.dtype = static_cast<Dtype>(dtypes_[i]);
    row.grad = reinterpret_cast<void*>(grads_[i]);
  }

 private:
  static constexpr int64_t kNumbers = 11;
  const int64_t* next_;
  int64_t left_;
};

// Updates all rows of all tables, with gradients scaled down to `max_norm` together unless it is 0.
// Table::Norm is the type that their norm is rounded to first; Table::rows() counts each step.
template <class Table, class Kernel>
void update_tables(const std::vector<Tensor>& tables, double max_norm, int64_t unit,
                   Kernel* kernel) {
  std::vector<Table> groups(tables.begin(), tables.end());
  if (max_norm > 0.0) {
    SquaresOfTensors squares;
    for (const Table& group : groups) group.add_gradients(squares);
    const auto norm = static_cast<typename Table::Norm>(squares.norm());
    for (Table& group : groups) group.numbers.grad_factor = clip_factor(norm, max_norm);
  }
  for (const Table& group : groups)
    update_rows(group.rows(), unit, options_of(group.numbers), kernel);
}

}  // namespace dlplug
