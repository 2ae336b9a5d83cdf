// One pass over memory: the gradient is read, everything else read and written, once. Bytes moved
// an element of a bfloat16 parameter: 22 with float32 states, 26 with a remainder, 14 stochastic,
// 18 with Kahan's compensation, 10 with 8-bit states. The floor in time is those over the
// bandwidth.
#include "csrc/cpu/kernels/compact_adamw.h"

#include "csrc/common/memory.h"
#include "csrc/common/philox.h"
#include "csrc/cpu/kernels/adamw_values.h"

namespace dlplug::DLPLUG_ISA {
namespace {

// ---- 16 bits of each lane, to and from memory as they are ----

DLPLUG_INLINE UInt load_bits(const void* from) {
  UShort bits;
  __builtin_memcpy(&bits, from, sizeof(bits));
  return widen(bits);
}

DLPLUG_INLINE UInt load_bits(const void* from, int n) {
  UShort bits = {};
  __builtin_memcpy(&bits, from, n * sizeof(uint16_t));
  return widen(bits);
}

DLPLUG_INLINE void store_bits(void* to, UInt bits) {
  const UShort narrowed = narrow(bits);
  __builtin_memcpy(to, &narrowed, sizeof(narrowed));
}

DLPLUG_INLINE void store_bits(void* to, UInt bits, int n) {
  const UShort narrowed = narrow(bits);
  __builtin_memcpy(to, &narrowed, n * sizeof(uint16_t));
}

// ---- the storages: how the values of kWidth elements, or of n, from i on are read and written
// ----

template <class T>
struct Float32States {
  T* param;
  float *m, *v;

  explicit Float32States(const CompactAdamWRow& row)
      : param((T*)row.param), m((float*)row.exp_avg), v((float*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    x.param = load(param + i, n...);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) void write(const AdamWValues& x, int64_t i, N... n) const {
    store(param + i, x.param, n...);
    store(m + i, x.m, n...);
    store(v + i, x.v, n...);
  }
};

// The parameter is the float32 master's upper half, rounded to nearest (half up); the remainder is
// what is lacking to the master's bits, a signed 16-bit number. Nothing is lost.
struct Remainder {
  uint16_t *param, *remainder;
  float *m, *v;

  explicit Remainder(const CompactAdamWRow& row)
      : param((uint16_t*)row.param),
        remainder((uint16_t*)row.extra),
        m((float*)row.exp_avg),
        v((float*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    const Int low = (Int)(load_bits(remainder + i, n...) << 16) >> 16;
    x.param = (Float)((load_bits(param + i, n...) << 16) + (UInt)low);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) void write(const AdamWValues& x, int64_t i, N... n) const {
    const Float quiet = (Float)(UInt{} + 0x7fc00000u);  // other NaN could round to a number
    const UInt bits = (UInt)(x.param != x.param ? quiet : x.param);
    const UInt high = (bits + 0x8000u) >> 16;
    store_bits(param + i, high, n...);
    store_bits(remainder + i, bits - (high << 16), n...);
    store(m + i, x.m, n...);
    store(v + i, x.v, n...);
  }
};

// Each value is rounded up with the probability of its distance from the number below, so that
// updates too small for a bfloat16 hold on average.
struct Stochastic {
  BFloat16 *param, *m, *v;
  uint32_t random[kRandomBlock];

  explicit Stochastic(const CompactAdamWRow& row)
      : param((BFloat16*)row.param), m((BFloat16*)row.exp_avg), v((BFloat16*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow& row, int64_t i) {
    random_block(row.seed, row.index, i / kRandomBlock, random);
  }

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    x.param = load(param + i, n...);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) void write(const AdamWValues& x, int64_t i, N... n) const {
    UInt drawn;  // the states share a half: each needs but be rounded without bias
    __builtin_memcpy(&drawn, random + i % kRandomBlock, sizeof(drawn));
    store_bits(param + i, rounded(x.param, drawn & 0xffffu), n...);
    store_bits(m + i, rounded(x.m, drawn >> 16), n...);
    store_bits(v + i, rounded(x.v, drawn >> 16), n...);
  }

  // The bfloat16's bits; `random` is uniform in [0, 2^16). Infinity and NaN stay what they are.
  static __attribute__((always_inline)) UInt rounded(Float value, UInt random) {
    const UInt bits = (UInt)value;
    const Int is_special = (Int)((bits & 0x7f800000u) == 0x7f800000u);
    const UInt special = bits | ((UInt)(value != value) & 0x00400000u);
    return (is_special ? special : bits + random) >> 16;
  }
};

// Parameter and compensation are two bfloat16 whose sum is the value: what rounding the sum to the
// first loses is kept in the second (Kahan 1965).
struct Kahan {
  BFloat16 *param, *compensation, *m, *v;

