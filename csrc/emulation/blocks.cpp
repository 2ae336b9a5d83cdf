#include "csrc/emulation/blocks.h"

#include <algorithm>
#include <numeric>

#include "csrc/emulation/meetings.h"

namespace dlplug::emulation {

uint64_t order;

namespace {

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
    // In a drawn order some warps rest while others go on: else none would get ahead of another.
    const uint64_t resting = order > 1 ? numbers() : 0;
    for (unsigned i : in_order(count, numbers)) {
      if (threads[i].state != State::kReady) continue;
      has_run = true;
      if ((resting >> (i / kWarp) & 1) == 0) resume(i);
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

}  // namespace

std::vector<unsigned> in_order(unsigned count, std::mt19937_64& numbers) {
  std::vector<unsigned> found(count);
  std::iota(found.begin(), found.end(), 0u);
  if (order == 1) std::reverse(found.begin(), found.end());
  if (order > 1) std::shuffle(found.begin(), found.end(), numbers);
  return found;
}

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

}  // namespace dlplug::emulation
