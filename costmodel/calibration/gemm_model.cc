#include "costmodel/calibration/gemm_model.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {
namespace {

constexpr Known kL2 = {
    8e12, "L2 to SMs of an H100 as DeepGEMM's tile picker counts it (sm90 heuristics, 8 TB/s)"};
constexpr Known kHbmReached = {
    0.9, "best streaming kernels on H100: 3.0 of 3.35 TB/s (FlashMLA notes, memory-bound peak)"};
constexpr Known kPrologue = {
    1.0e-6,
    "filling the load pipeline of the first wave: one round trip to HBM and back, reasoned"};
constexpr Known kLaunch = {2.5e-6, "smallest bf16 GEMM of the measured tables takes 3 us in all"};
constexpr Known kSplitLaunch = {1.0e-6, "second pass of a split-k reduction, reasoned"};

// Share of an SM's rate that the main loop of a tile reaches. Reasoned from the traffic of shared
// memory: in bf16 an SM multiplies 4096 flops a clock (989 TFLOP/s over 132 SMs at 1.83 GHz) and
// moves 128 bytes (32 banks of 4, CUDA programming guide). For each unit of k the tile's m + n
// operands are written there, and read by wgmma, which takes 64 rows at a time: m + n m/64. So the
// share is
//   min(0.93, (2 m n / 4096) / (2 (2m + n + n m/64) / 128))
// which the numbers follow within 0.05, but for 128x64, 128x96 and 256x64, 0.1 to 0.25 higher. They
// hardly matter, since the tables correct them: left-out errors of gemm_bf16, gemm_fp8 and
// gemm_fp8_block are 2.89, 2.71 and 4.77% with them; before the times of quantising were taken off
// gemm_fp8, 2.18 there, they were 2.86, 2.20 and 4.74% with the formula, 2.84, 2.23 and 4.86% with
// 0.9 for all.
struct TileKind {
  int m, n;
  double efficiency;
};
constexpr TileKind kTiles[] = {
    {256, 192, 0.93}, {256, 128, 0.92}, {256, 64, 0.85},  {192, 128, 0.90}, {128, 256, 0.92},
    {128, 192, 0.90}, {128, 160, 0.88}, {128, 128, 0.85}, {128, 96, 0.80},  {128, 64, 0.70},
    {64, 256, 0.85},  {64, 128, 0.70},  {64, 64, 0.50},   {64, 32, 0.30},   {64, 16, 0.18}};
// Share of a partial last wave that is lost. cuBLAS chooses among more tiles, clusters and splits
// than the set above and lets tiles of one wave end beside the next; DeepGEMM runs one kind of tile
// a product, in waves. 0 leaves the tables' shapes out better still, but a product then never waits
// for its last wave, also not on the fewer SMs that communication leaves it.
constexpr Known kWaveLoss = {0.25,
                             "chosen by left-out errors of the bf16 and fp8 tables: 3.0% with 1, "
                             "2.9% with 0.25, 2.8% with 0"};
constexpr Known kWaveLossBlock = {1,
                                  "DeepGEMM's persistent kernels, whose tables 0.25 makes worse"};
constexpr int kSplits[] = {1, 2, 4, 8, 16};
constexpr int64_t kLeastSplitDepth = 256;  // k of a split: four stages of 64, the pipeline's depth

// 32-bit division takes a third of the time of 64-bit division.
int64_t CeilDiv(int64_t a, int b) {
  const int64_t up = a + b - 1;
  return up <= UINT32_MAX ? static_cast<uint32_t>(up) / static_cast<uint32_t>(b) : up / b;
}

double InputBytes(Dtype d) {
  return ElementBytes(d);
}

}  // namespace

Machine MachineOf(const Device& device, int sms) {
  MOECAST_CHECK(sms >= 0 && sms <= device.sms);
  const double all = device.sms;
  const int used = sms == 0 ? device.sms : sms;
  return {.sms = used,
          .bf16_per_sm = device.bf16_peak.value / all,
          .fp8_per_sm = device.fp8_peak.value / all,
          .hbm = device.hbm.value,
          .l2 = kL2.value * used / all};
}

double GemmShape::flops() const {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) *
         static_cast<double>(groups);
}

double GemmShape::bytes() const {
  const double rows = static_cast<double>(m);
  const double columns = static_cast<double>(n);
  const double depth = static_cast<double>(k);
  return static_cast<double>(groups) *
         ((rows * depth + columns * depth) * InputBytes(dtype) + rows * columns * out_bytes);
}

