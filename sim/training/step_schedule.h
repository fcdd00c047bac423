// The Schedule of a whole training step: the pipeline's order, and around it what data parallelism
// adds. On a lane for each communicator of a stage (dp, and edp of the experts' weights, for which
// Megatron-LM has buckets of their own) the updated weights come in before the first forward and
// the gradients leave after the last weight gradient, block by block where they overlap; then the
// gradient norm and the optimizer.
#pragma once

#include <array>
#include <span>
#include <tuple>
#include <vector>

#include "sim/pipeline/pipeline.h"
#include "sim/training/blocks.h"
#include "sim/training/layout.h"

namespace moecast {

// What a task of a virtual stage's blocks runs in a phase that is no pair.
Program ProgramOf(const StageBlocks& blocks, Phase phase);

struct StepShape {
  bool reduces = true;  // gradients are reduced at the end of the step
  bool overlap_reduce = true;
  bool gathers = true;  // weights are gathered at its start
  bool overlap_gather = true;
  bool norm = true;             // gradient norm
  bool norm_is_barrier = true;  // every stage waits for all others' gradients
  // By BlockKind: whether blocks have weights on the experts' communicator too.
  std::array<bool, kBlockKinds> experts{};
  bool operator==(const StepShape&) const = default;
};
inline auto MembersOf(const StepShape& step) {
  const auto& [reduces, overlap_reduce, gathers, overlap_gather, norm, norm_is_barrier, experts] =
      step;
  return std::tie(reduces, overlap_reduce, gathers, overlap_gather, norm, norm_is_barrier, experts);
}

// Compute lanes first, by stage, then those of dp by stage, then, where a kind has experts, those
// of edp. Rank of a lane: its stage. A virtual stage may hold no block. Programs are of blocks as
// BlockIds numbers them; `pair_of` as in StepBlocks, empty where the schedule overlaps no passes.
TrainingSchedule BuildStepSchedule(const PipelineSchedule& schedule, const PipelineShape& shape,
                                   const PipelineOrder& order, const Layout& layout,
                                   std::span<const int32_t> pair_of, const StepShape& step,
                                   int32_t stands_for);

}  // namespace moecast
