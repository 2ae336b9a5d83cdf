// What is made on the device before attention's own kernels: each query's document, and which parts
// of the scores a mask shows at all.
#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_scores.cuh"

namespace dlplug::cuda {
namespace {

constexpr int kThreads = 256;

// Where the documents start in one of two packed sequences.
struct Starts {
  const int32_t* at;
  int count, length;

  // Of what lies before the first document and after the last, too; never outside.
  __device__ int of(int document) const {
    if (document < 0) return 0;
    return document >= count ? length : clamped(at[document], 0, length);
  }
};

// Thread i finds the document of position i, the last that starts at or before it: where it begins
// and ends in the other sequence, and how much further on it begins there, if `shifts` is not null.
__global__ void __launch_bounds__(kThreads)
    find_bounds(Starts own, Starts other, int32_t* begins, int32_t* ends, int32_t* shifts) {
  const int position = blockIdx.x * kThreads + threadIdx.x;
  if (position >= own.length) return;
  int low = 0, high = own.count;  // at[low - 1] <= position < at[high]
  while (low < high) {
    const int middle = (low + high) / 2;
    if (own.at[middle] <= position)
      low = middle + 1;
    else
      high = middle;
  }
  begins[position] = other.of(low - 1);
  ends[position] = other.of(low);
  if (shifts != nullptr) shifts[position] = other.of(low - 1) - own.of(low - 1);
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
  const bool are_alike = cu_seqlens.dim() == 1;
  const int count = narrowed(cu_seqlens.size(cu_seqlens.dim() - 1));
  const int num_queries = args.num_queries, num_keys = args.num_keys;
  const auto* starts = static_cast<const int32_t*>(cu_seqlens.const_data_ptr());
  const Starts queries{starts, count, num_queries};
  const Starts keys{are_alike ? starts : starts + count, count, num_keys};
  const int64_t size = are_alike ? 2 * int64_t{num_queries} : 3 * (int64_t{num_queries} + num_keys);
  const Tensor bounds = empty(query, {size}, ScalarType::Int);
  auto* to = static_cast<int32_t*>(bounds.mutable_data_ptr());
  const auto find = [&](const Starts& own, const Starts& other, int32_t* to) {
    if (own.length > 0)
      launch(find_bounds, blocks_of(1, own.length, kThreads), kThreads, 0, current_stream(query),
             own, other, to, to + own.length, are_alike ? nullptr : to + 2 * int64_t{own.length});
  };
  find(queries, keys, to);
  args.document_begin = args.query_begin = to;
  args.document_end = args.query_end = to + num_queries;
  if (are_alike) return bounds;
  args.document_shift = to + 2 * int64_t{num_queries};
  auto* of_keys = to + 3 * int64_t{num_queries};
  find(keys, queries, of_keys);
  args.query_begin = of_keys;
  args.query_end = of_keys + num_keys;
  args.query_shift = of_keys + 2 * int64_t{num_keys};
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
