// What is served, how, on what, and to whom: the input of a serving simulation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "costmodel/calibration/calibration.h"
#include "costmodel/model.h"
#include "sim/serving/deployment.h"
#include "topology/cluster.h"
#include "traces/requests.h"

namespace moecast {

// CheckDeployment has passed.
struct ServingRun {
  std::string name;
  Model model;
  Cluster cluster;
  std::shared_ptr<const Calibration> calibration;
  Deployment deployment;
  RequestTrace load;
  // Closed loop: as many requests as that are in the system at a time, the next of the trace's
  // coming when one ends; its arrival times are not looked at.
  std::optional<int64_t> concurrency;
  double usd_per_gpu_hour = 0;
};

}  // namespace moecast
