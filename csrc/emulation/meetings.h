// When threads that wait go on. `count`: the threads of the block that runs.
#pragma once

#include "csrc/emulation/threads.h"

namespace dlplug::emulation {

// Lets the lanes go on that `number` waits for, once all of them are there.
bool release_lanes(unsigned number, unsigned count);
// Lets the block go on, once all its threads are at one barrier.
bool release_block(unsigned count);
// Lets those go on whose wait is over.
bool release_waiting(unsigned count);
[[noreturn]] void fault_of_waiting(unsigned count);

}  // namespace dlplug::emulation
