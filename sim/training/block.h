// A block's time alone: its ops on the compute and the communication stream of one rank, in the order given.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "base/units.h"
#include "costmodel/cost.h"
#include "costmodel/op.h"

namespace moecast {

inline constexpr int kOpClasses = 5;
inline constexpr int kGroupKinds = 7;

struct BlockTime {
  Seconds total;
  // Compute stream, by OpClass, without recomputation; [kCollective] is the communication stream's time.
  std::array<Seconds, kOpClasses> busy{};
  Seconds recomputed;                          // compute stream: forward ops run again
  std::array<Seconds, kGroupKinds> exposed{};  // compute stream idle while this group communicates

  BlockTime& operator+=(const BlockTime& o);
};
BlockTime operator*(BlockTime b, double n);

struct OverlapRate {
  // Rate of compute-bound kernels while a collective runs: the SMs left to them.
  double compute = 1;
};

// When an op ran, from the start of its block.
struct OpSpan {
  Seconds start, end;
};

// Runs the ops. `time` by op; `costs` says which ops are compute-bound. When both streams are busy,
// compute-bound kernels run at the given rate and the rest at full rate. `spans`, where given, gets one a op,
// in order.
BlockTime SolveBlock(std::span<const Op> ops, std::span<const Cost> costs, std::span<const Seconds> time,
                     OverlapRate rate, std::vector<OpSpan>* spans = nullptr);

}  // namespace moecast
