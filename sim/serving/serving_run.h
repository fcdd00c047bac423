// What is served, how, on what, and to whom: the input of a serving simulation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "costmodel/calibration/calibration.h"
#include "costmodel/model.h"
#include "sim/serving/deployment.h"
#include "topology/cluster.h"
#include "traces/requests.h"
#include "traces/routing_record.h"

namespace moecast {

// CheckDeployment has passed.
struct ServingRun {
  std::string name;
  std::string source;  // where the scenario's values come from
  Model model;
  Cluster cluster;
  std::shared_ptr<const Calibration> calibration;
  Deployment deployment;
  std::shared_ptr<const RoutingRecord> record;  // what deployment.routing.recorded names
  RequestTrace load;
  double usd_per_gpu_hour = 0;
};

}  // namespace moecast
