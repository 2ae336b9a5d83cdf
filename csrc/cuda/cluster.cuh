// Clusters of blocks that share a row (sm_90 and later): each has a part of it, and sums go from
// block to block through their shared memory.
#pragma once

#include "csrc/cuda/vector.cuh"

namespace dlplug {

#if defined(DLPLUG_EMULATION)

inline unsigned rank_in_cluster() { return emulation::rank_in_cluster(); }
inline void store_in_block(float* own, unsigned rank, float value) {
  *static_cast<float*>(emulation::in_block(own, rank)) = value;
}
inline void meet_cluster(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulation::meet_cluster({file, line});
}

#elif __CUDA_ARCH__ >= 900

__device__ inline unsigned rank_in_cluster() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// To where `own` would be in the shared memory of that block.
__device__ inline void store_in_block(float* own, unsigned rank, float value) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(own));
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "st.shared::cluster.f32 [there], %2;\n"
      "}\n" ::"r"(address),
      "r"(rank), "f"(value)
      : "memory");
}

// All threads of all blocks; what was stored before is seen afterwards.
__device__ inline void meet_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

#else  // for devices without clusters, where no kernel is launched with one

__device__ inline unsigned rank_in_cluster() { return 0; }
__device__ inline void store_in_block(float*, unsigned, float) {}
__device__ inline void meet_cluster() {}

#endif

constexpr unsigned kClusterBlocks = 8;  // the most that every device with clusters takes

// Sums over the blocks of a cluster of what every thread of a block has, given to all of them; the
// additions have one order. Two places take turns, so that a block which is ahead writes where
// nobody reads any more: who writes the sums after the next has met, in between, all who read here.
struct ClusterSums {
  static constexpr int kMaxSums = 2;
  static constexpr size_t kBytes = 2 * kClusterBlocks * kMaxSums * sizeof(float);
  float* places;  // kBytes of dynamic shared memory; null where a block has its row alone
  unsigned turn = 0;

  __device__ explicit ClusterSums(float* places) : places(places) {
    if (places != nullptr) meet_cluster();  // before it has begun a block has no memory
  }

  template <int kSums>
  __device__ void add(float (&values)[kSums]) {
    static_assert(kSums <= kMaxSums);
    if (places == nullptr) return;
    float* const place = places + turn % 2 * (kClusterBlocks * kMaxSums);
    ++turn;
    if (threadIdx.x < kClusterBlocks) {
#pragma unroll
      for (int s = 0; s < kSums; ++s)
        store_in_block(place + rank_in_cluster() * kMaxSums + s, threadIdx.x, values[s]);
    }
    __syncwarp();
    meet_cluster();
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
      values[s] = 0.0f;
      for (unsigned block = 0; block < kClusterBlocks; ++block)
        values[s] += place[block * kMaxSums + s];
    }
  }
};

}  // namespace dlplug
