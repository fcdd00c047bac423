// Where the time and the traffic of a step go, stage by stage.
#pragma once

#include <vector>

#include "sim/training/step.h"

namespace moecast {

// The kinds of time a compute lane spends: every task and every gap is charged to one. They sum to
// the step, but for kRoundingOfTask a task.
struct LaneTime {
  BlockTime blocks;      // forward, backward and weight-gradient blocks, by what they did
  Seconds grad_reduce;   // waiting for gradients to be reduced
  Seconds param_gather;  // waiting for updated weights
  Seconds grad_norm;
  Seconds optimizer;
  Seconds contention;  // what blocks take longer because their collectives share links
  Seconds bubble;  // waiting for other stages, in the step or, where there is no barrier, after it
  Seconds total() const;
};

// Of the step's own timing, by stage.
std::vector<LaneTime> LaneTimes(const Step& step);

// Sent by one GPU of the stage in a step, by stage.
std::vector<SentBytes> TrafficByStage(const Step& step);

}  // namespace moecast
