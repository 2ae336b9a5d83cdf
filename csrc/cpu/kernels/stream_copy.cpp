// One pass: 4 bytes an element read, 4 written. C libraries have such a copy too, but begin to use
// it at a size that they guess (302 MB for each thread where glibc took an AMD processor's cache
// for 384 MiB), and below read what they write.
#include "csrc/cpu/kernels/stream_copy.h"

#include "csrc/common/memory.h"

namespace dlplug::DLPLUG_ISA {

void copy_streaming(const float* from, float* to, int64_t count) {
  constexpr int64_t kLine = kLineBytes / sizeof(float);
  for (int64_t i = 0; i < count; i += kLine)
    for (int64_t j = i; j < i + kLine; j += kWidth) stream(to + j, load(from + j));
  fence();
}

}  // namespace dlplug::DLPLUG_ISA
