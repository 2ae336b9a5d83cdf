// What every form of AdamW does before and around its kernel.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "csrc/common/adamw_options.h"
#include "csrc/common/tensor.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace dlplug {

// Denormals read and written as 0 while it lives; then the thread's mode is what it was.
class FlushDenormals {
 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
#if defined(__x86_64__)
  FlushDenormals() : mode_(_mm_getcsr()) { _mm_setcsr(mode_ | 0x8040u); }  // FTZ | DAZ
  ~FlushDenormals() { _mm_setcsr(mode_); }

 private:
  unsigned mode_;
#elif defined(__aarch64__)
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode_));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode_ | (uint64_t{1} << 24)));  // FZ
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(mode_)); }

 private:
  uint64_t mode_;
#else
  FlushDenormals() {}
#endif
};

// Counts the step of each row and sets its bias corrections. In order, before anything runs in
// parallel, because rows may share a counter.
class StepCounter {
 public:
  explicit StepCounter(const Hyperparameters& given) : given_(given) {}

  // `Row` has the two numbers that follow from a step.
  template <class Row>
  void advance(float* step, Row& row) {
    *step += 1.0f;
    if (*step != last_) {  // nearly always all rows are at the same step
      last_ = *step;
      const BiasCorrections corrections = bias_corrections(given_.beta1, given_.beta2, *step);
      negative_step_ = negative_step_of(given_.lr, corrections);
      inverse_root_ = inverse_root_of(corrections);
    }
    row.negative_step = negative_step_;
    row.inverse_root = inverse_root_;
  }

 private:
  const Hyperparameters& given_;
  float last_ = NAN;
  float negative_step_ = 0.0f;
  float inverse_root_ = 0.0f;
};

// Updates all elements of all rows. The list is split in units of `unit` elements, so that a
// thread's share does not depend on how the elements are spread over parameters.
template <class Row, class Kernel>
void update_rows(const std::vector<Row>& rows, int64_t unit, const AdamWOptions& options,
                 Kernel* kernel) {
  // Elements that one thread should have at least: below it, waking another thread costs more. A
  // thread updates 6 elements in a nanosecond where they are in the caches.
  constexpr int64_t kGrain = 65536;
  std::vector<int64_t> first_units(rows.size() + 1);
  for (size_t i = 0; i < rows.size(); ++i)
    first_units[i + 1] = first_units[i] + (rows[i].numel + unit - 1) / unit;
  torch::stable::parallel_for(
      0, first_units.back(), kGrain / unit, [&](int64_t begin, int64_t end) {
        FlushDenormals flush;
        size_t i = std::upper_bound(first_units.begin(), first_units.end(), begin) -
                   first_units.begin() - 1;
        for (; begin < end; ++i) {
          const int64_t stop = std::min(end, first_units[i + 1]);
          const int64_t last = (stop - first_units[i]) * unit;
          kernel(rows[i], options, (begin - first_units[i]) * unit, std::min(last, rows[i].numel));
          begin = stop;
        }
      });
}

}  // namespace dlplug
