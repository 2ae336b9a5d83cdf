#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_forward.cuh"
#include "csrc/ops/attention.h"

namespace dlplug {
namespace cuda {
namespace {

constexpr int kDocumentThreads = 256;

// Thread i finds the document of position i: the last that starts at or before it.
__global__ void __launch_bounds__(kDocumentThreads)
    find_bounds(const int32_t* starts, int count, int length, int32_t* begins, int32_t* ends) {
  const int position = blockIdx.x * kDocumentThreads + threadIdx.x;
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

}  // namespace

Tensor find_documents(const Tensor& cu_seqlens, const Tensor& query) {
  STD_TORCH_CHECK(cu_seqlens.dim() == 1 && cu_seqlens.is_contiguous() &&
                      cu_seqlens.scalar_type() == ScalarType::Int && is_beside(cu_seqlens, query),
                  "expected contiguous int32 cu_seqlens on query's device");
  const int length = narrowed(query.size(2));
  const Tensor bounds = empty(query, {2, length}, ScalarType::Int);
  auto* begins = static_cast<int32_t*>(bounds.mutable_data_ptr());
  if (length > 0)
    launch(find_bounds, blocks_of(1, length, kDocumentThreads), kDocumentThreads, 0,
           current_stream(query), static_cast<const int32_t*>(cu_seqlens.const_data_ptr()),
           narrowed(cu_seqlens.size(0)), length, begins, begins + length);
  return bounds;
}

}  // namespace cuda

std::tuple<Tensor, Tensor> attention_forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& sinks,
    const std::optional<Tensor>& attn_mask, const std::optional<Tensor>& alibi_slopes,
    const std::optional<Tensor>& cu_seqlens, const std::optional<Tensor>& seed, double dropout_p,
    double scale, std::optional<double> softcap, std::optional<int64_t> left,
    std::optional<int64_t> right, int64_t query_offset) {
  using namespace cuda;
  const DeviceGuard guard(query.get_device_index());
  const Tensor q = with_contiguous_rows(query), k = with_contiguous_rows(key),
               v = with_contiguous_rows(value);
  auto args = args_of<AttentionForward>(q, k, v,
                                        {attn_mask, alibi_slopes, cu_seqlens, seed, dropout_p,
                                         scale, softcap, left, right, query_offset});
  const Tensor out = empty_heads(query, args.value_width);
  const Tensor lse = empty(query, {args.batch, args.heads, args.num_queries}, ScalarType::Double);
  if (lse.numel() == 0) return {out, lse};
  const auto documents = set_documents(args, query, cu_seqlens);
  args.out = rows_of_heads(out);
  args.lse = static_cast<double*>(lse.mutable_data_ptr());
  args.sinks = per_head(sinks, query);
  with_type(dtype_of(query), [&](auto type) {
    with_width(args, [&](auto width) {
      using T = decltype(type);
      using Shape = ForwardShape<T, width()>;
      const int64_t heads = int64_t{args.batch} * args.heads;
      launch(attention_forward_tiles<T, width()>,
             blocks_of(heads, args.num_queries, Shape::kQueries), Shape::kThreads, Shape::kBytes,
             current_stream(query), args);
    });
  });
  return {out, lse};
}

}  // namespace dlplug
