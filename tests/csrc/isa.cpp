// Which level of kernels a processor would get, for tests/csrc/test_isa.py: compiled for any
// processor, unlike the kernels.
#include "csrc/common/processor.h"

#define EXPORTED extern "C" [[gnu::visibility("default")]]

// The best level of a processor that reports this.
EXPORTED int64_t level_of(uint32_t leaf1_c, uint32_t leaf7_b, uint32_t leaf7_d, uint32_t leaf7_1_a,
                          uint64_t saved_states, bool has_tiles) {
  const dlplug::Processor processor{leaf1_c, leaf7_b, leaf7_d, leaf7_1_a, saved_states};
  return static_cast<int64_t>(isa_of(processor, has_tiles));
}

// Whether a processor with this in leaf 7.1 (EAX) has AVX512_BF16.
EXPORTED bool reports_bf16(uint32_t leaf7_1_a) {
  dlplug::Processor processor;
  processor.leaf7_1_a = leaf7_1_a;
  return dlplug::reports_bf16(processor);
}

// The level in use after `selected`, unless it is negative, where `best` is the best one and the
// operating system gives tiles or not; and in `times_asked` how often it was asked for them.
EXPORTED int64_t level_in_use(int64_t best, int64_t selected, bool gives_tiles,
                              int64_t* times_asked) {
  static int64_t times;
  times = 0;
  using Answer = bool (*)();
  const Answer given = [] { return ++times > 0; };
  const Answer refused = [] { return ++times < 0; };
  dlplug::LevelInUse level(static_cast<dlplug::Isa>(best), gives_tiles ? given : refused);
  if (selected >= 0) level.select(static_cast<dlplug::Isa>(selected));
  const dlplug::Isa found = level.current();
  *times_asked = times;
  return static_cast<int64_t>(found);
}
