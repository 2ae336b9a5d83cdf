// What every backward pass of attention begins with: its arguments and outputs, and what a kernel
// makes of each query for the others.
#pragma once

#include "csrc/cuda/attention_arguments.h"
#include "csrc/cuda/attention_backward.cuh"

namespace dlplug::cuda {

struct BackwardCall {
  const Tensor query, key, value, out, grad_out;  // as the kernels read them
  AttentionBackward args;
  const Tensor grad_query, grad_key, grad_value;

  // readable(a tensor): itself, or a copy that the kernels can read.
  template <class Readable>
  BackwardCall(const Tensor& given_grad_out, const Tensor& given_query, const Tensor& given_key,
               const Tensor& given_value, const Tensor& given_out, const Tensor& lse,
               const AttentionOptions& options, Readable readable)
      : query(readable(given_query)),
        key(readable(given_key)),
        value(readable(given_value)),
        out(readable(given_out)),
        grad_out(readable(given_grad_out)),
        args(args_of<AttentionBackward>(query, key, value, options)),
        grad_query(empty_heads(given_query, args.width)),
        grad_key(empty_heads(given_key, args.width)),
        grad_value(empty_heads(given_value, args.value_width)),
        prepared_(prepare(args, query, key, options)),
        stats_(empty(query, {count_rows(), 4}, ScalarType::Float)) {
    check_outputs(query, value, out, grad_out, lse);
    for (const Tensor& x : {out, grad_out, lse})
      STD_TORCH_CHECK(is_beside(x, query), "expected out, grad_out and lse on query's device");
    args.out = rows_of_heads(out);
    args.grad_out = rows_of_heads(grad_out);
    args.grad_query = rows_of_heads(grad_query);
    args.grad_key = rows_of_heads(grad_key);
    args.grad_value = rows_of_heads(grad_value);
    args.lse = static_cast<const double*>(lse.const_data_ptr());
    args.rows = static_cast<float4*>(stats_.mutable_data_ptr());
  }

  int64_t count_rows() const { return int64_t{args.batch} * args.heads * args.num_queries; }

  template <class T>
  void launch_rows() const {
    launch(attention_backward_rows<T>, blocks_of(1, count_rows(), kRowThreads / kWarp), kRowThreads,
           0, current_stream(query), args);
  }

 private:
  const Prepared prepared_;
  const Tensor stats_;
};

}  // namespace dlplug::cuda
