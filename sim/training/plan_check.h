// Whether a plan can be laid out at all: sizes that divide each other, a schedule that takes them, ranks that
// the cluster has. A plan that is well formed but does not fit in memory is an answer of the report, not a
// fault.
#pragma once

#include <optional>
#include <string>

#include "costmodel/model.h"
#include "costmodel/plan.h"
#include "topology/cluster.h"

namespace moecast {

struct PlanFault {
  std::string pointer;  // below the training section: "/parallel/tp"
  std::string expected;
  std::string hint;
};

// The first fault found, or nothing.
std::optional<PlanFault> CheckPlan(const Plan& plan, const Model& model, const Cluster& cluster);

}  // namespace moecast