  explicit Kahan(const CompactAdamWRow& row)
      : param((BFloat16*)row.param),
        compensation((BFloat16*)row.extra),
        m((BFloat16*)row.exp_avg),
        v((BFloat16*)row.exp_avg_sq) {}

  void begin_block(const CompactAdamWRow&, int64_t) {}

  template <class... N>
  __attribute__((always_inline)) void read(AdamWValues& x, int64_t i, N... n) const {
    x.param = load(param + i, n...) + load(compensation + i, n...);
    x.m = load(m + i, n...);
    x.v = load(v + i, n...);
  }

  template <class... N>
  __attribute__((always_inline)) void write(const AdamWValues& x, int64_t i, N... n) const {
    store(param + i, x.param, n...);
    store(compensation + i, x.param - rounded_to(x.param, BFloat16{}), n...);
    store(m + i, x.m, n...);
    store(v + i, x.v, n...);
  }
};

template <class S, class T>
void update(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin, int64_t end) {
  const AdamWConstants c = constants_of(options, row.negative_step, row.inverse_root);
  const T* grad = static_cast<const T*>(row.grad);
  S storage(row);
  for (int64_t block = begin; block < end; block += kRandomBlock) {
    storage.begin_block(row, block);
    const int64_t stop = end < block + kRandomBlock ? end : block + kRandomBlock;
    int64_t i = block;
    AdamWValues x{};
    for (; i + kWidth <= stop; i += kWidth) {
      storage.read(x, i);
      x.grad = load(grad + i);
      update_values<false>(c, x);
      storage.write(x, i);
    }
    if (const int rest = static_cast<int>(stop - i)) {
      storage.read(x, i, rest);
      x.grad = load(grad + i, rest);
      update_values<false>(c, x);
      storage.write(x, i, rest);
    }
  }
}

// ---- 8 bits ----
//
// m = sign(q) (q / 127)^2 s with a signed byte q, v = (q / 255)^4 s with an unsigned one; s is the
// largest |m| or v of a block. The powers give small values, of which there are most, the finer
// steps (as the dynamic map of Dettmers et al. 2022, arXiv:2110.02861, without its table), and let
// v reach lower than m^2, so that m / sqrt(v) stays bounded.

constexpr float kSignedSteps = 127.0f, kSteps = 255.0f;

// kWidth bytes as numbers. GCC 12 converts vectors of bytes lane by lane, hence the names.
DLPLUG_INLINE Float widened(const int8_t* bytes) {
#if defined(__AVX512F__)
  const __m512i words = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)bytes));
  return (Float)_mm512_cvtepi32_ps(words);
#elif defined(__AVX2__)
  const __m256i words = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)bytes));
  return (Float)_mm256_cvtepi32_ps(words);
#else
  Float value;
  for (int i = 0; i < kWidth; ++i) value[i] = bytes[i];
  return value;
#endif
}

DLPLUG_INLINE Float widened(const uint8_t* bytes) {
#if defined(__AVX512F__)
  const __m512i words = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)bytes));
  return (Float)_mm512_cvtepi32_ps(words);
#elif defined(__AVX2__)
  const __m256i words = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)bytes));
  return (Float)_mm256_cvtepi32_ps(words);
#else
  Float value;
  for (int i = 0; i < kWidth; ++i) value[i] = bytes[i];
  return value;
#endif
}

// The low byte of each value rounded to a whole number in [-128, 256).
DLPLUG_INLINE void narrowed(Float value, void* bytes) {
  const Float magic = broadcast(0x1.8p23f);  // adding it rounds to a whole number
  const Int words = (Int)(value + magic) - (Int)magic;
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)bytes, _mm512_cvtepi32_epi8((__m512i)words));
#else
  for (int i = 0; i < kWidth; ++i) static_cast<uint8_t*>(bytes)[i] = (uint8_t)words[i];
#endif
}

template <class Byte>
DLPLUG_INLINE Float load_bytes(const Byte* from, int n) {
  if (n == kWidth) return widened(from);
  Byte bytes[kWidth] = {};
  __builtin_memcpy(bytes, from, n);
  return widened(bytes);
}

