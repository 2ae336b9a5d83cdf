// The threads of the blocks that are there, each a fiber with a stack of its own, and the launch
// that they belong to; what the sources of this folder share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "csrc/emulation/cuda_runtime.h"

namespace dlplug::emulation {

constexpr unsigned kMaxThreads = 1024, kMaxCluster = 8, kWarp = 32;

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
extern Thread threads_of_blocks[kMaxCluster][kMaxThreads];
extern unsigned char* shared_of_blocks[kMaxCluster];  // dynamic shared memory
extern unsigned rank;                                 // which of them runs
extern Thread* threads;                               // its threads
extern unsigned current;                              // which of these runs
extern bool is_in_thread;                             // not in the loop that resumes them
extern const std::function<void()>* kernel;
extern std::string misaligned;  // where memory was first accessed off the alignment of its type
extern std::string broken;      // the rule that a thread broke
extern std::vector<std::function<void()>> under_way;  // what the hardware does by itself
extern size_t shared_bytes;                           // dynamic shared memory of a block
extern uint64_t clusters;                             // that have begun
extern uint64_t order;  // 0: as numbered; 1: backwards; else: drawn with this seed
extern Device device;

[[noreturn]] void fault(const std::string& what);
std::string told(Site site);

uint3 index_in(const dim3& dim, unsigned number);

// Makes thread `number` of the block that runs begin the kernel, once it is resumed.
void prepare(unsigned number);
// Lets it run until it leaves.
void resume(unsigned number);
// The thread that runs: back to the loop that resumes it, in this state.
void leave(State state);

}  // namespace dlplug::emulation
