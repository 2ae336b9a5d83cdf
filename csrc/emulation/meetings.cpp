#include "csrc/emulation/meetings.h"

namespace dlplug::emulation {

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

void fault_of_waiting(unsigned count) {
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

}  // namespace dlplug::emulation
