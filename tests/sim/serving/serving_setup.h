// Serving runs for tests.
#pragma once

#include <memory>

#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/model_loader.h"
#include "sim/serving/serving_run.h"

namespace moecast {

// On the stack of 2025, no load yet.
inline ServingRun ServingRunOf(const char* model, const char* cluster,
                               const ServingParallel& parallel) {
  ServingRun run{.name = "test", .model = LoadModel(model), .cluster = LoadCluster(cluster)};
  run.calibration =
      std::make_shared<const Calibration>(LoadCalibration(run.cluster.device, "2025"));
  run.deployment.parallel = parallel;
  run.usd_per_gpu_hour = 2;
  return run;
}

}  // namespace moecast
