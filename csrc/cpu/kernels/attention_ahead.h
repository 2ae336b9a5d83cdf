// Bringing rows into the cache before they are needed. The processor does so by itself only once it
// has seen some of them, which for 64 rows is late: without this, packed documents of 128 keys take
// a quarter more time when their tensors lie beyond the caches.
#pragma once

#include "csrc/cpu/kernels/attention_mask.h"
#include "csrc/cpu/kernels/attention_product.h"
#include "csrc/cpu/kernels/attention_scores.h"
#include "csrc/cpu/kernels/attention_scratch.h"

namespace dlplug::DLPLUG_ISA {

// Bytes of each tensor that are brought in at once at most, so that five of them leave room in the
// L2 cache.
constexpr int64_t kMaxAhead = 1 << 16;

// Rows that will be read soon.
struct Ahead {
  static constexpr int64_t kLine = 64;

  const char* data = nullptr;
  int64_t stride = 0, bytes = 0, count = 0;
  int64_t taken = 0;  // bytes of the first row

  Ahead() = default;

  template <class T>
  Ahead(const T* rows, int64_t stride, int64_t width, int64_t count)
      : data((const char*)rows),
        stride(stride * (int64_t)sizeof(T)),
        bytes(width * (int64_t)sizeof(T)),
        count(count) {}

  __attribute__((always_inline)) void fetch(int64_t row) const {
    if (row >= count) return;
    for (int64_t i = 0; i < bytes; i += kLine) __builtin_prefetch(data + row * stride + i, 0, 2);
  }

  // Rows without gaps between them become one.
  void join() {
    if (stride != bytes) return;
    bytes *= count;
    count = 1;
  }

  // The next lines, of one row.
  Lines take(int64_t most) {
    const int64_t left = (bytes - taken + kLine - 1) / kLine;
    const Lines lines{data + taken, left < most ? left : most};
    taken += lines.count * kLine;
    if (taken >= bytes) {
      data += stride;
      taken = 0;
      --count;
    }
    return lines;
  }
};

// Those of a head; none where `rows` ends before it begins.
template <class T>
static Ahead rows_ahead(const HeadRows& x, int64_t batch, int64_t head, Span rows, int64_t width) {
  return Ahead(rows_at<const T>(x, batch, head, rows.begin), x.row, width, rows.end - rows.begin);
}

// Those of a whole head, of which no more than kMaxAhead bytes are brought in.
template <class T>
static Ahead head_ahead(const HeadRows& x, int64_t batch, int64_t head, int64_t rows,
                        int64_t width) {
  const int64_t most = kMaxAhead / ((width > 0 ? width : 1) * (int64_t)sizeof(T)) + 1;
  return rows_ahead<T>(x, batch, head, {0, rows < most ? rows : most}, width);
}

// Those of a mask, or of its gradient's share that begins `offset` elements on, that a block meets.
DLPLUG_INLINE Ahead mask_ahead(const MaskRows& mask, const ScoreBlock& block, int64_t offset = 0) {
  Ahead rows;
  with_mask_type(mask.type, [&](auto entry) {
    const auto* first = (const decltype(entry)*)mask.data + offset + block.batch * mask.batch +
                        block.head * mask.head + block.first * mask.row +
                        block.span.begin * mask.key;
    rows = Ahead(first, mask.row, mask.key == 0 ? 1 : block.span.end - block.span.begin,
                 mask.row == 0 ? 1 : block.count);
  });
  return rows;
}

// Rows of several tensors, one tensor after the other, brought in a few lines at a time: all at
// once they are more than the processor keeps waiting for, and it stands still.
class Trickle {
 public:
  static constexpr int kMost = 13;

  // What is left of the ones before comes at once.
  template <int kCount>
  void begin(const Ahead (&tensors)[kCount]) {
    static_assert(kCount <= kMost);
    finish();
    next_ = count_ = 0;
    for (const Ahead& each : tensors) {
      if (each.count <= 0 || each.bytes <= 0) continue;
      tensors_[count_] = each;
      tensors_[count_++].join();
    }
  }

  // Lines for the caller to fetch, `most` or fewer. Short rows before them are fetched here.
  Lines take(int64_t most) {
    constexpr int64_t kShort = 16;
    Lines lines{};
    while (lines.count < kShort && most > 0 && next_ < count_) {
      fetch(lines);
      lines = tensors_[next_].take(most);
      most -= lines.count;
      if (tensors_[next_].count == 0) ++next_;
    }
    return lines;
  }

  // Those of a tile of AMX, which asks for none.
  void advance() {
    constexpr int64_t kLines = 40;
    fetch(take(kLines));
  }
  void finish() {
    while (next_ < count_) fetch(take(INT64_MAX));
  }

 private:
  static void fetch(Lines lines) {
    for (int64_t i = 0; i < lines.count; ++i) lines.fetch(i);
  }

  Ahead tensors_[kMost];
  int next_ = 0, count_ = 0;
};

// Rows [begin, end), `size` of them at a time.
struct Portions {
  int64_t begin, end, size;

  Span next() {
    const Span rows = intersect({begin, begin + size}, {begin, end});
    begin += size;
    return rows;
  }
};

// As many portions as blocks at most, and none smaller than a block.
DLPLUG_INLINE Portions portions_of(Span rows, int64_t num_blocks) {
  const int64_t size = (rows.end - rows.begin + num_blocks - 1) / num_blocks;
  return {rows.begin, rows.end, size < kMaxBlock ? kMaxBlock : size};
}

}  // namespace dlplug::DLPLUG_ISA
