// The pipe of a training prediction, from a scenario to its report.
#pragma once

#include <memory>

#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/train_report.h"

namespace moecast {

struct Prediction {
  std::unique_ptr<PreparedRun> run;  // the scenario's own values, for what --print and --timeline show
  TrainReport report;
  std::vector<double> samples;  // GPU-hours per trillion tokens
};

Prediction PredictTraining(const Scenario& scenario, const ForecastOptions& options);

}  // namespace moecast
