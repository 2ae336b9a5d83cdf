// Faults on purpose, compiled as a kernel is, once per instruction set: what the sanitizers must
// see. Vectors are stored as kernels store them: whole, and the last lanes under a mask.
#include "csrc/common/memory.h"

using namespace dlplug::DLPLUG_ISA;

extern "C" __attribute__((visibility("default"))) void fill(float* to, int64_t count) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(to + i, broadcast(1.0f));
  if (i < count) store(to + i, broadcast(1.0f), static_cast<int>(count - i));
}

extern "C" __attribute__((visibility("default"))) float sum_of(const float* from, int64_t count) {
  Float total = {};
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) total += load(from + i);
  if (i < count) total += load(from + i, static_cast<int>(count - i));
  return sum(total);
}

extern "C" __attribute__((visibility("default"))) int64_t add(int64_t a, int64_t b) {
  return a + b;
}
