// How the blocks of a step are made: ops of a rank's share of the work, costed and solved alone.
#pragma once

#include <memory>
#include <tuple>
#include <vector>

#include "costmodel/op_cost.h"
#include "sim/routing/routed.h"
#include "sim/training/blocks.h"
#include "sim/training/run.h"

namespace moecast {

// All that decides about the passes of a kind of layer. A key: what is shared is compared by
// address.
struct LayerSetup {
  BlockKind kind{};
  std::shared_ptr<const Model> model;
  ShardPlan shard;
  Work work;  // of a micro-batch, at the mean load of the experts
  // Of each MoE layer and micro-batch; null where all ranks take alike, and of other layers.
  std::shared_ptr<const ExpertLoads> loads;
  bool ends_apart = false;       // PieceMap::EndsApart
  bool overlaps_passes = false;  // the schedule runs forwards beside backwards
  std::shared_ptr<const OpCosts> costs;
  bool operator==(const LayerSetup&) const = default;
};
inline auto MembersOf(const LayerSetup& setup) {
  const auto& [kind, model, shard, work, loads, ends_apart, overlaps_passes, costs] = setup;
  return std::tie(kind, model, shard, work, loads, ends_apart, overlaps_passes, costs);
}

// The ops of a kind of layer with their costs, each pass solved once alone.
LayerBlocks BlocksOfLayer(const LayerSetup& setup);

// The send of a micro-batch's activations, or of their gradients, to a neighbouring stage.
StepBlock SendBlock(const TrainingRun& run, const Work& work, const OpCosts& costs);

// All that decides about what a stage does at the end of a step. A key, as LayerSetup.
struct UpdateSetup {
  BlockParameters held;  // by the stage
  ShardPlan shard;
  bool offload_overlaps = false;  // host and device each update their share at the same time
  int copies = 1;                 // of the model that are trained
  std::shared_ptr<const OpCosts> costs;
  bool operator==(const UpdateSetup&) const = default;
};
inline auto MembersOf(const UpdateSetup& setup) {
  const auto& [held, shard, offload_overlaps, copies, costs] = setup;
  return std::tie(held, shard, offload_overlaps, copies, costs);
}

// The gradient norm and the optimizer.
StepBlocks::OfStage UpdateBlocks(const UpdateSetup& setup);

// Fills `pairs` and `pair_of`: all of a virtual stage's forward beside all of the other's full
// backward, one block of two streams. Layer then runs beside layer as DualPipe has it (arXiv
// 2412.19437 figure 4): the attention of one half and the experts of the other compute while tokens
// of the former are dispatched and gradients of the latter return, and what has no partner runs
// alone. REQUIRES: a stage holds two.
void PairVirtualStages(const Layout& layout, StepBlocks& blocks);

}  // namespace moecast
