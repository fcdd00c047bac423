// A timed pipeline schedule as a Timeline: a process for each stage, a slice for each task, arrows
// for what stages send each other.
#pragma once

#include <string>

#include "sim/pipeline/task.h"
#include "traces/timeline.h"

namespace moecast {

// "F 3", "B 3", "W 3" for micro-batch 3, "BW 3" for its full backward, "F 3 + BW 1" for a pair; of
// other phases their name.
std::string TaskName(const Task& task);

// An arrow for each dependency that takes a transfer; `span_of` gives the span of a task of the
// schedule.
void AddSends(const TrainingSchedule& schedule, const std::vector<int32_t>& span_of,
              Timeline& timeline);

// `lowered` as LowerPipeline makes it and `timing` of it.
Timeline TimelineOf(const TrainingSchedule& lowered, const Timing& timing);

}  // namespace moecast
