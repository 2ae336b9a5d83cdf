#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "csrc/emulation/cuda_runtime.h"

#if !defined(__x86_64__)
#error "the emulation switches stacks by hand, which is written for x86-64 only"
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// Keeps the registers that a call must keep, saves the stack in *from and goes on with `to`.
extern "C" void dlplug_emulation_switch(void** from, void* to);
asm(R"(
.text
.type dlplug_emulation_switch, @function
dlplug_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size dlplug_emulation_switch, . - dlplug_emulation_switch
)");

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_unpoison_memory_region(const volatile void*, size_t);
#endif

namespace dlplug::emulation {
namespace {

constexpr unsigned kMaxThreads = 1024, kMaxCluster = 8, kWarp = 32;
constexpr size_t kStack = 256 << 10, kPage = 4096, kCanary = 64;
constexpr size_t kMaxSharedMemory = 227 << 10;  // of a block on sm_90
constexpr unsigned char kPoison = 0xff;         // a NaN in each floating-point type

enum class State { kReady, kAtBlock, kInWarp, kWaiting, kAtCluster, kDone };

struct Thread {
  uint3 index;
  void* stack_pointer;
  State state;
  Site site;
  Exchange* exchange;
  bool (*is_over)(const void*);  // of what it waits for
  const void* awaited;
};

// The blocks of a cluster, which are there at the same time.
Thread threads_of_blocks[kMaxCluster][kMaxThreads];
unsigned char* shared_of_blocks[kMaxCluster];  // dynamic shared memory
unsigned rank;                                 // which of them runs
Thread* threads;                               // its threads
unsigned current;                              // which of these runs
void* scheduler;                               // stack pointer of the loop that resumes them
const std::function<void()>* kernel;
std::string misaligned;  // where memory was first accessed off the alignment of its type
std::string broken;      // the rule that a thread broke
std::vector<std::function<void()>> under_way;  // what the hardware does by itself for this block
size_t shared_bytes;                           // dynamic shared memory of a block
uint64_t clusters;                             // that have begun
bool is_in_thread;                             // not in the loop that resumes them
uint64_t order;     // 0: as numbered; 1: backwards; else: drawn with this seed
uint64_t launches;  // so far
Device device{kMaxSharedMemory, true};

unsigned threads_of(const dim3& dim) { return dim.x * dim.y * dim.z; }

uint3 index_in(const dim3& dim, unsigned number) {
  return {number % dim.x, number / dim.x % dim.y, number / (dim.x * dim.y)};
}

std::string told(Site site) {
  const std::string file = site.file;
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(site.line);
}

[[noreturn]] void fault(const std::string& what) {
  throw std::runtime_error("emulated CUDA: " + what);
}

void leave(State state) {
  threads[current].state = state;
  dlplug_emulation_switch(&threads[current].stack_pointer, scheduler);
}

void enter() {
  (*kernel)();
  leave(State::kDone);
}

// Stacks in one piece, below each a page that faults when touched.
unsigned char* stacks() {
  static unsigned char* const memory = [] {
    constexpr unsigned kStacks = kMaxCluster * kMaxThreads;
    void* mapped = mmap(nullptr, kStacks * kStack, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) fault("no memory for the stacks of threads");
    auto* first = static_cast<unsigned char*>(mapped);
    for (unsigned i = 0; i < kStacks; ++i) mprotect(first + i * kStack, kPage, PROT_NONE);
    return first;
  }();
  return memory;
}

void prepare(unsigned number) {
  unsigned char* begin = stacks() + (rank * kMaxThreads + number) * kStack + kPage;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(begin, kStack - kPage);  // of a thread that was left behind
#endif
  // From the top: the alignment that a function expects at its entry, where `ret` goes, and the six
  // registers.
  auto* top = reinterpret_cast<void**>(begin + kStack - kPage) - 2;
  top[0] = reinterpret_cast<void*>(&enter);
  std::fill_n(top - 6, 6, nullptr);
  threads[number] = {
      index_in(blockDim, number), top - 6, State::kReady, {}, nullptr, nullptr, nullptr};
}

void resume(unsigned number) {
  current = number;
  threadIdx = threads[number].index;
  is_in_thread = true;
  dlplug_emulation_switch(&scheduler, threads[number].stack_pointer);
  is_in_thread = false;
}

std::vector<unsigned> in_order(unsigned count, std::mt19937_64& numbers) {
  std::vector<unsigned> found(count);
  std::iota(found.begin(), found.end(), 0u);
  if (order == 1) std::reverse(found.begin(), found.end());
  if (order > 1) std::shuffle(found.begin(), found.end(), numbers);
  return found;
}

// Lets the lanes go on that `number` waits for, once all of them are there.
bool release_lanes(unsigned number, unsigned count) {
  const unsigned first = number / kWarp * kWarp;
  const unsigned mask = threads[number].exchange->mask;
  if ((mask >> (number - first) & 1) == 0) fault("a lane is not in the mask that it gives");
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    if (first + lane >= count) continue;  // the last warp of a block may be cut short
    const Thread& other = threads[first + lane];
    if (other.state != State::kInWarp) return false;
    if (other.exchange->mask != mask) return false;
    if (other.site.line != threads[number].site.line)
      fault("lanes of a warp meet at " + told(other.site) + " and " + told(threads[number].site));
    if (other.exchange->value != 0) ballot |= 1u << lane;
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0 || first + lane >= count) continue;
    Exchange& exchange = *threads[first + lane].exchange;
    const unsigned source = static_cast<unsigned>(exchange.source);
    if (source >= kWarp || (mask >> source & 1) == 0 || first + source >= count)
      fault("a shuffle at " + told(threads[number].site) + " from a lane that takes no part");
    exchange.received = threads[first + source].exchange->value;
    exchange.ballot = ballot;
  }
  if (threads[number].exchange->work != nullptr) {
    if (first + kWarp > count) fault("a warp cut short at " + told(threads[number].site));
    void* parts[kWarp];
    for (unsigned lane = 0; lane < kWarp; ++lane)
      parts[lane] = threads[first + lane].exchange->part;
    threads[number].exchange->work(parts);
  }
  for (unsigned lane = 0; lane < kWarp; ++lane)
    if ((mask >> lane & 1) != 0 && first + lane < count)
      threads[first + lane].state = State::kReady;
  return true;
}

