// The tile instructions of AMX on a processor without them, as Intel's SDM (vol. 2, LDTILECFG,
// TILELOADD, TILESTORED, TILEZERO, TDPBF16PS) tells them. What would raise an exception is noted as
// a fault and not done. So is what no sound kernel does: to multiply, to add to or to store a tile
// that was neither loaded nor cleared since it was configured or stored.
#pragma once

#include <stdint.h>

namespace dlplug::emulated {

// Of this thread: 64 bytes of shapes; tiles that may not be used.
void configure(const void* shapes);
void release();

void clear(int tile);
// Rows that begin `stride` bytes apart.
void load(int tile, const void* from, int64_t stride);
void store(int tile, void* to, int64_t stride);
void multiply(int sums, int left, int right);

// Of all threads since the last call: the first fault, or "".
const char* take_fault();

// Of all threads: products so far, and tiles that threads have configured and not released.
int64_t num_products();
int64_t num_configured();

}  // namespace dlplug::emulated
