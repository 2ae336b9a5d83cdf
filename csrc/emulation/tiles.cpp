#include "csrc/emulation/tiles.h"

#include <immintrin.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace dlplug::emulated {
namespace {

constexpr int kTiles = 8, kMostRows = 16, kMostBytes = 64;

// A tile that holds nothing yet, or what is in memory already.
enum class Content { kNone, kSet };

struct Tile {
  int rows = 0, bytes = 0;  // of a row
  Content content = Content::kNone;
  alignas(64) unsigned char data[kMostRows][kMostBytes] = {};
};

struct Thread {
  bool is_configured = false;
  Tile tiles[kTiles];
};
thread_local Thread thread;

std::atomic<int64_t> products{0}, configured{0};
std::mutex fault_lock;
char fault[200] = "", taken[200] = "";

// False, and the fault is noted, unless `is_sound`.
bool check(bool is_sound, const char* what, int tile = -1) {
  if (is_sound) return true;
  const std::lock_guard<std::mutex> guard(fault_lock);
  if (fault[0] == '\0' && tile < 0) std::snprintf(fault, sizeof(fault), "%s", what);
  if (fault[0] == '\0') std::snprintf(fault, sizeof(fault), "tile %d %s", tile, what);
  return false;
}

bool is_usable(int tile) {
  return check(0 <= tile && tile < kTiles, "does not exist", tile) &&
         check(thread.is_configured, "is used by a thread that has configured none", tile) &&
         check(thread.tiles[tile].rows > 0, "has no rows", tile);
}

bool has_content(int tile) {
  return check(thread.tiles[tile].content == Content::kSet, "was neither loaded nor cleared", tile);
}

// Inputs and results that are denormal count as 0, whatever the thread's mode is.
class WithoutDenormals {
 public:
  WithoutDenormals() : before_(_mm_getcsr()) { _mm_setcsr(0x9fc0); }  // FTZ, DAZ, to nearest even
  ~WithoutDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
};

// Of row `row`: the lower or the upper half of each pair of bfloat16.
void halves(const Tile& tile, int row, bool is_upper, float (&to)[kMostRows]) {
  uint32_t pairs[kMostRows];
  std::memcpy(pairs, tile.data[row], sizeof(pairs));
  for (uint32_t& pair : pairs) pair = is_upper ? pair & 0xffff0000u : pair << 16;
  std::memcpy(to, pairs, sizeof(pairs));
}

// A call of its own, which the compiler does not move out of the mode that it is made in.
[[gnu::noinline]] void add_product(Tile& c, const Tile& a, const Tile& b) {
  for (int row = 0; row < c.rows; ++row) {
    // The lower halves of all pairs are summed up, and the upper ones, both from 0 on.
    float partial[2][kMostRows] = {}, factors[kMostRows], others[kMostRows], sums[kMostRows];
    for (const bool is_upper : {false, true}) {
      halves(a, row, is_upper, factors);
      for (int k = 0; k < b.rows; ++k) {
        halves(b, k, is_upper, others);
        for (int i = 0; i < kMostRows; ++i)
          partial[is_upper][i] = std::fma(factors[k], others[i], partial[is_upper][i]);
      }
    }
    std::memcpy(sums, c.data[row], sizeof(sums));
    for (int i = 0; i < kMostRows; ++i) sums[i] += partial[0][i] + partial[1][i];
    std::memcpy(c.data[row], sums, c.bytes);
  }
}

}  // namespace

void configure(const void* shapes) {
  unsigned char bytes[64];
  std::memcpy(bytes, shapes, sizeof(bytes));
  if (!check(bytes[0] == 1, "a palette that is not 1 is configured")) return;
  Thread next;
  for (int i = 1; i < 64; ++i) {
    const bool is_of_tile = (i >= 16 && i < 16 + 2 * kTiles) || (i >= 48 && i < 48 + kTiles);
    if (!is_of_tile && !check(bytes[i] == 0, "reserved bytes are configured")) return;
  }
  for (int i = 0; i < kTiles; ++i) {
    Tile& tile = next.tiles[i];
    tile.rows = bytes[48 + i];
    tile.bytes = bytes[16 + 2 * i] | bytes[17 + 2 * i] << 8;
    if (!check(tile.rows <= kMostRows, "is configured with too many rows", i)) return;
    if (!check(tile.bytes <= kMostBytes, "is configured with too long rows", i)) return;
    if (!check((tile.rows == 0) == (tile.bytes == 0), "is configured by halves", i)) return;
  }
  configured += !thread.is_configured;
  next.is_configured = true;
  thread = next;
}

void release() {
  configured -= thread.is_configured;
  thread = Thread();
}

void clear(int tile) {
  if (!is_usable(tile)) return;
  std::memset(thread.tiles[tile].data, 0, sizeof(Tile::data));
  thread.tiles[tile].content = Content::kSet;
}

void load(int tile, const void* from, int64_t stride) {
  if (!is_usable(tile)) return;
  clear(tile);
  Tile& to = thread.tiles[tile];
  for (int row = 0; row < to.rows; ++row)
    std::memcpy(to.data[row], static_cast<const char*>(from) + row * stride, to.bytes);
}

void store(int tile, void* to, int64_t stride) {
  if (!is_usable(tile) || !has_content(tile)) return;
  Tile& from = thread.tiles[tile];
  for (int row = 0; row < from.rows; ++row)
    std::memcpy(static_cast<char*>(to) + row * stride, from.data[row], from.bytes);
  from.content = Content::kNone;
}

void multiply(int sums, int left, int right) {
  for (int tile : {sums, left, right})
    if (!is_usable(tile) || !has_content(tile)) return;
  Tile& c = thread.tiles[sums];
  const Tile &a = thread.tiles[left], &b = thread.tiles[right];
  if (!check(sums != left && sums != right && left != right, "is in a product twice", sums)) return;
  if (!check(a.bytes % 4 == 0 && b.bytes % 4 == 0 && c.bytes % 4 == 0,
             "is in a product of rows of half elements", sums))
    return;
  if (!check(c.rows == a.rows && c.bytes == b.bytes && a.bytes / 4 == b.rows,
             "is in a product of other shapes", sums))
    return;
  ++products;
  const WithoutDenormals mode;
  add_product(c, a, b);
}

const char* take_fault() {
  const std::lock_guard<std::mutex> guard(fault_lock);
  std::memcpy(taken, fault, sizeof(taken));
  fault[0] = '\0';
  return taken;
}

int64_t num_products() { return products; }
int64_t num_configured() { return configured; }

}  // namespace dlplug::emulated
