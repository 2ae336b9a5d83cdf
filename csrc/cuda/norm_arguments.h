// From tensors to what the norm kernels are given: types, alignment, how many threads take a row.
#pragma once

#include <type_traits>

#include "csrc/cuda/arguments.h"
#include "csrc/cuda/cluster.cuh"
#include "csrc/cuda/row.cuh"

namespace dlplug::cuda {

// body(x, h) of the types: h is x, or float32 (a residual stream that is kept in float32).
template <class Body>
void with_types(ScalarType x, ScalarType h, Dtype x_dtype, Body body) {
  STD_TORCH_CHECK(h == x || h == ScalarType::Float, "residual must be of x's dtype or float32");
  with_type(x_dtype, [&](auto narrow) {
    if (h == x) return body(narrow, narrow);
    if constexpr (!std::is_same_v<decltype(narrow), float>) body(narrow, float{});
  });
}

// body(count) with the elements per access as a constant: as many H as 16 bytes hold, or one.
template <class H, class Body>
void with_count(bool is_regular, Body body) {
  if (is_regular)
    body(std::integral_constant<int, 16 / sizeof(H)>{});
  else
    body(std::integral_constant<int, 1>{});
}

// Whether rows of `width`, `stride` elements apart, can be read and written 16 / sizeof(H) at once.
template <class H, class T>
bool is_regular(const T* data, int64_t stride, int64_t width) {
  constexpr int kCount = 16 / sizeof(H);
  return reinterpret_cast<uintptr_t>(data) % kAlignmentOf<T, kCount> == 0 && stride % kCount == 0 &&
         width % kCount == 0;
}

// A weight or bias (width,) of `like`'s dtype or float32, on its device; absent ones are regular.
template <class H>
Row<H> row_of(const std::optional<Tensor>& tensor, const Tensor& like, int64_t width,
              std::optional<Tensor>& kept, bool& regular) {
  if (!tensor.has_value()) return {nullptr, false};
  STD_TORCH_CHECK(tensor->dim() == 1 && tensor->size(0) == width && is_beside(*tensor, like),
                  "expected a weight or bias of shape (", width, ",) on x's device");
  STD_TORCH_CHECK(
      tensor->scalar_type() == like.scalar_type() || tensor->scalar_type() == ScalarType::Float,
      "weight and bias must be of h's dtype or float32");
  kept = as_contiguous(*tensor);
  const void* data = kept->const_data_ptr();
  regular = regular && reinterpret_cast<uintptr_t>(data) % 16 == 0;
  return {data, kept->scalar_type() == ScalarType::Float};
}

// Threads of one row and of a block. A warp takes rows as wide as its registers hold, narrow ones
// with a part of its lanes, so that each has a few loads under way; beyond, a block takes a row.
struct Shape {
  int threads, block;
};

inline int power_of_two_from(int64_t least) {
  int power = 1;
  while (power < least) power *= 2;
  return power;
}

// count: elements per access; held: elements of a row that a thread can keep.
inline Shape shape_of(int64_t width, int count, int held) {
  constexpr int kBlock = 256;
  const int64_t per_group = kVectorsPerGroup * count;
  if (width <= int64_t{kWarp} * held) {
    const int fewest = std::max(16 / count, 1);  // that share random words
    const int threads = power_of_two_from((width + per_group - 1) / per_group);
    return {std::clamp(threads, fewest, kWarp), kBlock};
  }
  const int64_t most = std::min<int64_t>((width + held - 1) / held, kMaxThreadsPerRow);
  const int threads = power_of_two_from(most);
  return {threads, threads};
}

// Where a row is while its sums are made: in the registers of its threads; in a block's shared
// memory; in the registers of a cluster's blocks; or it is read again for each sweep.
enum class Place { kRegisters, kShared, kCluster, kMemory };

struct Plan {
  Place place;
  unsigned blocks;  // of a row
  int64_t part;     // columns of a block
  size_t shared;    // bytes

  static constexpr int64_t kPartUnit = 64;  // columns, whose random words belong together
};

inline int attribute_of(cudaDeviceAttr attribute, const Tensor& tensor) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, tensor.get_device_index()));
  return value;
}

// Whether this GPU's code has clusters: that of an older architecture, compiled anew by the driver,
// has none, whatever the GPU can do.
inline bool has_clusters([[maybe_unused]] const Tensor& like) {
#if defined(__CUDA_ARCH_LIST__)
  const int major = attribute_of(cudaDevAttrComputeCapabilityMajor, like);
  const int minor = attribute_of(cudaDevAttrComputeCapabilityMinor, like);
  const int architecture = 100 * major + 10 * minor;
  for (const int compiled : {__CUDA_ARCH_LIST__})
    if (compiled >= 900 && compiled <= architecture) return true;
  return false;
#else
  return attribute_of(cudaDevAttrClusterLaunch, like) != 0;
#endif
}

// `kept` bytes of a column lie in shared memory where a row does; held: as for `shape_of`.
inline Plan plan_of(const Tensor& like, int64_t width, const Shape& shape, int count, int held,
                    size_t kept) {
  if (width <= int64_t{shape.threads} * held) return {Place::kRegisters, 1, width, 0};
  const int64_t turn = int64_t{kVectorsPerGroup} * count * shape.threads;
  const size_t shared = static_cast<size_t>((width + turn - 1) / turn * turn) * kept;
  const int most = attribute_of(cudaDevAttrMaxSharedMemoryPerBlockOptin, like);
  if (shared + kStaticSharedMemory <= static_cast<size_t>(most))
    return {Place::kShared, 1, width, shared};
  const int64_t part = ((width + kClusterBlocks - 1) / kClusterBlocks + Plan::kPartUnit - 1) /
                       Plan::kPartUnit * Plan::kPartUnit;
  if (part <= int64_t{shape.threads} * held && has_clusters(like))
    return {Place::kCluster, kClusterBlocks, part, ClusterSums::kBytes};
  return {Place::kMemory, 1, width, 0};
}

}  // namespace dlplug::cuda
