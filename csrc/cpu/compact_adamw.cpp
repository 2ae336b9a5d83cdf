#include "csrc/ops/compact_adamw.h"

#include "csrc/cpu/adamw.h"
#include "csrc/cpu/kernels/compact_adamw.h"

namespace dlplug {

void compact_adamw_table_(const Tensor& table, int64_t seed, double lr, double beta1, double beta2,
                          double eps, double weight_decay, bool maximize, double grad_scale,
                          double grad_factor, double average_weight) {
  constexpr int64_t kColumns = 12;
  STD_TORCH_CHECK(table.scalar_type() == ScalarType::Long && table.is_contiguous() &&
                      table.numel() % kColumns == 0,
                  "expected a contiguous int64 table of ", kColumns, " columns");
  const Hyperparameters given{lr,       beta1,      beta2,       eps,           weight_decay,
                              maximize, grad_scale, grad_factor, average_weight};
  const int64_t count = table.numel() / kColumns;
  const int64_t* numbers = static_cast<const int64_t*>(table.const_data_ptr());
  StepCounter counter(given);
  std::vector<CompactAdamWRow> rows(count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t column = 0;
    auto number = [&] { return numbers[count * column++ + i]; };
    auto address = [&] { return reinterpret_cast<void*>(number()); };
    CompactAdamWRow& row = rows[i];
    row.param = address();
    row.exp_avg = address();
    row.exp_avg_sq = address();
    row.extra = address();
    row.exp_avg_scale = static_cast<float*>(address());
    row.exp_avg_sq_scale = static_cast<float*>(address());
    row.average = static_cast<float*>(address());
    counter.advance(static_cast<float*>(address()), row);
    row.numel = number();
    row.dtype = static_cast<Dtype>(number());
    row.storage = static_cast<Storage>(number());
    row.grad = address();
    row.seed = static_cast<uint64_t>(seed);
    row.index = i;
  }
  update_rows(rows, kCompactUnit, options_of(given), DLPLUG_SELECT_KERNEL(compact_adamw_update));
}

}  // namespace dlplug
