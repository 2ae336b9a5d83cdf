// Forward of attention for few queries beside many keys, such as a decoder's beside its cache: what
// takes time is to read the keys, so these are read once for all heads that share them, and by many
// blocks of threads at once.
#pragma once

#include "csrc/cuda/attention_arguments.h"

namespace dlplug::cuda {

constexpr int kFewQueries = 16, kManyKeys = 256;

inline bool has_few_queries(const AttentionScores& args) {
  return args.num_queries <= kFewQueries && args.num_keys >= kManyKeys;
}

void attend_few(const AttentionForward& args, const Tensor& query);

}  // namespace dlplug::cuda
