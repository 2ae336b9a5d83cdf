// The running softmax of a block of queries, chunk of keys by chunk of keys (Milakov, Gimelshein
// 2018, arXiv:1805.02867). The steps that cost the same for a row of any length go over 16 rows at
// once: with 50 keys they would take as long as the rest.
#pragma once

#include "csrc/cpu/kernels/attention_lane_sums.h"
#include "csrc/cpu/kernels/attention_scores.h"
#include "csrc/cpu/kernels/row.h"

namespace dlplug::DLPLUG_ISA {

// One entry per query.
struct Softmax {
  float* top;     // largest score so far, -inf before the first
  float* sum;     // of e^(score - top)
  float* shift;   // top, or 0 where that is -inf: what is subtracted from the scores
  float* shrink;  // factor for what was summed up before the last chunk

  Softmax from(int64_t query) const {
    return {top + query, sum + query, shift + query, shrink + query};
  }
};

[[maybe_unused]] static void start(const Softmax& softmax, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    softmax.top[i] = -kInfinity;
    softmax.sum[i] = 0.0f;
  }
}

// A comparison with a NaN is false and `b` stays; the NaN comes back through the sum.
DLPLUG_INLINE Float larger(Float a, Float b) { return a > b ? a : b; }

DLPLUG_INLINE float largest(Float a) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)a);
#else
  float best = a[0];
  for (int i = 1; i < kWidth; ++i) best = a[i] > best ? a[i] : best;
  return best;
#endif
}

// The largest score of each row. The products become scores, but for the factor scale and the
// hidden columns of a plain call.
template <class Row>
static void find_tops(const ScoreBlock& block, float* products, float* tops) {
  const float scale = Row::kIsPlain ? block.args.scale : 1.0f;
  for (int64_t row = 0; row < block.count; ++row) {
    float* x = products + row * block.stride;
    const Span seen = block.seen(row), vectors = vectors_of(seen);
    const Row scores(block, row);
    Float best = broadcast(-kInfinity);
    for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
      const Float score = hide(seen, j, scores.score(j, load(x + j), nullptr));
      if constexpr (!Row::kIsPlain) store(x + j, score);
      best = larger(score, best);
    }
    tops[row] = largest(best) * scale;
  }
}

// Takes the tops of a further chunk in: raises the softmax's and says how much sums must shrink.
static void raise_tops(int64_t count, const float* tops, const Softmax& softmax) {
  over_row<1>(count, [&](int64_t row, int, auto part) __attribute__((always_inline)) {
    const Float before = load(softmax.top + row, part);
    const Float top = larger(load(tops + row, part), before);
    const Float shift = top == -kInfinity ? Float{} : top;
    store(softmax.top + row, top, part);
    store(softmax.shift + row, shift, part);
    store(softmax.shrink + row, exp_of_score(before - shift), part);
  });
}

// Scores to weights e^(score - top), dropped out where asked, and the sum of each row before that:
// of kWidth rows at once, in a row's own time the forward would take 2 % more.
template <class Row, class Element>
static void weigh(const ScoreBlock& block, const Softmax& softmax, float* scores, float* sums) {
  const Float scale = broadcast(Row::kIsPlain ? block.args.scale : 1.0f);
  for (int64_t first = 0; first < block.count; first += kWidth) {
    Float totals[kWidth] = {};
    for (int64_t row = first; row < first + kWidth && row < block.count; ++row) {
      float* x = scores + row * block.stride;
      const Span seen = block.seen(row), vectors = vectors_of(seen);
      fill_zeros(x, 0, vectors.begin);
      fill_zeros(x, vectors.end, block.columns);
      const Float shift = broadcast(-softmax.shift[row]);
      const bool is_huge = is_huge_score(softmax.shift[row]);
      Float total = {};
      Row weights(block, row);
      for (int64_t j = vectors.begin; j < vectors.end; j += kWidth) {
        const Float score = hide(seen, j, shifted(load(x + j), scale, shift, is_huge));
        const Float weight = weight_of<Element>(score);
        total += weight;
        store(x + j, weights.drop(j, weight));
      }
      totals[row - first] = total;
    }
    store(sums + first, sums_of(totals));
  }
}

static void add_sums(int64_t count, const float* sums, const Softmax& softmax) {
  over_row<1>(count, [&](int64_t row, int, auto part) __attribute__((always_inline)) {
    const Float before = load(softmax.sum + row, part) * load(softmax.shrink + row, part);
    store(softmax.sum + row, before + load(sums + row, part), part);
  });
}

// Products to weights e^(score - top) for a product with elements of this type, the softmax taking
// them in. `rows` is space for a number per row, up to a multiple of kWidth.
template <class Element>
static void soften(const ScoreBlock& block, const Softmax& softmax, float* products, float* rows) {
  with_row_type(block, [&](auto type) {
    using Row = typename decltype(type)::type;
    find_tops<Row>(block, products, rows);
    raise_tops(block.count, rows, softmax);
    weigh<Row, Element>(block, softmax, products, rows);
    add_sums(block.count, rows, softmax);
  });
}

// The log of a sum of weights, within 2 ulp: of a normal number; NaN and infinity stay. Method: the
// number is m 2^e with m between sqrt(1/2) and sqrt(2), and log m the polynomial of Cephes' logf.
DLPLUG_INLINE Float log_of_sum(Float sum) {
  const Int bits = (Int)sum, root_half = Int{} + 0x3f3504f3;
  const Int whole = (bits - root_half) >> 23;  // e
  const Float exponent = __builtin_convertvector(whole, Float);
  const Float r = (Float)(bits - (whole << 23)) - 1.0f, square = r * r;
  Float p = broadcast(7.0376836292e-2f);
  p = fma(p, r, broadcast(-1.1514610310e-1f));
  p = fma(p, r, broadcast(1.1676998740e-1f));
  p = fma(p, r, broadcast(-1.2420140846e-1f));
  p = fma(p, r, broadcast(1.4249322787e-1f));
  p = fma(p, r, broadcast(-1.6668057665e-1f));
  p = fma(p, r, broadcast(2.0000714765e-1f));
  p = fma(p, r, broadcast(-2.4999993993e-1f));
  p = fma(p, r, broadcast(3.3333331174e-1f));
  p = fma(p * r, square, exponent * -2.12194440e-4f);
  const Float log = fma(exponent, broadcast(0.693359375f), fma(square, broadcast(-0.5f), p) + r);
  return sum < kInfinity ? log : sum;
}

// The softmax's end: in `shrink` comes the factor that divides by the sum, and lse is its log. In
// double: what the sum adds to a top of 1e5 would lose all digits but two in float, and the weights
// that are remade from it.
static void finish(int64_t count, const float* sink, const Softmax& softmax, double* lse) {
  over_row<1>(count, [&](int64_t row, int, auto part) __attribute__((always_inline)) {
    Float top = load(softmax.top + row, part), total = load(softmax.sum + row, part);
    Float shrink = broadcast(1.0f);
    if (sink != nullptr) {
      const Float before = top;
      top = larger(broadcast(*sink), top);
      const Float shift = top == -kInfinity ? Float{} : top;
      shrink = exp_of_score(before - shift);
      total = total * shrink + exp_of_score(broadcast(*sink) - shift);
    }
    const Int is_empty = total == 0.0f;
    store(softmax.shrink + row, is_empty ? Float{} : shrink / total, part);
    const Float log = log_of_sum(total);
    for (int i = 0; i < kWidth && row + i < count; ++i)
      lse[row + i] = is_empty[i] ? -(double)kInfinity : (double)top[i] + log[i];
  });
}

}  // namespace dlplug::DLPLUG_ISA
