// What unequal loads of the experts add to the tasks of a step. Each MoE layer and micro-batch is
// costed at its own load (LayerBlocks::excess); how much longer its passes take than at the mean
// load is kept as a part of their time, which also holds where costs are drawn anew. Of an
// overlapped pair both halves' excess is added.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "sim/pipeline/task.h"
#include "sim/routing/routed.h"
#include "sim/training/blocks.h"
#include "sim/training/layout.h"

namespace moecast {

// How much more a task's MoE layers take than at the mean load, by pass: in times of one layer's
// pass at the mean load, summed over the task's layers.
using ExcessOfTask = std::array<double, kPasses>;

// By task; empty where all ranks are loaded alike.
std::vector<ExcessOfTask> ExcessByTask(const Layout& layout, const StepBlocks& blocks,
                                       const ExpertLoads* loads, const TrainingSchedule& schedule);

// How much longer a task takes than its program, negative where less; `times` of the blocks by
// number.
Seconds Longer(const ExcessOfTask& excess, std::span<const BlockTime> times);
// The same where a MoE layer's passes take `of_passes`.
Seconds Longer(const ExcessOfTask& excess, std::span<const Seconds, kPasses> of_passes);
// As a duration of the engine's.
Time RoundedLonger(Seconds longer);
std::vector<Time> LongerByTask(std::span<const ExcessOfTask> excess,
                               std::span<const BlockTime> times);

}  // namespace moecast
