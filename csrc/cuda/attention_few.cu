#include "csrc/cuda/attention_few.cuh"
#include "csrc/cuda/attention_few.h"

namespace dlplug::cuda {
namespace {

// Blocks of threads that keep a device busy: two for each of 132 multiprocessors. A number of its
// own for each device would give each its own bits.
constexpr int64_t kEnoughBlocks = 264;

int64_t divide_up(int64_t count, int64_t by) { return (count + by - 1) / by; }

// The keys are split into ranges by the shape alone.
void set_ranges(AttentionFew& args, int64_t blocks) {
  const int64_t keys = args.num_keys, last = args.num_queries - 1;
  int64_t begin = 0, end = keys;
  if (args.document_begin == nullptr) {  // else the device alone knows
    begin = std::clamp<int64_t>(args.query_offset - args.left, 0, keys);
    end = std::clamp<int64_t>(last + args.query_offset + args.right + 1, begin, keys);
  }
  args.first_key = static_cast<int>(begin / kShownBlock * kShownBlock);
  args.end_key = static_cast<int>(end);
  const int64_t count = std::max<int64_t>(end - args.first_key, 1);
  const int64_t wanted = std::min(divide_up(kEnoughBlocks, blocks), divide_up(count, kManyKeys));
  args.range = static_cast<int>(divide_up(divide_up(count, wanted), kShownBlock) * kShownBlock);
  args.num_ranges = static_cast<int>(divide_up(count, args.range));
}

// Of 64 and of 128 columns the same kernel: that it multiplies zeros takes less time than to read.
template <class Body>
void with_few_width(const AttentionScores& args, Body body) {
  if (std::max(args.width, args.value_width) <= 128)
    return body(std::integral_constant<int, 128>{});
  body(std::integral_constant<int, 256>{});
}

}  // namespace

void attend_few(const AttentionForward& forward, const Tensor& query) {
  AttentionFew args{forward};
  const int64_t rows = int64_t{args.batch} * args.heads * args.num_queries;
  const cudaStream_t stream = current_stream(query);
  with_type(dtype_of(query), [&](auto type) {
    with_few_width(args, [&](auto width) {
      using T = decltype(type);
      using Shape = FewShape<T, width()>;
      const int64_t group_rows = int64_t{args.heads / args.kv_heads} * args.num_queries;
      const int64_t tiles =
          int64_t{args.batch} * args.kv_heads * divide_up(group_rows, Shape::kRows);
      set_ranges(args, tiles);
      const int64_t parts = int64_t{args.num_ranges} * Shape::kWarps;
      const Tensor made = empty(query, {parts * rows, args.value_width + 2}, ScalarType::Float);
      args.sums = static_cast<float*>(made.mutable_data_ptr());
      args.tops = args.sums + parts * rows * args.value_width;
      args.totals = args.tops + parts * rows;
      launch(attention_few<T, width()>, blocks_of(tiles * args.num_ranges, 1, 1), Shape::kThreads,
             Shape::kBytes, stream, args);
      launch(attention_few_combine<T>, blocks_of(rows, 1, 1), kCombineThreads, 0, stream, args,
             static_cast<int>(parts));
    });
  });
}

}  // namespace dlplug::cuda
