// Runs blocks of threads: in which order these take turns, and until when.
#pragma once

#include <random>
#include <vector>

#include "csrc/emulation/threads.h"

namespace dlplug::emulation {

// 0, 1, ... count - 1 in the order that was asked for; `numbers`: what is drawn from.
std::vector<unsigned> in_order(unsigned count, std::mt19937_64& numbers);

// `size` blocks from `first` on. One runs until it waits for others: what it has in shared memory
// that is not dynamic does not outlive that here.
void run_cluster(unsigned first, unsigned size, unsigned count, std::mt19937_64& numbers);

}  // namespace dlplug::emulation
