// Which blocks of the model each stage of a pipeline holds: where each piece of the model lies, and
// the split of the layers over the pieces.
#pragma once

#include <span>
#include <tuple>
#include <vector>

#include "base/units.h"
#include "costmodel/layer_ops.h"
#include "sim/pipeline/pipeline.h"

namespace moecast {

// So many blocks of one kind, one behind the other.
struct BlockRun {
  BlockKind kind;
  int count;
  bool operator==(const BlockRun&) const = default;
};
inline auto MembersOf(const BlockRun& run) {
  const auto& [kind, count] = run;
  return std::tie(kind, count);
}

// Blocks of a virtual stage in forward order, neighbours of one kind together.
using StageBlocks = std::vector<BlockRun>;

// The kind of each layer of the model, first to last.
std::vector<BlockKind> LayerKinds(const Model& model);

// Layers of each of `stages` consecutive stages, each at least one, such that the slowest stage,
// embedding (first stage) and head with MTP (last stage) included, is as fast as it can be; among
// those the split whose times have the least sum of squares; among those the one with fewer layers
// on earlier stages, which hold more micro-batches. Exact, by dynamic programming. REQUIRES: 1 <=
// stages <= layers.
std::vector<int> BalancedSplit(std::span<const Seconds> layer_times, Seconds first_extra,
                               Seconds last_extra, int stages);

// The stages for a given split; embedding before the first layer, head and MTP modules behind the
// last.
std::vector<StageBlocks> StagesOf(const Model& model, std::span<const int> layers);

// Where the pieces of the model lie. A virtual stage is a piece of one copy of the model
// (sim/pipeline/pipeline.h); each lies on one stage, as one of its chunks.
class PieceMap {
 public:
  PieceMap() = default;
  // REQUIRES: a shape that the schedule takes.
  PieceMap(const PipelineSchedule& schedule, const PipelineShape& shape);

  int stages() const { return stages_; }
  int held() const { return held_; }  // chunks that a stage holds, of all copies
  int virtual_stages() const { return static_cast<int>(at_.size()); }
  // The virtual stages that a stage holds, by chunk.
  std::span<const int> Held(int stage) const {
    return std::span(at_).subspan(static_cast<size_t>(stage * held_), static_cast<size_t>(held_));
  }
  int VirtualStage(int stage, int chunk) const { return at_[stage * held_ + chunk]; }
  // The other virtual stage of the same stage. REQUIRES: a stage holds two.
  int Beside(int virtual_stage) const { return at_[place_[virtual_stage] ^ 1]; }
  bool starts_model(int virtual_stage) const { return virtual_stage % pieces_ == 0; }
  bool ends_model(int virtual_stage) const { return virtual_stage % pieces_ == pieces_ - 1; }
  int pieces() const { return pieces_; }  // of one copy of the model
  // Whether no stage holds the first and the last piece of the model.
  bool EndsApart() const;

 private:
  int stages_ = 0;
  int held_ = 0;
  int pieces_ = 0;
  std::vector<int> at_;     // virtual stage by stage * held + chunk
  std::vector<int> place_;  // of a virtual stage: its place in at_
};

// A block of a virtual stage.
struct PlacedBlock {
  BlockKind kind{};
  int layer = -1;      // of the model; -1: no layer
  int moe_layer = -1;  // among the model's MoE layers; -1: none of them
};

struct Layout {
  PieceMap map;
  std::vector<StageBlocks> runs;                 // by virtual stage: its blocks, as runs
  std::vector<std::vector<PlacedBlock>> blocks;  // by virtual stage: its blocks, one by one

  // Layers of each piece of the model.
  std::vector<int> LayersByPiece() const;
};

// The blocks of each piece of the model, laid out for every copy of it. REQUIRES: as many elements
// in `pieces` as the map has pieces.
Layout LayoutOf(const PieceMap& map, std::span<const StageBlocks> pieces);

// One pass of one block that a task runs.
struct TaskPass {
  const PlacedBlock* block;
  Pass pass;
  int32_t micro_batch;
  int16_t chunk;
};

// visit(TaskPass) for each pass that a task of the pipeline runs on a stage, in the order in which
// they run: forward from the first block to the last, backward from the last to the first, where a
// full backward does both passes of a block before the next block's. Of a pair all of its forward,
// then all of its backward. The one place that knows what a task of a step does.
template <class Visit>
void EachPass(const Layout& layout, int stage, const Task& task, Visit visit) {
  EachHalf(task, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
    const std::vector<PlacedBlock>& blocks = layout.blocks[layout.map.VirtualStage(stage, chunk)];
    const auto run = [&](const PlacedBlock& block) {
      if (phase == Phase::kForward) visit(TaskPass{&block, Pass::kForward, micro_batch, chunk});
      if (DoesBackward(phase)) visit(TaskPass{&block, Pass::kBackward, micro_batch, chunk});
      if (DoesWeight(phase)) visit(TaskPass{&block, Pass::kWeight, micro_batch, chunk});
    };
    if (task.part >= 0)
      run(blocks[static_cast<size_t>(task.part)]);
    else if (phase == Phase::kForward)
      for (const PlacedBlock& block : blocks) run(block);
    else
      for (size_t i = blocks.size(); i-- > 0;) run(blocks[i]);
  });
}

}  // namespace moecast
