// A step timed where collectives share links: events instead of sums. Tasks run in the schedule's order;
// each runs its blocks op by op, and what shares links with others is a flow of the network's. Compute beside
// a collective that takes longer than alone is slowed as long as it runs, by as much as alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "sim/training/step.h"
#include "sim/training/step_flows.h"

namespace moecast {

struct NetworkedStep {
  Timing timing;
  int64_t flows = 0;  // that were started, by multiplicity
};

// The flows that the step's collectives are, of which those that share links are found.
StepFlows FlowsOf(const PreparedStep& step, OpCosts& costs, StepExtent extent);

// One block, or pair of blocks, of a task.
struct PieceSpans {
  Seconds at, end;          // from the task's start
  std::vector<OpSpan> ops;  // from `at`; empty where it ran as it does alone
};

// The step at its median times; `spans`, where given, gets those of each task's pieces. REQUIRES: the network
// has the capacities of `flows`, none of them zero, and nothing has been started on it.
NetworkedStep RunOnNetwork(const PreparedStep& step, const StepFlows& flows, Network& network,
                           std::vector<std::vector<PieceSpans>>* spans = nullptr);

// One replica of the run, every pair of ranks a flow, on two networks. They should agree.
struct ReplicaTimes {
  Seconds first, second;  // from the step's start to its end
  Seconds farthest;       // that the two put the end of a task apart
  int64_t flows = 0;
};
using NetworkMaker = std::function<std::unique_ptr<Network>(std::span<const BytesPerSecond> capacities)>;
// REQUIRES: a network between the nodes that does not block, for other replicas' flows are not there.
ReplicaTimes CompareOnReplica(const PreparedStep& step, OpCosts& costs, const NetworkMaker& first,
                              const NetworkMaker& second);

}  // namespace moecast
