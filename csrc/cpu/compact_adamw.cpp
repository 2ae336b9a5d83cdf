#include "csrc/ops/compact_adamw.h"

#include "csrc/cpu/adamw_table.h"
#include "csrc/cpu/kernels/compact_adamw.h"

namespace dlplug {
namespace {

// One of the tables of compact_adamw_tables_.
class CompactTable : public AdamWTable {
 public:
  using Norm = float;  // as total_norm returns it, by which a step without tables is clipped

  CompactTable(const Tensor& table) : AdamWTable(table) {
    count_rows(12);
    for (const int64_t*& own : own_) own = column();
    take_gradients();
  }

  std::vector<CompactAdamWRow> rows() const {
    StepCounter counter(numbers);
    std::vector<CompactAdamWRow> rows(count_);
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t* const* column = own_;
      auto number = [&] { return (*column++)[i]; };
      auto address = [&] { return reinterpret_cast<void*>(number()); };
      CompactAdamWRow& row = rows[i];
      set_gradient(i, row);
      row.param = address();
      row.exp_avg = address();
      row.exp_avg_sq = address();
      row.extra = address();
      row.exp_avg_scale = static_cast<float*>(address());
      row.exp_avg_sq_scale = static_cast<float*>(address());
      row.average = static_cast<float*>(address());
      counter.advance(static_cast<float*>(address()), row);
      row.storage = static_cast<Storage>(number());
      row.seed = static_cast<uint64_t>(facts_[0]);
      row.index = i;
    }
    return rows;
  }

 private:
  const int64_t* own_[9];
};

}  // namespace

void compact_adamw_tables_(std::vector<Tensor> tables, double max_norm) {
  update_tables<CompactTable>(tables, max_norm, kCompactUnit,
                              DLPLUG_SELECT_KERNEL(compact_adamw_update));
}

}  // namespace dlplug
