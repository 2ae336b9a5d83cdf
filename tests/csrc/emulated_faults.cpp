// Kernels with a fault on purpose, by which tests/csrc/test_emulation.py sees that the emulation is
// awake; and sound ones, of which it must not say anything.
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "csrc/cuda/cluster.cuh"
#include "csrc/cuda/mma.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace {

__global__ void sum_of_a_block(int* out) {
  __shared__ int values[256];
  const int number = threadIdx.x + blockDim.x * threadIdx.y;
  values[number] = number;
  __syncthreads();
  if (number != 0) return;
  int total = 0;
  for (unsigned i = 0; i < blockDim.x * blockDim.y; ++i) total += values[i];
  out[blockIdx.x + gridDim.x * blockIdx.y] = total;
}

__global__ void sum_without_a_barrier(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x) + static_cast<int>(blockIdx.x);
  if (threadIdx.x == 7) {
    int total = 0;
    for (int value : values) total += value;
    out[blockIdx.x] = total;
  }
}

__global__ void barrier_in_a_branch(int*) {
  if (threadIdx.x < 5)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void one_thread_leaves(int*) {
  if (threadIdx.x == 3) return;
  __syncthreads();
}

__global__ void lanes_part(int* out) {
  if (threadIdx.x < 16) out[0] = __shfl_xor_sync(0xffffffffu, 1, 1);
}

__global__ void shuffle_from_outside(int* out) {
  if (threadIdx.x < 16) out[0] = __shfl_sync(0xffffu, 1, 20);
}

__global__ void shared_memory_overflows(int*) { dlplug::dynamic_shared_memory()[16] = 1.0f; }

__global__ void misaligned_vector(int* out) {
  *reinterpret_cast<float4*>(out + 1 + 4 * threadIdx.x) = {1, 2, 3, 4};
}

// Lane l brings 1 << l: a sum by halves, then what lane 3 has, then a vote.
__global__ void shuffles(int* out) {
  int value = 1 << threadIdx.x;
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  const int of_three = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x), 3);
  const int below = __shfl_down_sync(0xffffffffu, static_cast<int>(threadIdx.x), 2);
  const unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x % 2);
  out[4 * threadIdx.x] = value;
  out[4 * threadIdx.x + 1] = of_three;
  out[4 * threadIdx.x + 2] = below;
  out[4 * threadIdx.x + 3] = static_cast<int>(odd);
}

// A product of which each element is 16: lane l writes its four sums.
__global__ void product_of_a_warp(int* out) {
  const uint32_t ones = dlplug::packed<__half>(1.0f, 1.0f);
  const uint32_t left[4] = {ones, ones, ones, ones};
  float sums[4] = {};
  dlplug::multiply_add<__half>(sums, left, ones, ones);
  for (int i = 0; i < 4; ++i) out[4 * (threadIdx.x % 32) + i] = static_cast<int>(sums[i]);
}

// Thread t's number 5 + t, as its neighbour copies it: [0] before that is waited for, [1] after.
__global__ void copies_arrive_late(int* out) {
  int* shared = reinterpret_cast<int*>(dlplug::dynamic_shared_memory());
  out[4 * threadIdx.x] = 5 + static_cast<int>(threadIdx.x);
  dlplug::AsyncCopies copies;
  copies.copy(shared + 4 * threadIdx.x, out + 4 * threadIdx.x);
  copies.commit();
  __syncthreads();
  const int early = shared[4 * (threadIdx.x ^ 1)];
  __syncthreads();
  copies.wait<0>();
  __syncthreads();
  const int late = shared[4 * (threadIdx.x ^ 1)];
  out[4 * threadIdx.x] = early;
  out[4 * threadIdx.x + 1] = late;
}

// Three sums, of which block b brings b + 1, 10 more and 20 more.
__global__ void sums_of_a_cluster(int* out) {
  dlplug::ClusterSums cluster(dlplug::dynamic_shared_memory());
  for (int number = 0; number < 3; ++number) {
    float sum[1] = {static_cast<float>(dlplug::rank_in_cluster()) + 1 + 10 * number};
    cluster.add(sum);
    if (threadIdx.x == 33) out[3 * blockIdx.x + number] = static_cast<int>(sum[0]);
  }
}

__global__ void a_block_leaves_its_cluster(int*) {
  if (blockIdx.x % 2 == 1) return;
  dlplug::meet_cluster();
}

struct Case {
  void (*kernel)(int*);
  dim3 grid, block;
  size_t shared;
  unsigned cluster = 1;
};

const Case cases[] = {
    {sum_of_a_block, {3, 2}, {32, 4}, 0},
    {sum_without_a_barrier, {2}, {64}, 0},
    {barrier_in_a_branch, {1}, {40}, 0},
    {one_thread_leaves, {1}, {40}, 0},
    {lanes_part, {1}, {32}, 0},
    {shuffle_from_outside, {1}, {32}, 0},
    {shared_memory_overflows, {1}, {32}, 64},
    {sum_of_a_block, {1}, {32, 33}, 0},
    {sum_of_a_block, {1, 65536}, {1}, 0},
    {shuffles, {1}, {32}, 0},
    {misaligned_vector, {1}, {2}, 0},
    {product_of_a_warp, {1}, {40}, 0},
    {product_of_a_warp, {1}, {32}, 0},
    {copies_arrive_late, {1}, {2}, 64},
    {sums_of_a_cluster, {16}, {64}, dlplug::ClusterSums::kBytes, 8},
    {a_block_leaves_its_cluster, {4}, {32}, 0, 2},
    {sums_of_a_cluster, {12}, {64}, dlplug::ClusterSums::kBytes, 8},
    {sum_of_a_block, {1}, {32}, 48 << 10},
};

}  // namespace

// Runs case `number`; returns what was found, or an empty string.
extern "C" __attribute__((visibility("default"))) const char* run_case(int number, int* out) {
  static std::string found;
  const Case& one = cases[number];
  cudaLaunchAttribute cluster{cudaLaunchAttributeClusterDimension, {{one.cluster}}};
  const cudaLaunchConfig_t config{one.grid, one.block, one.shared,
                                  nullptr,  &cluster,  one.cluster > 1};
  try {
    const cudaError_t error = cudaLaunchKernelEx(&config, one.kernel, out);
    found = error == cudaSuccess ? "" : cudaGetErrorString(error);
  } catch (const std::runtime_error& error) {
    found = error.what();
  }
  return found.c_str();
}
