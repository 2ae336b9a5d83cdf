// Combines the parts of attention forward's result where the keys are split into ranges.
#include "csrc/cpu/kernels/attention.h"
#include "csrc/cpu/kernels/attention_output.h"

namespace dlplug::DLPLUG_ISA {

template <class T>
static void combine(const AttentionForward& args, int64_t begin, int64_t end) {
  const int64_t rows = args.batch * args.heads * args.num_queries, width = args.value_width;
  for (int64_t row = begin; row < end; ++row) {
    float top = -kInfinity, total = 0.0f;
    for (int64_t at = row; at < args.num_key_items * rows; at += rows)
      top = args.part_tops[at] > top ? args.part_tops[at] : top;
    float* sums = nullptr;  // those of the first range that sees something; the others are added
    for (int64_t at = row; at < args.num_key_items * rows; at += rows) {
      if (args.part_totals[at] == 0.0f) continue;
      // A range whose scores are all NaN has no top.
      const float shrink =
          args.part_tops[at] == top ? 1.0f : exp_of_score(args.part_tops[at] - top);
      float* part = args.part_sums + at * width;
      total += args.part_totals[at] * shrink;
      over_row<1>(width, [&](int64_t j, int, auto half) __attribute__((always_inline)) {
        const Float value = load(part + j, half) * shrink;
        if (sums == nullptr)
          store(part + j, value, half);
        else
          store(sums + j, load(sums + j, half) + value, half);
      });
      if (sums == nullptr) sums = part;
    }
    const int64_t head = row / args.num_queries;
    float unused, factor;
    put_rows<T>(args, head / args.heads, head % args.heads, row % args.num_queries, 1, sums, 0,
                {&top, &total, &unused, &factor});
  }
}

void attention_combine(const AttentionForward& args, int64_t begin, int64_t end) {
  switch (args.dtype) {
    case Dtype::kFloat32:
      return combine<float>(args, begin, end);
    case Dtype::kBFloat16:
      return combine<BFloat16>(args, begin, end);
    case Dtype::kFloat16:
      return combine<Half>(args, begin, end);
  }
}

}  // namespace dlplug::DLPLUG_ISA
