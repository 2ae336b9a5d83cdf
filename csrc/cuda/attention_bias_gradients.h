// The gradients of attention's float mask and of ALiBi's slopes: their memory, and how the heads
// that add to one gradient are shared out.
#pragma once

#include "csrc/cuda/attention_arguments.h"

namespace dlplug::cuda {

// The sum of `count` shares, `stride` floats apart, of each of `numel` elements; `to` of any dtype.
void sum_mask_shares(const Tensor& shares, int64_t count, const Tensor& to);

// The sum over the batch and over `count` parts of each head; from (batch, heads, count).
void sum_slope_shares(const Tensor& shares, int batch, int heads, int64_t count, const Tensor& to);

class BiasGradients {
 public:
  Tensor mask, slopes;  // of no elements where they are not wanted

  // Sets what `args` has of them. `tiles` of queries a head, `warps` of each.
  BiasGradients(AttentionBackward& args, const Tensor& query, const std::optional<Tensor>& of_mask,
                const std::optional<Tensor>& of_slopes, int64_t tiles, int warps)
      : mask(empty_or_none(query, of_mask)), slopes(empty_or_none(query, of_slopes)) {
    parts_ = tiles * warps;
    args.num_single = args.batch * args.heads;
    args.num_shared = args.num_bundles = args.single_stride = args.shared_stride = 1;
    if (of_slopes.has_value()) {
      slope_shares_ = empty(query, {args.batch, args.heads, parts_}, ScalarType::Double);
      args.grad_slopes = static_cast<double*>(slope_shares_->mutable_data_ptr());
    }
    if (of_mask.has_value()) set_mask(args, query, tiles);
  }

  // Once the kernels have run.
  void finish(const AttentionBackward& args) const {
    if (slope_shares_.has_value())
      sum_slope_shares(*slope_shares_, args.batch, args.heads, parts_, slopes);
    if (mask_shares_.has_value()) sum_mask_shares(*mask_shares_, num_mask_shares_, mask);
  }

 private:
  // Blocks of threads that keep a device busy.
  static constexpr int64_t kEnoughBlocks = 512;
  // Memory of the shares of a mask, in that of the queries' gradient; one share there must be.
  static constexpr int64_t kMostShares = 2;

  std::optional<Tensor> slope_shares_, mask_shares_;
  int64_t parts_, num_mask_shares_ = 1;

  static Tensor empty_or_none(const Tensor& query, const std::optional<Tensor>& like) {
    return like.has_value() ? empty_contiguous_like(*like) : empty(query, {0}, ScalarType::Float);
  }

  void set_mask(AttentionBackward& args, const Tensor& query, int64_t tiles) {
    if (args.batch * args.heads == 0) {
      torch::stable::zero_(mask);
      return;
    }
    const bool over_batch = mask.size(0) == 1, over_heads = mask.size(1) == 1;
    const bool over_queries = mask.size(2) == 1;
    args.num_single = (over_batch ? 1 : args.batch) * (over_heads ? 1 : args.heads);
    args.num_shared = args.batch * args.heads / args.num_single;
    args.single_stride = over_heads && !over_batch ? args.heads : 1;
    args.shared_stride = over_batch && !over_heads ? args.heads : 1;
    const int64_t of_queries = over_queries ? parts_ : 1, numel = mask.numel();
    const int64_t most = kMostShares * query.numel() / std::max<int64_t>(1, numel * of_queries);
    const int64_t blocks = std::max<int64_t>(1, args.num_single * tiles);
    const int64_t enough = std::min((kEnoughBlocks + blocks - 1) / blocks, most);
    args.num_bundles = static_cast<int>(std::clamp<int64_t>(enough, 1, args.num_shared));

    num_mask_shares_ = args.num_bundles * of_queries;
    Tensor sums = mask;
    if (num_mask_shares_ > 1 || mask.scalar_type() != ScalarType::Float)
      sums = empty(query, {num_mask_shares_, numel}, ScalarType::Float);
    torch::stable::zero_(sums);
    if (sums.dim() == 2) mask_shares_ = sums;
    args.grad_mask = {static_cast<float*>(sums.mutable_data_ptr()),
                      numel,
                      mask_step(mask, 0),
                      mask_step(mask, 1),
                      mask_step(mask, 2),
                      mask_step(mask, 3)};
  }
};

}  // namespace dlplug::cuda
