// What kernels, and the stand-ins for CUDA's functions, call.
#include "csrc/emulation/threads.h"

namespace dlplug::emulation {

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

}  // namespace dlplug::emulation

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
