// The scores of one head from its products, which of them count, and which weights are dropped.
#pragma once

#include "csrc/cuda/attention.h"
#include "csrc/cuda/row.cuh"
#include "csrc/cuda/vector.cuh"

namespace dlplug {

constexpr float kInfinity = __builtin_huge_valf();
constexpr float kLog2E = 1.44269504f;

__device__ inline float exp_of(float x) { return exp2f(x * kLog2E); }

struct Span {
  int begin, end;

  __device__ bool has(int i) const { return i >= begin && i < end; }
};

__device__ inline int clamped(int64_t value, int64_t least, int64_t most) {
  return static_cast<int>(value < least ? least : value > most ? most : value);
}

// The key that a query is beside: with no window it is the last one that a causal query sees.
__device__ inline int64_t position_of(const AttentionScores& args, int query) {
  const int64_t position = query + args.query_offset;
  return args.document_shift == nullptr ? position : position + args.document_shift[query];
}

// The keys that a query may see, but for the mask; none of a query that is not there.
__device__ inline Span keys_of(const AttentionScores& args, int query) {
  if (query >= args.num_queries) return {0, 0};
  const int64_t position = position_of(args, query);
  Span span{0, args.num_keys};
  if (args.document_begin != nullptr) span = {args.document_begin[query], args.document_end[query]};
  return {clamped(position - args.left, span.begin, span.end),
          clamped(position + args.right + 1, span.begin, span.end)};
}

// Those that any of the queries [first, first + count) may see: both ends move on with the queries.
__device__ inline Span keys_of(const AttentionScores& args, int first, int count) {
  const int end = first + count, last = (end < args.num_queries ? end : args.num_queries) - 1;
  return {keys_of(args, first).begin, keys_of(args, last).end};
}

// The queries that may see any of the keys [first, first + count).
__device__ inline Span queries_of(const AttentionScores& args, int first, int count) {
  const int end = first + count, last = (end < args.num_keys ? end : args.num_keys) - 1;
  const auto queries = [&](int key) {
    return args.query_begin == nullptr ? Span{0, args.num_queries}
                                       : Span{args.query_begin[key], args.query_end[key]};
  };
  // The query that is beside a key.
  const auto beside = [&](int key) {
    const int64_t query = key - args.query_offset;
    return args.query_shift == nullptr ? query : query + args.query_shift[key];
  };
  const Span of_first = queries(first), of_last = queries(last);
  return {clamped(beside(first) - args.right, of_first.begin, of_first.end),
          clamped(beside(last) + args.left + 1, of_last.begin, of_last.end)};
}

// Those that see a key; none of a key that is not there.
__device__ inline Span queries_of(const AttentionScores& args, int key) {
  return key < args.num_keys ? queries_of(args, key, 1) : Span{0, 0};
}

// What a mask adds to a score; of a bool one -inf where it hides.
__device__ inline float mask_value(const Mask& mask, int64_t at) {
  switch (mask.type) {
    case MaskType::kNone:
      return 0.0f;
    case MaskType::kBool:
      return static_cast<const uint8_t*>(mask.data)[at] != 0 ? 0.0f : -kInfinity;
    case MaskType::kFloat32:
      return static_cast<const float*>(mask.data)[at];
    case MaskType::kBFloat16:
      return to_float(static_cast<const __nv_bfloat16*>(mask.data)[at]);
    case MaskType::kFloat16:
      return to_float(static_cast<const __half*>(mask.data)[at]);
  }
  return 0.0f;
}

// Which blocks of keys a mask shows any of, to queries that lie in one block of them or two.
class ShownKeys {
 public:
  __device__ ShownKeys(const AttentionScores& args, int batch, int head, int first_query, int count)
      : shown_(args.shown), at_(nullptr), to_last_(0) {
    if (shown_.data == nullptr) return;
    const int block = first_query / kShownBlock, end = first_query + count;
    const int last = ((end < args.num_queries ? end : args.num_queries) - 1) / kShownBlock;
    at_ = shown_.data + batch * shown_.batch + head * shown_.head + block * shown_.row;
    to_last_ = (last - block) * shown_.row;
  }

  __device__ bool has(int key) const {
    if (at_ == nullptr) return true;
    const uint8_t* at = at_ + key / kShownBlock * shown_.key;
    return (at[0] | at[to_last_]) != 0;
  }

  // The first of the tiles at key, key + step, ... that has one; `end` or more for none.
  __device__ int next(int key, int end, int step) const {
    while (key < end && !has(key)) key += step;
    return key;
  }

 private:
  const ShownBlocks& shown_;
  const uint8_t* at_;
  int64_t to_last_;
};

// One (batch, head).
struct HeadScores {
  const AttentionScores& args;
  float slope;
  int64_t mask_offset;

  __device__ HeadScores(const AttentionScores& args, int batch, int head)
      : args(args),
        slope(args.alibi_slopes == nullptr ? 0.0f : args.alibi_slopes[head]),
        mask_offset(batch * args.mask.batch + head * args.mask.head) {}

  // From the product; -inf where the mask hides the key. *cap_slope: the derivative of the softcap.
  __device__ float score(float product, int query, int key, float* cap_slope) const {
    // Rounded by itself: fused into a later difference, a huge score would not be the one whose top
    // was subtracted.
    float x = __fmul_rn(product, args.scale);
    *cap_slope = 1.0f;
    if (args.is_plain) return x;
    if (args.softcap != 0.0f) {
      const float capped = tanhf(x / args.softcap);
      x = args.softcap * capped;
      *cap_slope = 1.0f - capped * capped;
    }
    if (args.alibi_slopes != nullptr) x = fmaf(-slope, distance(query, key), x);
    return masked(x, query, key);
  }

  __device__ float distance(int query, int key) const {
    return fabsf(static_cast<float>(position_of(args, query) - key));
  }

 private:
  __device__ float masked(float x, int query, int key) const {
    const Mask& mask = args.mask;
    if (mask.type == MaskType::kNone) return x;
    const float added = mask_value(mask, mask_offset + query * mask.row + key * mask.key);
    return mask.type == MaskType::kBool && added != 0.0f ? added : x + added;
  }
};

// Which weights of 32 rows of random bits dropout keeps, 64 columns each: rows first and first + 1
// of the keys 64 * block ... Every lane is given both.
__device__ inline void kept_keys(const Dropout& dropout, uint64_t seed, int64_t first, int block,
                                 uint64_t (&kept)[2]) {
  const int lane = threadIdx.x % kWarp;
  const RandomWords words = random_words(seed, first + lane / 16, 16 * block + lane % 16);
  kept[0] = kept[1] = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const uint32_t votes = __ballot_sync(0xffffffffu, words.word[k] >= dropout.threshold);
    kept[0] |= static_cast<uint64_t>(votes & 0xffff) << (16 * k);
    kept[1] |= static_cast<uint64_t>(votes >> 16) << (16 * k);
  }
}

// For 16 rows from `first` on: of rows first + g and first + 8 + g, lane = 4 * g + t.
__device__ inline void kept_keys_of_rows(const Dropout& dropout, uint64_t seed, int64_t first,
                                         int block, uint64_t (&kept)[2]) {
  const int g = threadIdx.x % kWarp / 4;
#pragma unroll 1
  for (int pair = 0; pair < 8; ++pair) {
    uint64_t found[2];
    kept_keys(dropout, seed, first + 2 * pair, block, found);
    const uint64_t own = g % 2 == 0 ? found[0] : found[1];
    if (pair == g / 2) kept[0] = own;
    if (pair == g / 2 + 4) kept[1] = own;
  }
}

}  // namespace dlplug
