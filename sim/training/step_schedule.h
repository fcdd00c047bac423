// The Schedule of a whole training step: the pipeline's order, and around it what data parallelism adds. On
// each stage's communication lane the updated weights come in before the first forward and the gradients
// leave after the last weight gradient, block by block where they overlap; then the gradient norm and the
// optimizer.
#pragma once

#include <span>
#include <vector>

#include "sim/engine/schedule.h"
#include "sim/pipeline/pipeline.h"
#include "sim/training/stages.h"

namespace moecast {

// Where the durations of a step's tasks are, by Task::block.
struct DurationIndex {
  int virtual_stages = 0;
  int stages = 0;

  // As of LowerPipeline: of a pair that of its forward.
  int Whole(int virtual_stage, Phase phase) const {
    return virtual_stage * kPipelinePhases + static_cast<int>(phase);
  }
  // Of one block of a task that is no pair.
  int Part(BlockKind kind, Phase phase) const {
    return Whole(virtual_stages + static_cast<int>(kind), phase);
  }
  int GradReduce(BlockKind kind) const {
    return Whole(virtual_stages + kBlockKinds, Phase::kForward) + static_cast<int>(kind);
  }
  int ParamGather(BlockKind kind) const { return GradReduce(kind) + kBlockKinds; }
  int GradNorm(int stage) const { return GradReduce(BlockKind::kEmbedding) + 2 * kBlockKinds + stage; }
  int Optimizer(int stage) const { return GradNorm(stages) + stage; }
  int size() const { return Optimizer(stages); }
};

struct StepShape {
  bool reduces = true;  // gradients are reduced at the end of the step
  bool overlap_reduce = true;
  bool gathers = true;  // weights are gathered at its start
  bool overlap_gather = true;
  bool norm = true;             // gradient norm
  bool norm_is_barrier = true;  // every stage waits for all others' gradients
  bool operator==(const StepShape&) const = default;
};

// Compute lanes first, by stage, then their communication lanes. Rank of a lane: its stage. A virtual stage
// may hold no block.
Schedule BuildStepSchedule(const PipelineSchedule& schedule, const PipelineShape& shape,
                           const PipelineOrder& order, std::span<const StageBlocks> virtual_stages,
                           const StepShape& step, int32_t stands_for);

}  // namespace moecast
