// A block's time alone: its ops on the compute and the communication stream of one rank. A block is one list
// of ops, or several that run together on the two streams, as the halves of an overlapped forward and
// backward do.
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

// Ops with their costs, in order.
struct CostedOps {
  std::vector<Op> ops;
  std::vector<Cost> costs;
  // How each fares beside an op of the other stream (OpCosts::Beside).
  std::vector<double> beside;
  // Where each of several lists ends; empty: one list.
  std::vector<size_t> list_ends;
};

// The forward of some blocks and the full backward of others, each in the order they run, as one block of
// three lists: the forward, the gradients of activations, and those of weights, of which each waits for its
// block's op of its name in the former. REQUIRES: as many weight passes as backward passes.
CostedOps Overlapped(std::span<const CostedOps* const> forward, std::span<const CostedOps* const> backward,
                     std::span<const CostedOps* const> weight);

struct BlockTime {
  Seconds total;
  // Compute stream, by OpClass, without recomputation; [kCollective] is the communication stream's time.
  std::array<Seconds, kOpClasses> busy{};
  Seconds recomputed;                          // compute stream: forward ops run again
  std::array<Seconds, kGroupKinds> exposed{};  // compute stream idle while this group communicates

  BlockTime& operator+=(const BlockTime& o);
};
BlockTime operator*(BlockTime b, double n);

// When an op ran, from the start of its block.
struct OpSpan {
  Seconds start, end;
};

// Runs the ops; `time` by op, of it alone on the device. A stream runs the ops of a list in order. Of several
// lists it goes on with the one it ran last until that waits for the other stream, then takes the first that
// does not; the last list only fills what the others leave, so that weight gradients run where nothing else
// can. While both streams are busy compute-bound kernels run on the SMs that are left and memory-bound ones
// with the bandwidth that is left (CostedOps::beside); collectives are not slowed down. `spans`, where given,
// gets one an op, in order.
BlockTime SolveBlock(const CostedOps& block, std::span<const Seconds> time,
                     std::vector<OpSpan>* spans = nullptr);

}  // namespace moecast
