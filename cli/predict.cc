#include "cli/predict.h"

namespace moecast {

Prediction PredictTraining(const Scenario& scenario, const ForecastOptions& options) {
  StepCache cache;
  Prediction p{.run = std::make_unique<PreparedRun>(scenario.training(), cache)};
  std::vector<UnknownField> unknowns;
  for (const Unknown& u : scenario.spec().unknown.list)
    unknowns.push_back({u.pointer, static_cast<int>(u.values.size())});
  const Forecast forecast = ForecastRun(
      *p.run, unknowns, [&](std::span<const int> choice) { return scenario.Variant(choice); }, options,
      cache);
  p.report = Summarize(*p.run, forecast, cache);
  for (const double gpu_seconds_per_token : forecast.run_samples)
    p.samples.push_back(gpu_seconds_per_token * 1e12 / 3600);
  p.report.source = scenario.spec().source;
  return p;
}

}  // namespace moecast
