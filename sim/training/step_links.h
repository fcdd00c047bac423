// What a step puts on the links of its cluster, for a run of its schedule on a network.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "sim/engine/event_loop.h"
#include "sim/training/step.h"
#include "sim/training/step_flows.h"

namespace moecast {

// The step's collectives and sends.
StepSenders SendersOf(const Step& step, StepExtent extent);

// The step's schedule at its median costs with those flows. REQUIRES: both outlive what is
// returned.
LinkedSchedule Linked(const Step& step, const StepFlows& flows);

// One replica of the run, every pair of ranks a flow, on two networks. They should agree.
struct ReplicaTimes {
  Seconds first, second;  // from the step's start to its end
  Seconds farthest;       // that the two put the end of a task apart
  int64_t flows = 0;
};
using NetworkMaker =
    std::function<std::unique_ptr<Network>(std::span<const BytesPerSecond> capacities)>;
// REQUIRES: a network between the nodes that does not block, for other replicas' flows are not
// there.
ReplicaTimes CompareOnReplica(const Step& step, const NetworkMaker& first,
                              const NetworkMaker& second);

}  // namespace moecast
