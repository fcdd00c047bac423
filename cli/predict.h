// The pipe of a training prediction, from a scenario to its report.
#pragma once

#include <memory>

#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/train_report.h"

namespace moecast {

struct Prediction {
  StepCache cache;  // what the run has solved, for plans near it
  std::unique_ptr<PreparedRun>
      run;  // the scenario's own values, for what --print and --timeline show
  Forecast forecast;
  TrainReport report;
};

// The value of --samples; throws UserError where it is no number of draws.
int CheckedSamples(int64_t samples);

// At a network level; kSimgrid is that of a check on top of a prediction, not of a prediction.
Prediction PredictTraining(const Scenario& scenario, const ForecastOptions& options,
                           Level level = Level::kFluid);

}  // namespace moecast
