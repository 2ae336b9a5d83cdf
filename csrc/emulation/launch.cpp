// A launch: what it may ask for, and its blocks one cluster after the other.
#include <algorithm>
#include <mutex>

#include "csrc/emulation/blocks.h"

namespace dlplug::emulation {
namespace {

constexpr size_t kCanary = 64;
constexpr size_t kMaxSharedMemory = 227 << 10;  // of a block on sm_90
constexpr unsigned char kPoison = 0xff;         // a NaN in each floating-point type

uint64_t launches;  // so far

unsigned threads_of(const dim3& dim) { return dim.x * dim.y * dim.z; }

unsigned cluster_of(const cudaLaunchConfig_t& config) {
  if (config.numAttrs == 0) return 1;
  const unsigned size = config.attrs[0].val.clusterDim.x;
  if (!device.has_clusters) fault("this device has no clusters");
  if (size == 0 || size > kMaxCluster || config.gridDim.x % size != 0)
    fault("a cluster of " + std::to_string(size) + " blocks of " +
          std::to_string(config.gridDim.x));
  return size;
}

void check(const cudaLaunchConfig_t& config) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  if (block.x == 0 || block.y == 0 || block.z == 0 || block.z > 64 ||
      uint64_t{block.x} * block.y * block.z > kMaxThreads)
    fault("a block of " + std::to_string(block.x) + " x " + std::to_string(block.y) + " x " +
          std::to_string(block.z) + " threads");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 0xffffu ||
      grid.z > 0xffffu)
    fault("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
          std::to_string(grid.z) + " blocks");
  if (config.dynamicSmemBytes > device.shared_memory)
    fault(std::to_string(config.dynamicSmemBytes) + " bytes of shared memory");
}

}  // namespace

Device device{kMaxSharedMemory, true};

void run(const cudaLaunchConfig_t& config, const std::function<void()>& body) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  check(config);
  ++launches;
  const unsigned count = threads_of(config.blockDim), blocks = threads_of(config.gridDim);
  blockDim = config.blockDim;
  gridDim = config.gridDim;
  kernel = &body;
  std::mt19937_64 numbers(order);
  shared_bytes = config.dynamicSmemBytes;
  is_in_thread = false;
  const unsigned size = cluster_of(config);
  const size_t bytes = (config.dynamicSmemBytes + kCanary + 127) / 128 * 128;
  std::vector<unsigned char> memory(size * bytes + 128);
  unsigned char* const begin =
      memory.data() + (128 - reinterpret_cast<uintptr_t>(memory.data()) % 128);
  for (unsigned number = 0; number < size; ++number)
    shared_of_blocks[number] = begin + number * bytes;
  for (unsigned cluster : in_order(blocks / size, numbers)) {
    std::fill_n(begin, size * bytes, kPoison);
    run_cluster(cluster * size, size, count, numbers);
    for (unsigned number = 0; number < size; ++number)
      for (size_t i = config.dynamicSmemBytes; i < bytes; ++i)
        if (shared_of_blocks[number][i] != kPoison)
          fault("shared memory was written past its " + std::to_string(config.dynamicSmemBytes) +
                " bytes");
  }
}

}  // namespace dlplug::emulation

// 0: threads and blocks take turns as numbered; 1: backwards; else: in an order drawn with this
// seed.
extern "C" __attribute__((visibility("default"))) void dlplug_emulation_order(uint64_t seed) {
  dlplug::emulation::order = seed;
}

// What the device is said to have: bytes of shared memory for a block, and clusters.
extern "C" __attribute__((visibility("default"))) void dlplug_emulation_device(
    uint64_t shared_memory, int has_clusters) {
  dlplug::emulation::device = {shared_memory, has_clusters != 0};
}

extern "C" __attribute__((visibility("default"))) uint64_t dlplug_emulation_launches() {
  return dlplug::emulation::launches;
}
