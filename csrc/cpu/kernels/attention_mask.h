// The mask of the scores: how it is read, and which part of a block it leaves to be computed. To
// look through 64 x 256 of it takes 2 % of the time that their products take, and blocks that it
// hides or does not change are common: a causal mask, a window, padding.
#pragma once

#include "csrc/common/memory.h"
#include "csrc/cpu/kernels/attention.h"

namespace dlplug::DLPLUG_ISA {

constexpr float kInfinity = __builtin_inff();

// Keys [begin, end) of a query or block of queries; nothing where end <= begin.
struct Span {
  int64_t begin, end;
};

DLPLUG_INLINE Span intersect(Span a, Span b) {
  return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}

// Up to kWidth bytes, -1 where one is not 0; `count` of them exist.
DLPLUG_INLINE Int load_flags(const uint8_t* from, int64_t count) {
#if defined(__AVX512F__)
  if (count >= kWidth) return (Int)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from)) != 0;
  will_read(from, count);
  const auto mask = (__mmask16)((1u << count) - 1);
  return (Int)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from)) != 0;
#else
  Int flags = {};
#if defined(__AVX2__)
  if (count >= kWidth) {
    flags = (Int)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from));
    return flags != 0;
  }
#endif
  for (int i = 0; i < kWidth && i < count; ++i) flags[i] = from[i];
  return flags != 0;
#endif
}

// Up to kWidth numbers; `count` of them exist.
template <class T>
DLPLUG_INLINE Float load_some(const T* from, int64_t count) {
  return count >= kWidth ? load(from) : load(from, (int)count);
}

// The mask's row for one query; as it is made without arguments, it changes nothing.
struct RowMask {
  MaskType type = MaskType::kNone;
  bool is_constant = false;  // along the keys
  int64_t num_keys = 0;
  const void* data = nullptr;

  RowMask() = default;
  RowMask(const AttentionScores& args, int64_t batch, int64_t head, int64_t query)
      : type(args.mask.type), is_constant(args.mask.key == 0), num_keys(args.num_keys) {
    const int64_t size = type == MaskType::kBool ? 1 : type == MaskType::kFloat32 ? 4 : 2;
    const int64_t elements =
        batch * args.mask.batch + head * args.mask.head + query * args.mask.row;
    data = (const char*)args.mask.data + elements * size;
  }

  // What is added to the scores of the vector at `key`: for a bool mask 0 or -inf.
  __attribute__((always_inline)) Float bias(int64_t key) const {
    const int64_t offset = is_constant ? 0 : key;
    const int64_t count = is_constant ? 1 : num_keys - key;
    Float value;
    switch (type) {
      case MaskType::kBool:
        value = load_flags((const uint8_t*)data + offset, count) ? Float{} : broadcast(-kInfinity);
        break;
      case MaskType::kFloat32:
        value = load_some((const float*)data + offset, count);
        break;
      case MaskType::kBFloat16:
        value = load_some((const BFloat16*)data + offset, count);
        break;
      case MaskType::kFloat16:
        value = load_some((const Half*)data + offset, count);
        break;
      default:
        return Float{};
    }
    return is_constant ? broadcast(value[0]) : value;
  }

  __attribute__((always_inline)) Float apply(int64_t key, Float score) const {
    return type == MaskType::kNone ? score : score + bias(key);
  }
};

DLPLUG_INLINE bool any(Int flags) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)flags, (__m512i)flags) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)flags, (__m256i)flags);
#else
  return (flags[0] | flags[1] | flags[2] | flags[3]) != 0;
#endif
}

// What a block's mask leaves of the keys of a span, and whether it changes or hides scores there.
struct MaskedSpan {
  Span span;
  bool has_effect;
};

// Looks through queries [first, first + count) and the keys of `span`, at most kMaxChunk of them
// from a multiple of kWidth on. The result is as wide as needed in whole vectors.
static MaskedSpan look_through(const AttentionScores& args, int64_t batch, int64_t head,
                               int64_t first, int64_t count, Span span) {
  Int is_seen[kMaxChunk / kWidth] = {}, is_changed[kMaxChunk / kWidth] = {};
  const bool is_constant = args.mask.key == 0;
  const int64_t vectors = is_constant ? 1 : (span.end - span.begin + kWidth - 1) / kWidth;
  const int64_t rows = args.mask.row == 0 ? 1 : count;
  for (int64_t row = 0; row < rows; ++row) {
    const RowMask mask(args, batch, head, first + row);
    for (int64_t i = 0; i < vectors; ++i) {
      const Float bias = mask.bias(span.begin + i * kWidth);
      is_seen[i] |= bias != -kInfinity;  // a NaN goes on to the score
      is_changed[i] |= bias != 0.0f;
    }
  }
  MaskedSpan found{{span.end, span.begin}, false};
  bool has_gap = false;  // vectors that nobody sees since the last that somebody does
  for (int64_t i = 0; i < vectors; ++i) {
    // Lanes past the last key do not count.
    const Int index = lanes() + (int32_t)(i * kWidth);
    const Int exists = is_constant ? Int{} - 1 : (Int)(index < (int32_t)(span.end - span.begin));
    if (!any(is_seen[i] & exists)) {
      has_gap = true;
      continue;
    }
    const bool is_first = found.span.begin == span.end;
    if (is_first) found.span.begin = span.begin + i * kWidth;
    found.has_effect |= any(is_changed[i] & exists) || (has_gap && !is_first);
    has_gap = false;
    found.span.end = span.begin + (i + 1) * kWidth;
  }
  if (found.span.end > span.end || (is_constant && found.span.begin < found.span.end))
    found.span.end = span.end;
  return found;
}

}  // namespace dlplug::DLPLUG_ISA