// Lets the block go on, once all its threads are at one barrier.
bool release_block(unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    if (threads[i].state != State::kAtBlock) return false;
    if (threads[i].site.line != threads[0].site.line)
      fault("threads of a block meet at " + told(threads[0].site) + " and " +
            told(threads[i].site));
  }
  for (unsigned i = 0; i < count; ++i) threads[i].state = State::kReady;
  return true;
}

[[noreturn]] void fault_of_waiting(unsigned count) {
  unsigned done = 0;
  std::string where;
  for (unsigned i = 0; i < count; ++i) {
    if (threads[i].state == State::kDone)
      ++done;
    else if (where.empty())
      where = told(threads[i].site);
  }
  fault("threads wait at " + where + " for others that do not come; " + std::to_string(done) +
        " of " + std::to_string(count) + " have ended");
}

bool release_waiting(unsigned count) {
  bool has_released = false;
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = threads[i];
    if (thread.state != State::kWaiting || !thread.is_over(thread.awaited)) continue;
    thread.state = State::kReady;
    has_released = true;
  }
  return has_released;
}

// One of the things under way: the oldest, the latest or any.
void finish_one(std::mt19937_64& numbers) {
  size_t which = order == 0 ? 0 : under_way.size() - 1;
  if (order > 1) which = numbers() % under_way.size();
  const auto work = under_way[which];
  under_way.erase(under_way.begin() + static_cast<ptrdiff_t>(which));
  work();
}

void enter_block(unsigned number, unsigned first) {
  rank = number;
  threads = threads_of_blocks[rank];
  blockIdx = index_in(gridDim, first + rank);
}

