// What is trained, how and on what: the input of a training step.
#pragma once

#include <memory>
#include <string>

#include "costmodel/calibration/calibration.h"
#include "costmodel/model.h"
#include "costmodel/plan.h"
#include "costmodel/whole_step.h"
#include "sim/network/level.h"
#include "topology/cluster.h"
#include "traces/routing_record.h"

namespace moecast {

// A model trained by a plan. CheckPlan (sim/training/plan_check.h) has passed.
struct TrainingRun {
  std::string name;
  Model model;
  Cluster cluster;
  std::shared_ptr<const Calibration> calibration;
  Plan plan;
  WholeStep whole_step;
  Level level = Level::kFluid;  // kSimgrid is for single steps, checked against fluid
  std::shared_ptr<const RoutingRecord> record;  // what plan.routing.recorded names
  // Every rank of a MoE layer takes the mean of what they are routed: what imbalance is measured
  // against.
  bool even_loads = false;

  bool operator==(const TrainingRun&) const = default;
};

}  // namespace moecast
