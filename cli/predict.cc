#include "cli/predict.h"

#include "base/error.h"

namespace moecast {

int CheckedSamples(int64_t samples) {
  constexpr int64_t kMost = 100000;
  if (samples < 2 || samples > kMost)
    throw UserError({.file = "--samples",
                     .value = std::to_string(samples),
                     .expected = "a whole number from 2 to " + std::to_string(kMost)});
  return static_cast<int>(samples);
}

Prediction PredictTraining(const Scenario& scenario, const ForecastOptions& options, Level level) {
  const auto at_level = [level](Programme programme) {
    for (TrainingRun& phase : programme.phases) phase.level = level;
    return programme;
  };
  Prediction p;
  p.run = std::make_unique<PreparedRun>(at_level(scenario.training()), p.cache);
  std::vector<UnknownField> unknowns;
  for (const Unknown& u : scenario.spec().unknown.list)
    unknowns.push_back({u.pointer, static_cast<int>(u.values.size())});
  p.forecast = ForecastRun(
      *p.run, unknowns,
      [&](std::span<const int> choice) { return at_level(scenario.Variant(choice)); }, options,
      p.cache);
  p.report = Summarize(*p.run, p.forecast, p.cache);
  p.report.source = scenario.spec().source;
  return p;
}

}  // namespace moecast