// Until all its threads have ended, or all wait for other blocks; whether they have ended.
bool run_block(unsigned count, std::mt19937_64& numbers) {
  for (;;) {
    bool has_run = false;
    for (unsigned i : in_order(count, numbers)) {
      if (threads[i].state != State::kReady) continue;
      resume(i);
      has_run = true;
    }
    if (!misaligned.empty()) fault("misaligned access at " + misaligned);
    if (!broken.empty()) fault(broken);
    for (unsigned i = 0; i < count; ++i)
      if (threads[i].state == State::kInWarp) has_run |= release_lanes(i, count);
    has_run |= release_block(count);
    has_run |= release_waiting(count);
    if (has_run) continue;
    const State state = threads[0].state == State::kDone ? State::kDone : State::kAtCluster;
    bool are_alike = true;
    for (unsigned i = 0; i < count; ++i) are_alike &= threads[i].state == state;
    if (are_alike && under_way.empty()) return state == State::kDone;
    if (are_alike && state == State::kDone) fault("a block ends while a copy into it is under way");
    if (under_way.empty()) fault_of_waiting(count);
    finish_one(numbers);
  }
}

// `size` blocks from `first` on. One runs until it waits for others: what it has in shared memory
// that is not dynamic does not outlive that here.
void run_cluster(unsigned first, unsigned size, unsigned count, std::mt19937_64& numbers) {
  ++clusters;
  misaligned.clear();
  broken.clear();
  under_way.clear();
  for (unsigned number = 0; number < size; ++number) {
    enter_block(number, first);
    for (unsigned i = 0; i < count; ++i) prepare(i);
  }
  for (;;) {
    unsigned ended = 0;
    for (unsigned number : in_order(size, numbers)) {
      enter_block(number, first);
      ended += run_block(count, numbers);
    }
    if (ended == size) return;
    const Site site = threads_of_blocks[0][0].site;
    for (unsigned number = 0; number < size; ++number)
      for (unsigned i = 0; i < count; ++i) {
        Thread& thread = threads_of_blocks[number][i];
        if (thread.state != State::kAtCluster || thread.site.line != site.line)
          fault("blocks of a cluster do not meet at " + told(site));
        thread.state = State::kReady;
      }
  }
}

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

void meet_block(Site site) {
  threads[current].site = site;
  leave(State::kAtBlock);
}

void meet_warp(Exchange& exchange, Site site) {
  threads[current].site = site;
  threads[current].exchange = &exchange;
  leave(State::kInWarp);
}

void meet_cluster(Site site) {
  threads[current].site = site;
  leave(State::kAtCluster);
}

unsigned rank_in_cluster() { return rank; }

void* in_block(void* own, unsigned other) {
  return shared_of_blocks[other] + (static_cast<unsigned char*>(own) - shared_of_blocks[rank]);
}

Device& current_device() { return device; }

void wait_until(bool (*is_over)(const void*), const void* awaited, Site site) {
  if (is_over(awaited)) return;
  threads[current].site = site;
  threads[current].is_over = is_over;
  threads[current].awaited = awaited;
  leave(State::kWaiting);
}

void do_later(std::function<void()> work) { under_way.push_back(std::move(work)); }

void stop(const std::string& what, Site site) {
  const std::string text = what + " at " + told(site);
  if (!is_in_thread) fault(text);
  broken = text;
  leave(State::kDone);
}

int lane() { return static_cast<int>(current % kWarp); }

uint64_t block_number() { return clusters * kMaxCluster + rank; }

void* dynamic_shared_memory() { return shared_of_blocks[rank]; }

size_t dynamic_shared_bytes() { return shared_bytes; }

void check_alignment(const void* address, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(address) % alignment == 0) return;
  misaligned = "a vector of " + std::to_string(alignment) + " bytes";
  leave(State::kDone);
}

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

// What g++ calls with -fsanitize=alignment; where the processor takes it,
// it would pass unseen, elsewhere it would end the process.
extern "C" void __ubsan_handle_type_mismatch_v1(void* finding, void*) {
  struct Begin {
    const char* file;
    uint32_t line, column;
  };
  const auto* at = static_cast<const Begin*>(finding);
  dlplug::emulation::misaligned = dlplug::emulation::told({at->file, static_cast<int>(at->line)});
  dlplug::emulation::leave(dlplug::emulation::State::kDone);
}