Bound TileChoice::bound() const {
  if (overhead > std::max(compute, memory)) return Bound::kLatency;
  return compute >= memory ? Bound::kCompute : Bound::kMemory;
}

TileChoice PickTile(const GemmShape& s, const Machine& machine) {
  MOECAST_CHECK(s.m > 0 && s.n > 0 && s.k > 0 && s.groups > 0);
  const bool fp8 = s.dtype == Dtype::kFp8 || s.dtype == Dtype::kFp8Block;
  // fp32 inputs run as tf32, at half the bf16 rate (vendor sheet of H100 SXM: 494 of 989 TFLOP/s).
  const double sm_rate = fp8                       ? machine.fp8_per_sm
                         : s.dtype == Dtype::kFp32 ? machine.bf16_per_sm / 2
                                                   : machine.bf16_per_sm;
  const double element = InputBytes(s.dtype), l2_seconds = 1 / machine.l2;
  const double sums =
      static_cast<double>(s.groups) * static_cast<double>(s.m) * static_cast<double>(s.n);
  const double wave_loss = s.dtype == Dtype::kFp8Block ? kWaveLossBlock.value : kWaveLoss.value;
  TileChoice best;
  double best_seconds = 0;
  int last_m = 0;
  int64_t rows =
      0;  // tiles along m; kTiles lists equal heights together: divisions are what this loop costs
  for (const TileKind& tile : kTiles) {
    if (tile.m != last_m) rows = CeilDiv(s.m, last_m = tile.m);
    const int64_t unsplit = s.groups * rows * CeilDiv(s.n, tile.n);
    const double multiply = 2.0 * tile.m * tile.n / (sm_rate * tile.efficiency);
    const double store = tile.m * tile.n * s.out_bytes * machine.sms * l2_seconds;
    // Two blocks of a cluster share the longer side of their tiles by multicast.
    const double feed =
        (std::max(tile.m, tile.n) / 2.0 + std::min(tile.m, tile.n)) * element * l2_seconds;
    for (const int split : kSplits) {
      if (split > 1 && (s.k < kLeastSplitDepth * split || unsplit * split > 2 * machine.sms)) break;
      const int64_t tiles = unsplit * split, waves = CeilDiv(tiles, machine.sms);
      const double depth =
          split == 1 ? static_cast<double>(s.k) : static_cast<double>(CeilDiv(s.k, split));
      const double exact = static_cast<double>(tiles) / machine.sms;
      const double lasting =
          std::max(1.0, exact + wave_loss * (static_cast<double>(waves) - exact));
      const double compute =
          std::max(lasting * (multiply * depth + store), static_cast<double>(tiles) * feed * depth);
      // Partial sums are fp32, written and read back.
      const double reduction =
          split == 1 ? 0 : kSplitLaunch.value + split * 8.0 * sums * l2_seconds;
      if (best.tiles != 0 && compute + reduction >= best_seconds) continue;
      best_seconds = compute + reduction;
      best = {tile.m, tile.n,  split, tiles,
              waves,  compute, 0,     kPrologue.value + reduction + kLaunch.value};
    }
  }
  best.memory = s.bytes() / (machine.hbm * kHbmReached.value);
  return best;
}

bool IsDeepGemmWideBlock(int64_t m, int64_t n, int sms) {
  if (m <= 128 || CeilDiv(m, 128) * CeilDiv(n, 128) <= sms) return false;
  int64_t most = 0;
  int columns = 0;
  const auto consider = [&](int block_m, int block_n) {
    const int64_t blocks = CeilDiv(m, block_m) * CeilDiv(n, block_n);
    if (blocks <= sms && blocks > most) most = blocks, columns = block_m == 128 ? block_n : 0;
  };
  for (const int block_n : {144, 160, 192, 256}) consider(128, block_n);
  for (int block_n = 16; block_n <= 128; block_n += 16) consider(256, block_n);
  return columns >= 192;
}

double DeepGemmWideBlockSeconds(int64_t k) {
  // Measured: 6 us + 20.5 ns * k. The shapes around take 1.35 times the model, so that the ratio is
  // smooth across.
  return (6e-6 + 20.5e-9 * static_cast<double>(k)) / 1.35;
}

}  // namespace moecast
