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

// Up to kWidth entries of a mask as what is added to the scores: for flags 0 or -inf.
template <class T>
DLPLUG_INLINE Float load_bias(const T* from, int64_t count) {
  if constexpr (__is_same(T, uint8_t))
    return load_flags(from, count) ? Float{} : broadcast(-kInfinity);
  else
    return load_some(from, count);
}

// The mask's row for one query, entries of T.
template <class T>
struct RowMask {
  const T* data;
  bool is_constant;  // along the keys
  int64_t num_keys;

  RowMask(const AttentionScores& args, int64_t batch, int64_t head, int64_t query)
      : data((const T*)args.mask.data + batch * args.mask.batch + head * args.mask.head +
             query * args.mask.row),
        is_constant(args.mask.key == 0),
        num_keys(args.num_keys) {}

  // What is added to the scores of the vector at `key`.
  __attribute__((always_inline)) Float bias(int64_t key) const {
    if (is_constant) return broadcast(load_bias(data, 1)[0]);
    return load_bias(data + key, num_keys - key);
  }
};

// Calls `visit` with an entry of the mask's type.
template <class Visit>
DLPLUG_INLINE void with_mask_type(MaskType type, const Visit& visit) {
  switch (type) {
    case MaskType::kNone:
      return;
    case MaskType::kBool:
      return visit(uint8_t{});
    case MaskType::kFloat32:
      return visit(float{});
    case MaskType::kBFloat16:
      return visit(BFloat16{});
    case MaskType::kFloat16:
      return visit(Half{});
  }
}

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

// Which keys of a span any of the queries looked through so far sees, and whose scores change.
struct SeenKeys {
  Int is_seen[kMaxChunk / kWidth] = {}, is_changed[kMaxChunk / kWidth] = {};
  int64_t vectors, count;  // 1 where the mask is constant along the keys

  SeenKeys(const AttentionScores& args, Span span)
      : vectors(args.mask.key == 0 ? 1 : (span.end - span.begin + kWidth - 1) / kWidth),
        count(args.mask.key == 0 ? 1 : span.end - span.begin) {}

  // Lanes past the last key do not count.
  Int exists(int64_t vector) const {
    return (Int)(lanes() + (int32_t)(vector * kWidth) < (int32_t)count);
  }
  bool is_seen_at(int64_t vector) const { return any(is_seen[vector] & exists(vector)); }
  bool is_changed_at(int64_t vector) const { return any(is_changed[vector] & exists(vector)); }

  // Whether nothing that further queries see could add to what is known.
  bool is_settled() const {
    bool is_any_changed = false;
    for (int64_t i = 0; i < vectors; ++i) {
      if (!is_seen_at(i)) return false;
      is_any_changed |= is_changed_at(i);
    }
    return is_any_changed;
  }

  template <class T>
  void add(const RowMask<T>& mask, int64_t first_key) {
    for (int64_t i = 0; i < vectors; ++i) {
      const Float bias = mask.bias(first_key + i * kWidth);
      is_seen[i] |= bias != -kInfinity;  // a NaN goes on to the score
      is_changed[i] |= bias != 0.0f;
    }
  }
};

// Looks through queries [first, first + count) and the keys of `span`, at most kMaxChunk of them
// from a multiple of kWidth on. The result is as wide as needed in whole vectors.
static MaskedSpan look_through(const AttentionScores& args, int64_t batch, int64_t head,
                               int64_t first, int64_t count, Span span) {
  constexpr int64_t kRowsBetweenLooks = 8;  // most masks say all there is to know in the first row
  SeenKeys keys(args, span);
  const int64_t rows = args.mask.row == 0 ? 1 : count;
  with_mask_type(args.mask.type, [&](auto entry) __attribute__((always_inline)) {
    for (int64_t row = 0; row < rows; ++row) {
      keys.add(RowMask<decltype(entry)>(args, batch, head, first + row), span.begin);
      if (row % kRowsBetweenLooks == 0 && keys.is_settled()) break;
    }
  });
  MaskedSpan found{{span.end, span.begin}, false};
  bool has_gap = false;  // vectors that nobody sees since the last that somebody does
  for (int64_t i = 0; i < keys.vectors; ++i) {
    if (!keys.is_seen_at(i)) {
      has_gap = true;
      continue;
    }
    const bool is_first = found.span.begin == span.end;
    if (is_first) found.span.begin = span.begin + i * kWidth;
    found.has_effect |= keys.is_changed_at(i) || (has_gap && !is_first);
    has_gap = false;
    found.span.end = span.begin + (i + 1) * kWidth;
  }
  const bool is_constant = args.mask.key == 0;
  if (found.span.end > span.end || (is_constant && found.span.begin < found.span.end))
    found.span.end = span.end;
  return found;
}

}  // namespace dlplug::DLPLUG_ISA
