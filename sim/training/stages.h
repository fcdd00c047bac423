// Which blocks each virtual pipeline stage holds.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "base/units.h"
#include "costmodel/layer_ops.h"

namespace moecast {

struct BlockRun {
  BlockKind kind;
  int count;
  bool operator==(const BlockRun&) const = default;
};

// Blocks of a virtual stage in forward order, neighbours of one kind together.
using StageBlocks = std::vector<BlockRun>;

// The kind of each block of a virtual stage, in forward order.
std::vector<BlockKind> KindsIn(const StageBlocks& blocks);

// The kind of each layer of the model, first to last.
std::vector<BlockKind> LayerKinds(const Model& model);

// Layers of each of `stages` consecutive stages, each at least one, such that the slowest stage, embedding
// (first stage) and head with MTP (last stage) included, is as fast as it can be; among those the split whose
// times have the least sum of squares; among those the one with fewer layers on earlier stages, which hold
// more micro-batches. Exact, by dynamic programming. REQUIRES: 1 <= stages <= layers.
std::vector<int> BalancedSplit(std::span<const Seconds> layer_times, Seconds first_extra, Seconds last_extra,
                               int stages);

// The stages for a given split; embedding before the first layer, head and MTP modules behind the last.
std::vector<StageBlocks> StagesOf(const Model& model, std::span<const int> layers);

}  // namespace moecast
