#include "csrc/emulation/threads.h"

#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

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

Thread threads_of_blocks[kMaxCluster][kMaxThreads];
unsigned char* shared_of_blocks[kMaxCluster];
unsigned rank;
Thread* threads;
unsigned current;
bool is_in_thread;
const std::function<void()>* kernel;
std::string misaligned, broken;
std::vector<std::function<void()>> under_way;
size_t shared_bytes;
uint64_t clusters;

namespace {

constexpr size_t kStack = 256 << 10, kPage = 4096;

void* scheduler;  // stack pointer of the loop that resumes threads

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

}  // namespace

void fault(const std::string& what) { throw std::runtime_error("emulated CUDA: " + what); }

std::string told(Site site) {
  const std::string file = site.file;
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(site.line);
}

uint3 index_in(const dim3& dim, unsigned number) {
  return {number % dim.x, number / dim.x % dim.y, number / (dim.x * dim.y)};
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

void leave(State state) {
  threads[current].state = state;
  dlplug_emulation_switch(&threads[current].stack_pointer, scheduler);
}

}  // namespace dlplug::emulation
