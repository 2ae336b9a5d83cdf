// Adds up what the items of the attention backward, each for itself, summed up of one gradient.
#include "csrc/cpu/kernels/attention.h"
#include "csrc/cpu/kernels/attention_pack.h"
#include "csrc/cpu/kernels/attention_scratch.h"
#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

template <class T>
static void sum_mask_shares(const float* shares, int64_t num_shares, int64_t stride, T* to,
                            int64_t begin, int64_t end) {
  over_row<1>(end - begin, [&](int64_t i, int, auto part) __attribute__((always_inline)) {
    Float total = {};
    for (int64_t share = 0; share < num_shares; ++share)
      total += load(shares + share * stride + begin + i, part);
    store(to + begin + i, total, part);
  });
}

void attention_sum_mask_shares(const float* shares, int64_t num_shares, int64_t stride, Dtype dtype,
                               void* to, int64_t begin, int64_t end) {
  switch (dtype) {
    case Dtype::kFloat32:
      return sum_mask_shares(shares, num_shares, stride, (float*)to, begin, end);
    case Dtype::kBFloat16:
      return sum_mask_shares(shares, num_shares, stride, (BFloat16*)to, begin, end);
    case Dtype::kFloat16:
      return sum_mask_shares(shares, num_shares, stride, (Half*)to, begin, end);
  }
}

template <class T>
static void sum_shares(const AttentionBackward& args, int64_t begin, int64_t end) {
  const int64_t queries = args.last_query - args.first_query;
  const int64_t share = args.batch * args.heads * queries * args.width;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t batch_head = row / queries;
    float* total = args.query_shares + row * args.width;
    for (int64_t i = 1; i < args.num_key_items; ++i)
      for (int64_t j = 0; j < args.width; ++j) total[j] += total[i * share + j];
    write_rows(total, 0, 1, args.width, 1.0f,
               rows_at<T>(args.grad_query, batch_head / args.heads, batch_head % args.heads,
                          args.first_query + row % queries),
               0);
  }
}

void attention_sum_shares(const AttentionBackward& args, int64_t begin, int64_t end) {
  switch (args.dtype) {
    case Dtype::kFloat32:
      return sum_shares<float>(args, begin, end);
    case Dtype::kBFloat16:
      return sum_shares<BFloat16>(args, begin, end);
    case Dtype::kFloat16:
      return sum_shares<Half>(args, begin, end);
  }
}

}  // namespace dlplug::DLPLUG_ISA
