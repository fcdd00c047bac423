// The time a GEMM should take if its kernel did what a good one does: pick the output tile and
// split of k with the fewest cycles, run the tiles in waves over the SMs, and move every operand
// through L2 and HBM. Measured tables correct it by a ratio (ratio_surface.h); without a table it
// still knows waves and padding.
//   wave = 2 tm tn ceil(k/s) / (SM rate * eff(tile)) + tm tn out / L2 of an SM
//   time = max(lasting * wave,
//              tiles (max(tm, tn)/2 + min(tm, tn)) ceil(k/s) b / L2,
//              bytes / (0.9 HBM))
//          + prologue + split reduction + launch
// lasting = tiles / SMs + loss (whole waves - tiles / SMs), at least 1: of a partial last wave
// DeepGEMM loses all, cuBLAS a quarter. Not modelled: rasterisation and what it leaves in L2,
// persistent kernels' overlap of epilogue and next tile, stream-k, clock and power.
#pragma once

#include <cstdint>

#include "base/known.h"
#include "costmodel/cost.h"
#include "topology/device.h"

namespace moecast {

// What the model needs of a device, in flops, bytes and seconds. `sms` may be fewer than the device
// has.
struct Machine {
  int sms = 0;
  double bf16_per_sm = 0;  // flops a second
  double fp8_per_sm = 0;
  double hbm = 0;
  double l2 = 0;
};

// `sms` 0: all of them.
Machine MachineOf(const Device& device, int sms = 0);

// `groups` products y[m,n] = x[m,k] w[n,k]^T of one shape.
struct GemmShape {
  int64_t m = 0, n = 0, k = 0, groups = 1;
  Dtype dtype = Dtype::kBf16;
  double out_bytes = 2;  // of one element of y: written, and read if accumulated into

  double flops() const;  // 2mnk a group
  double bytes() const;  // each operand once
};

struct TileChoice {
  int tile_m = 0, tile_n = 0, split = 1;
  int64_t tiles = 0, waves = 0;
  double compute = 0, memory = 0,
         overhead = 0;  // seconds; overhead is prologue, reduction and launch

  double seconds() const { return (compute > memory ? compute : memory) + overhead; }
  Bound bound() const;
};

// REQUIRES: m, n, k, groups >= 1, m * n * groups < 2^62.
TileChoice PickTile(const GemmShape& shape, const Machine& machine);

// DeepGEMM as SGLang 0.5.14 has it runs shapes that fill one wave only with blocks of 128 x 192 or
// 128 x 256 at a fifth of the speed (measured: 20.5 ns a unit of k whatever n is, at every m from
// 256 to 8192 with 192 or 256 blocks of 128 x 128, while 160 and 224 are fast); its tile picker
// allows 192 columns only for fear of register spills, which is what this looks like. REQUIRES:
// groups == 1.
bool IsDeepGemmWideBlock(int64_t m, int64_t n, int sms);
double DeepGemmWideBlockSeconds(int64_t k);

}  // namespace moecast
