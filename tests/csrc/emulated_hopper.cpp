// Two products of a warpgroup on tiles that were copied, sound or with one fault on purpose, by
// which tests/csrc/test_emulated_hopper.py sees that the emulation of a Hopper's instructions is
// awake.
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "csrc/cuda/attention_hopper_softmax.cuh"
#include "csrc/cuda/attention_hopper_tile.cuh"
#include "csrc/cuda/shared_memory.cuh"

namespace {

using namespace dlplug;

// As in test_emulated_hopper.py.
enum Fault {
  kSound,
  kStrideOfDescriptor,
  kLeadingOfDescriptor,
  kStartOfDescriptor,
  kNoSwizzleInMap,
  kNoExpectedBytes,
  kTooManyExpectedBytes,
  kNoWaitForCopy,
  kNoWaitForProducts,
  kOneGroupTooFew,
  kNoFence,
  kOperandWritten,
  kRegistersWritten,
  kSumsWritten,
  kBarrierNotMade,
  kTooManyArrivals,
  kTargetOffItsAlignment,
  kOtherMatrixInOneWarp,
  kOtherMatrixInOneLane,
  kLanesPart,
  kCopyNotAwaited,
  kMapOffSixteenBytes,
};

struct Arguments {
  CUtensorMap left, right, values;  // (rows, 64), (128, 64), (128, 128)
  Fault fault;
  float* out;  // scores = left * right^T (64, 128), then scores * values (64, 128)
};

// With another number of bytes from 8 rows to the next, or from 64 columns to the next.
uint64_t with_stride(uint64_t matrix, uint64_t bytes) {
  return (matrix & ~(uint64_t{0x3fff} << 32)) | bytes >> 4 << 32;
}
uint64_t with_leading(uint64_t matrix, uint64_t bytes) {
  return (matrix & ~(uint64_t{0x3fff} << 16)) | bytes >> 4 << 16;
}

void write(const Sums<1, 128>& sums, float* out) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16;
  for (int i = 0; i < 64; ++i)
    out[(first + lane / 4 + i % 4 / 2 * 8) * 128 + i / 4 * 8 + lane % 4 * 2 + i % 2] =
        sums.at[0][i / 4][i % 4];
}

__global__ void products(const __grid_constant__ Arguments args) {
  const Fault fault = args.fault;
  auto* memory = static_cast<unsigned char*>(static_cast<void*>(dynamic_shared_memory()));
  memory += (0u - shared_address(memory)) % 1024;
  const HopperTile<64> left{memory + (fault == kTargetOffItsAlignment ? 64 : 0)};
  const HopperTile<64> right{memory + left.kBytes};
  const HopperTile<128> values{memory + 2 * left.kBytes};
  auto& copied = *reinterpret_cast<Barrier*>(memory + 2 * left.kBytes + values.kBytes);
  if (threadIdx.x == 0 && fault != kBarrierNotMade) {
    copied.make(fault == kTooManyExpectedBytes ? 4 : 3);
    publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    if (fault == kNoExpectedBytes) {
      copied.arrive();
      load_box(left.data, args.left, copied, 0, 0, 0, 0);
    } else {
      left.load(args.left, copied, 0, 0, 0);
    }
    if (fault == kTooManyExpectedBytes) copied.arrive_and_expect(16);
    if (fault == kTooManyArrivals)
      for (int i = 0; i < 3; ++i) copied.arrive();
    right.load(args.right, copied, 0, 0, 0);
    values.load(args.values, copied, 0, 0, 0);
  }
  if (fault == kCopyNotAwaited) return;
  if (fault != kNoWaitForCopy) copied.wait(0);
  __syncwarp();

  Sums<1, 128> scores, sums;
  sums.clear();
  if (fault != kNoFence) warpgroup::fence();
  if (fault == kLanesPart && threadIdx.x == 5) return;
  for (int step = 0; step < 4; ++step) {
    uint64_t a = left.rows(0, step), b = right.rows(0, step);
    if (fault == kStrideOfDescriptor) b = with_stride(b, 512);
    if (fault == kStartOfDescriptor) a = left.rows(0, 0);
    if (fault == kOtherMatrixInOneWarp && threadIdx.x / 32 == 2) b = right.rows(0, 0);
    if (fault == kOtherMatrixInOneLane && threadIdx.x == 70) b = right.rows(0, 3);
    warpgroup::multiply_shared<__half>(scores.at[0], a, b, step > 0);
  }
  warpgroup::commit();
  __syncthreads();
  if (fault == kOperandWritten && threadIdx.x == 0) right.data[40] ^= 1;
  if (fault == kSumsWritten) scores.at[0][3][1] = 1.0f;
  __syncthreads();
  if (fault == kOneGroupTooFew) warpgroup::wait<1>(scores.at[0]);
  if (fault != kNoWaitForProducts && fault != kOneGroupTooFew) warpgroup::wait<0>(scores.at[0]);
  write(scores, args.out);

  uint32_t weights[8][4];
  pack<__half>(scores, weights);
  warpgroup::fence();
  for (int step = 0; step < 8; ++step) {
    uint64_t b = values.columns(step);
    if (fault == kLeadingOfDescriptor) b = with_leading(b, 1024);
    warpgroup::multiply_registers<__half>(sums.at[0], weights[step], b);
  }
  warpgroup::commit();
  if (fault == kRegistersWritten) weights[2][1] ^= 1;
  warpgroup::wait<0>(sums.at[0]);
  write(sums, args.out + 64 * 128);
}

CUtensorMap map_of(const void* data, uint64_t rows, uint64_t columns, CUtensorMapSwizzle swizzle) {
  CUtensorMap map{};
  const cuuint64_t dim[] = {columns, rows, 1, 1}, step = 2 * columns, all = step * rows;
  const cuuint64_t stride[] = {step, all, all};
  const cuuint32_t box[] = {64, 128, 1, 1}, ones[] = {1, 1, 1, 1};
  if (cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4, const_cast<void*>(data), dim,
                             stride, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                             CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS)
    throw std::runtime_error("no tensor map");
  return map;
}

}  // namespace

// Half-precision matrices: left (rows, 64) with rows <= 64, right (128, 64), values (128, 128).
// Returns what was found, or an empty string.
extern "C" __attribute__((visibility("default"))) const char* run_products(
    int fault, const void* left, int rows, const void* right, const void* values, float* out) {
  static std::string found;
  const size_t bytes = 1024 + 2 * HopperTile<64>::kBytes + HopperTile<128>::kBytes + 8;
  cudaLaunchConfig_t config{{1}, {warpgroup::kThreads}, bytes, nullptr, nullptr, 0};
  const auto swizzle =
      fault == kNoSwizzleInMap ? CU_TENSOR_MAP_SWIZZLE_NONE : CU_TENSOR_MAP_SWIZZLE_128B;
  try {
    const auto* first =
        static_cast<const unsigned char*>(left) + (fault == kMapOffSixteenBytes ? 2 : 0);
    const Arguments args{
        map_of(first, rows, 64, swizzle), map_of(right, 128, 64, CU_TENSOR_MAP_SWIZZLE_128B),
        map_of(values, 128, 128, CU_TENSOR_MAP_SWIZZLE_128B), static_cast<Fault>(fault), out};
    cudaFuncSetAttribute(products, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    cudaLaunchKernelEx(&config, products, args);
    found.clear();
  } catch (const std::runtime_error& error) {
    found = error.what();
  }
  return found.c_str();
}
