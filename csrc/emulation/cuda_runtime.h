// CUDA's execution model on the host, for tests: this folder comes first on the include path, and
// g++ compiles the very sources of csrc/cuda. Each thread of a block is a fiber with a stack of its
// own that runs until it meets the others; blocks run one after another. It proves what a kernel
// computes, not how fast, and nothing of the hardware: memory is coherent here at once.
//
// Found are: threads of a block or warp that do not meet at one barrier or shuffle, a shuffle from
// a lane that takes no part, misaligned vectors, dynamic shared memory written past its end,
// launches out of bounds, more shared memory than was asked for; by running again in another order
// of threads and blocks, results that depend on it (races, shared memory that was never written);
// with AddressSanitizer, memory out of bounds.
//
// What works beside the threads (copies by the tensor memory accelerator, products of warpgroups:
// csrc/emulation/tma.h, wgmma.h) ends as late as it may, and until then its target holds NaN.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // one block runs at a time
#define __grid_constant__

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
using uint3 = dim3;

// Of the thread that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

using cudaError_t = int;
using cudaStream_t = void*;
constexpr cudaError_t cudaSuccess = 0, cudaErrorInvalidValue = 1;
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    uint3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

namespace dlplug::emulation {

// Where in the source threads meet.
struct Site {
  const char* file;
  int line;
};

// What a thread brings to a meeting of its warp, and takes from it.
struct Exchange {
  unsigned mask;      // the lanes that meet
  int source;         // the lane whose value this one wants
  uint64_t value;     // brought
  uint64_t received;  // the source's
  unsigned ballot;    // the lanes that brought something else than 0
  // What is done, once, with what all 32 lanes bring; or null.
  void (*work)(void* const* lanes) = nullptr;
  void* part = nullptr;  // that this lane brings
};

void meet_block(Site site);
void meet_warp(Exchange& exchange, Site site);
// Lets the others of its block run until is_over(awaited).
void wait_until(bool (*is_over)(const void*), const void* awaited, Site site);
// What the hardware does by itself: here as late as it can, when every thread waits.
void do_later(std::function<void()> work);
// A thread, or what is done for one, breaks a rule: ends the launch.
void stop(const std::string& what, Site site);
int lane();
uint64_t block_number();  // another one for each block of each launch
void* dynamic_shared_memory();
size_t dynamic_shared_bytes();
void meet_cluster(Site site);
unsigned rank_in_cluster();
// The place in another block's dynamic shared memory.
void* in_block(void* own, unsigned rank);
struct Device {
  size_t shared_memory;  // bytes of a block
  bool has_clusters;
};
Device& current_device();
// For vectors that are structures, of whose copies g++ checks nothing.
void check_alignment(const void* address, size_t alignment);
// Runs all blocks; throws std::runtime_error, saying where, if they break a rule.
void run(const cudaLaunchConfig_t& config, const std::function<void()>& kernel);

template <class T>
T received_from(unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  Exchange exchange{mask, source, 0, 0, 0};
  std::memcpy(&exchange.value, &value, sizeof(T));
  meet_warp(exchange, site);
  std::memcpy(&value, &exchange.received, sizeof(T));
  return value;
}

// An instruction of a whole warp: `work` is called once, with the `part` of each lane.
inline void meet_and_work(void (*work)(void* const* lanes), void* part, Site site) {
  Exchange exchange{0xffffffffu, lane(), 0, 0, 0, work, part};
  meet_warp(exchange, site);
}

}  // namespace dlplug::emulation

// Filled in where a function is called.
#define DLPLUG_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(DLPLUG_SITE) { dlplug::emulation::meet_block({file, line}); }

inline unsigned __ballot_sync(unsigned mask, int predicate, DLPLUG_SITE) {
  dlplug::emulation::Exchange exchange{mask, dlplug::emulation::lane(), predicate != 0, 0, 0};
  dlplug::emulation::meet_warp(exchange, {file, line});
  return exchange.ballot;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, DLPLUG_SITE) {
  __ballot_sync(mask, 0, file, line);
}

// As on the device, a lane beyond its segment of `width` lanes gives the caller's own value.
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32, DLPLUG_SITE) {
  const int first = dlplug::emulation::lane() / width * width;
  return dlplug::emulation::received_from(mask, value, first + from % width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, DLPLUG_SITE) {
  const int lane = dlplug::emulation::lane(), from = lane ^ bits;
  return dlplug::emulation::received_from(mask, value, from / width > lane / width ? lane : from,
                                          {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, DLPLUG_SITE) {
  const int lane = dlplug::emulation::lane(), from = lane + static_cast<int>(by);
  return dlplug::emulation::received_from(mask, value, from / width > lane / width ? lane : from,
                                          {file, line});
}

#undef DLPLUG_SITE

// Threads change places at meetings alone, so nothing comes between.
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}
template <class T>
T atomicMax(T* to, T value) {
  const T before = *to;
  if (value > before) *to = value;
  return before;
}
inline void __threadfence() {}

template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
T __ldcg(const T* from) {
  return *from;
}
template <class T>
void __stcs(T* to, T value) {
  *to = value;
}

inline float __fmul_rn(float a, float b) { return a * b; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrClusterLaunch };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const auto& device = dlplug::emulation::current_device();
  *value = attribute == cudaDevAttrClusterLaunch ? device.has_clusters
                                                 : static_cast<int>(device.shared_memory);
  return cudaSuccess;
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid argument";
}

namespace dlplug::emulation {

// Bytes of dynamic shared memory that a kernel may have: those asked for, or what is left of 48 KiB
// beside the static ones, which are not known here and taken to be 1 KiB.
inline size_t& shared_memory_of(const void* kernel) {
  thread_local std::unordered_map<const void*, size_t> bytes;
  return bytes.try_emplace(kernel, size_t{47} << 10).first->second;
}

}  // namespace dlplug::emulation

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  if (static_cast<size_t>(bytes) > dlplug::emulation::current_device().shared_memory)
    return cudaErrorInvalidValue;
  dlplug::emulation::shared_memory_of(reinterpret_cast<const void*>(kernel)) = bytes;
  return cudaSuccess;
}

// CUDA's own launcher in C++: also there it is a function, unlike <<<...>>>.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  if (config->dynamicSmemBytes >
      dlplug::emulation::shared_memory_of(reinterpret_cast<const void*>(kernel)))
    return cudaErrorInvalidValue;
  const std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
  dlplug::emulation::run(*config, [&] { std::apply(kernel, values); });
  return cudaSuccess;
}
