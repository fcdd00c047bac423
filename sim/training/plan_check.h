// Whether a plan can be laid out at all: sizes that divide each other, a schedule that takes them,
// ranks that the cluster has. A plan that is well formed but does not fit in memory is an answer of
// the report, not a fault.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "costmodel/model.h"
#include "costmodel/plan.h"
#include "costmodel/reliability.h"
#include "topology/cluster.h"

namespace moecast {

struct PlanFault {
  std::string pointer;  // below the training section: "/parallel/tp"
  std::string expected;
  std::string hint;
};

// The first fault found, or nothing.
std::optional<PlanFault> CheckPlan(const Plan& plan, const Model& model, const Cluster& cluster);

// The global batches that the steps of a phase can have, ascending: those that the plan's ranks and
// schedule take, from the first to the last of a ramp. REQUIRES: CheckPlan passed.
std::vector<int64_t> BatchesOf(const Plan& plan, const TrainingPhase& phase);

// Times so long that a run would hardly ever get from one checkpoint to the next; pointers are
// below the reliability section. REQUIRES: CheckPlan passed.
std::optional<PlanFault> CheckReliability(const Reliability& reliability, const Model& model,
                                          const Plan& plan, const Cluster& cluster);

}  // namespace moecast
