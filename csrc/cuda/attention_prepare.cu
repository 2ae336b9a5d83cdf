// What is made on the device before attention's own kernels: each query's document, and which parts
// of the scores a mask shows at all.
#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_scores.cuh"

namespace dlplug::cuda {
namespace {

constexpr int kThreads = 256;

// Thread i finds the document of position i: the last that starts at or before it.
__global__ void __launch_bounds__(kThreads)
    find_bounds(const int32_t* starts, int count, int length, int32_t* begins, int32_t* ends) {
  const int position = blockIdx.x * kThreads + threadIdx.x;
  if (position >= length) return;
  int low = 0, high = count;  // starts[low - 1] <= position < starts[high]
  while (low < high) {
    const int middle = (low + high) / 2;
    if (starts[middle] <= position)
      low = middle + 1;
    else
      high = middle;
  }
  begins[position] = low == 0 || starts[low - 1] < 0 ? 0 : starts[low - 1];
  ends[position] = low == count || starts[low] > length ? length : starts[low];
}

// Of the mask itself, with axes of 1.
struct MaskSizes {
  int heads, queries, keys, query_blocks, key_blocks;
};

// A warp takes a block of the mask, and looks no further once it shows a key: so it reads little of
// a mask that hides little.
__global__ void __launch_bounds__(kThreads)
    find_shown(Mask mask, MaskSizes sizes, int64_t count, uint8_t* shown) {
  constexpr int kRowsAtOnce = 8;
  const int64_t block = int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (block >= count) return;
  const int64_t row_of_blocks = block / sizes.key_blocks, pair = row_of_blocks / sizes.query_blocks;
  const int first_key = static_cast<int>(block % sizes.key_blocks) * kShownBlock;
  const int first_query = static_cast<int>(row_of_blocks % sizes.query_blocks) * kShownBlock;
  const int64_t head = pair / sizes.heads * mask.batch + pair % sizes.heads * mask.head;
  unsigned lanes = 0;
  for (int i = 0; i < kShownBlock && lanes == 0; i += kRowsAtOnce) {
    bool is_shown = false;
    for (int row = first_query + i; row < first_query + i + kRowsAtOnce; ++row)
      for (int key = first_key + threadIdx.x % kWarp; key < first_key + kShownBlock; key += kWarp)
        if (row < sizes.queries && key < sizes.keys)
          is_shown |= mask_value(mask, head + row * mask.row + key * mask.key) != -kInfinity;
    lanes = __ballot_sync(0xffffffffu, is_shown);
  }
  if (threadIdx.x % kWarp == 0) shown[block] = lanes != 0;
}

Tensor find_documents(AttentionScores& args, const Tensor& cu_seqlens, const Tensor& query) {
  const int length = args.num_queries;
  const Tensor bounds = empty(query, {2, length}, ScalarType::Int);
  auto* begins = static_cast<int32_t*>(bounds.mutable_data_ptr());
  if (length > 0)
    launch(find_bounds, blocks_of(1, length, kThreads), kThreads, 0, current_stream(query),
           static_cast<const int32_t*>(cu_seqlens.const_data_ptr()), narrowed(cu_seqlens.size(0)),
           length, begins, begins + length);
  args.document_begin = begins;
  args.document_end = begins + length;
  return bounds;
}

Tensor find_shown_blocks(AttentionScores& args, const Tensor& mask) {
  const auto blocks = [&](int64_t axis) {
    return (mask.size(axis) + kShownBlock - 1) / kShownBlock;
  };
  const int64_t heads = mask.size(1), rows = blocks(2), columns = blocks(3);
  const Tensor shown = empty(mask, {mask.size(0), heads, rows, columns}, ScalarType::Byte);
  const MaskSizes sizes{narrowed(heads), narrowed(mask.size(2)), narrowed(mask.size(3)),
                        narrowed(rows), narrowed(columns)};
  auto* to = static_cast<uint8_t*>(shown.mutable_data_ptr());
  if (shown.numel() > 0)
    launch(find_shown, blocks_of(1, shown.numel(), kThreads / kWarp), kThreads, 0,
           current_stream(mask), args.mask, sizes, shown.numel(), to);
  const auto step = [&](int64_t axis, int64_t by) { return mask.size(axis) == 1 ? 0 : by; };
  args.shown = {to, step(0, heads * rows * columns), step(1, rows * columns), step(2, columns),
                step(3, 1)};
  return shown;
}

}  // namespace

Prepared prepare(AttentionScores& args, const Tensor& query, const Tensor& key,
                 const AttentionOptions& options) {
  Prepared prepared;
  if (options.cu_seqlens.has_value()) {
    check_documents(*options.cu_seqlens, query, key);
    prepared.documents = find_documents(args, *options.cu_seqlens, query);
  }
  if (options.attn_mask.has_value()) {
    const Tensor& mask = *options.attn_mask;
    check_mask(mask, query, key);
    args.mask = {mask_type_of(mask.scalar_type()),
                 mask.const_data_ptr(),
                 mask_step(mask, 0),
                 mask_step(mask, 1),
                 mask_step(mask, 2),
                 mask_step(mask, 3)};
    prepared.shown = find_shown_blocks(args, mask);
  }
  return prepared;
}

}  // namespace dlplug::cuda