DLPLUG_INLINE void store_bytes(void* to, Float value, int n) {
  if (n == kWidth) return narrowed(value, to);
  uint8_t bytes[kWidth];
  narrowed(value, bytes);
  __builtin_memcpy(to, bytes, n);
}

// 1 / scale; 0 where all of a block is 0 or too small for a quotient.
DLPLUG_INLINE float inverse_of(float scale) { return scale >= 0x1p-126f ? 1.0f / scale : 0.0f; }

DLPLUG_INLINE float largest(Float lanes) {
  float result = lanes[0];
  for (int i = 1; i < kWidth; ++i)
    result = lanes[i] > result || lanes[i] != lanes[i] ? lanes[i] : result;
  return result;
}

template <class T>
void update_8bit(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin,
                 int64_t end) {
  const AdamWConstants c = constants_of(options, row.negative_step, row.inverse_root);
  T* param = static_cast<T*>(row.param);
  const T* grad = static_cast<const T*>(row.grad);
  int8_t* m = static_cast<int8_t*>(row.exp_avg);
  uint8_t* v = static_cast<uint8_t*>(row.exp_avg_sq);
  for (int64_t first = begin; first < end; first += kCompactUnit) {
    const int count = static_cast<int>(end - first < kCompactUnit ? end - first : kCompactUnit);
    float& m_scale = row.exp_avg_scale[first / kCompactUnit];
    float& v_scale = row.exp_avg_sq_scale[first / kCompactUnit];
    const Float m_factor = broadcast(m_scale / (kSignedSteps * kSignedSteps));
    const Float v_factor = broadcast(v_scale / (kSteps * kSteps * kSteps * kSteps));
    Float new_m[kCompactUnit / kWidth], new_v[kCompactUnit / kWidth];
    Float m_max = {}, v_max = {};
    for (int j = 0; j < count; j += kWidth) {
      const int n = count - j < kWidth ? count - j : kWidth;
      const int64_t i = first + j;
      AdamWValues x{};
      const Float q = load_bytes(m + i, n), p = load_bytes(v + i, n);
      x.m = q * abs(q) * m_factor;
      x.v = (p * p) * (p * p) * v_factor;
      const bool is_whole = n == kWidth;
      x.param = is_whole ? load(param + i) : load(param + i, n);
      x.grad = is_whole ? load(grad + i) : load(grad + i, n);
      update_values<false>(c, x);
      is_whole ? store(param + i, x.param) : store(param + i, x.param, n);
      new_m[j / kWidth] = x.m;
      new_v[j / kWidth] = x.v;
      m_max = max(m_max, abs(x.m));
      v_max = max(v_max, x.v);
    }
    m_scale = largest(m_max);
    v_scale = largest(v_max);
    const Float m_inverse = broadcast(inverse_of(m_scale));
    const Float v_inverse = broadcast(inverse_of(v_scale));
    for (int j = 0; j < count; j += kWidth) {
      const int n = count - j < kWidth ? count - j : kWidth;
      const Float a = new_m[j / kWidth], root = sqrt(abs(a) * m_inverse) * kSignedSteps;
      store_bytes(m + first + j, a < 0.0f ? -root : root, n);
      const Float fourth_root = sqrt(sqrt(new_v[j / kWidth] * v_inverse)) * kSteps;
      store_bytes(v + first + j, fourth_root, n);
    }
  }
}

template <class T>
void update_any(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin,
                int64_t end) {
  if (row.storage == Storage::k8Bit)
    update_8bit<T>(row, options, begin, end);
  else
    update<Float32States<T>, T>(row, options, begin, end);
}

}  // namespace

void compact_adamw_update(const CompactAdamWRow& row, const AdamWOptions& options, int64_t begin,
                          int64_t end) {
  switch (row.storage) {
    case Storage::kRemainder:
      return update<Remainder, BFloat16>(row, options, begin, end);
    case Storage::kStochastic:
      return update<Stochastic, BFloat16>(row, options, begin, end);
    case Storage::kKahan:
      return update<Kahan, BFloat16>(row, options, begin, end);
    default:
      break;
  }
  switch (row.dtype) {
    case Dtype::kFloat32:
      return update_any<float>(row, options, begin, end);
    case Dtype::kBFloat16:
      return update_any<BFloat16>(row, options, begin, end);
    case Dtype::kFloat16:
      return update_any<Half>(row, options, begin, end);
  }
}

}  // namespace dlplug::DLPLUG_ISA
