// The uncertainty of a training run: its step times with the errors of the cost tables and the declared
// unknowns drawn together, from a Latin hypercube and always the same for the same seed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/interval.h"
#include "sim/training/step.h"

namespace moecast {

// A run with a prepared step for each of its phases.
class PreparedRun {
 public:
  PreparedRun(TrainingRun run, StepCache& cache);

  const TrainingRun& run() const { return *run_; }
  const PreparedStep& step(size_t phase) const { return *steps_[phase]; }
  size_t phases() const { return steps_.size(); }
  // GPU-seconds a token of a phase takes.
  double GpuSecondsPerToken(size_t phase, Seconds step_time) const;
  // Over all phases, weighted by their tokens, where their steps take this long.
  double GpuSecondsPerToken(const std::function<Seconds(const PreparedStep&)>& step_time) const;

 private:
  std::unique_ptr<TrainingRun> run_;  // steps refer to it
  std::vector<std::unique_ptr<PreparedStep>> steps_;
};

struct UnknownField {
  std::string pointer;
  int values = 0;
};

struct ForecastOptions {
  int samples = 64;
  uint64_t seed = 1;
};

struct UncertaintyShare {
  std::string source;
  double share = 0;  // of the variance of the logarithm of the GPU-hours
};

struct Forecast {
  std::vector<Interval> step_time;              // seconds, by phase
  std::vector<Interval> gpu_seconds_per_token;  // by phase
  Interval run_gpu_seconds_per_token;           // over all phases, weighted by their tokens
  std::vector<double> run_samples;              // of it; forecasts with one seed draw shared sources alike
  std::vector<UncertaintyShare> uncertainty;    // largest first; sums to 1 (or empty: nothing is uncertain)
};

// `variant` makes the run for a choice of a value for each unknown field (-1: as in the base).
using VariantOf = std::function<TrainingRun(std::span<const int>)>;

// Variants are prepared with `cache`, the base's own.
Forecast ForecastRun(const PreparedRun& base, std::span<const UnknownField> unknowns,
                     const VariantOf& variant, const ForecastOptions& options, StepCache& cache);

}  // namespace moecast
