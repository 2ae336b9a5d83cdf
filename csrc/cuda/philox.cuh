// The random bits of csrc/common/philox.h on a GPU, bit for bit: a function of (seed, row, column).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace dlplug {

// The four words of one counter: the bits of columns j, j + 16, j + 32 and j + 48 of a block of 64,
// with counter = 16 * (j / 64) + j % 16.
struct RandomWords {
  uint32_t word[4];
};

__device__ inline RandomWords random_words(uint64_t seed, int64_t row, uint32_t counter) {
  uint32_t c0 = counter, c1 = static_cast<uint32_t>(row);
  uint32_t c2 = static_cast<uint32_t>(static_cast<uint64_t>(row) >> 32), c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(c0, 0xd2511f53u), low0 = c0 * 0xd2511f53u;
    const uint32_t high1 = __umulhi(c2, 0xcd9e8d57u), low1 = c2 * 0xcd9e8d57u;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

// Dropout of an element whose bits are < threshold = floor(p * 2^32 + 1/2); 0 keeps everything.
// The seed lies on the device: drawing it waits for nothing, and a CUDA graph draws a new one.
struct Dropout {
  const int64_t* seed;
  uint64_t threshold;
  float scale;  // 1 / (1 - p), of what is kept
};

// Which of the 4 * kCount columns j + 16 * k + i are kept, as bit k * kCount + i. j % 64 < 16.
template <int kCount>
__device__ inline uint32_t kept_columns(const Dropout& dropout, uint64_t seed, int64_t row,
                                        int64_t j) {
  uint32_t kept = 0;
  const auto first = static_cast<uint32_t>(j / 64 * 16 + j % 16);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const RandomWords words = random_words(seed, row, first + i);
#pragma unroll
    for (int k = 0; k < 4; ++k)
      kept |= static_cast<uint32_t>(words.word[k] >= dropout.threshold) << (k * kCount + i);
  }
  return kept;
}

}  // namespace dlplug
