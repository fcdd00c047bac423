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

// The figures a training run is summed up by.
struct Headlines {
  // Of the first phase.
  double step_time_s = 0;
  double tokens_per_gpu_per_s = 0;
  double model_tflops_per_gpu = 0;
  double mfu = 0;
  // Of the whole run.
  double gpu_hours_per_trillion_tokens = 0;
  double gpu_hours_total = 0;
  double days = 0;
  double cost_usd = 0;
};
struct HeadlineName {
  const char* name;
  double Headlines::*figure;
};
inline constexpr HeadlineName kHeadlines[] = {
    {"step_time_s", &Headlines::step_time_s},
    {"tokens_per_gpu_per_s", &Headlines::tokens_per_gpu_per_s},
    {"model_tflops_per_gpu", &Headlines::model_tflops_per_gpu},
    {"mfu", &Headlines::mfu},
    {"gpu_hours_per_trillion_tokens", &Headlines::gpu_hours_per_trillion_tokens},
    {"gpu_hours_total", &Headlines::gpu_hours_total},
    {"days", &Headlines::days},
    {"cost_usd", &Headlines::cost_usd},
};

// A run with a prepared step for each of its phases.
class PreparedRun {
 public:
  PreparedRun(TrainingRun run, StepCache& cache);

  const TrainingRun& run() const { return *run_; }
  const PreparedStep& step(size_t phase) const { return *steps_[phase]; }
  size_t phases() const { return steps_.size(); }
  // GPU-seconds a token of a phase takes.
  double GpuSecondsPerToken(size_t phase, Seconds step_time) const;
  // `step_times` by phase.
  Headlines HeadlinesOf(std::span<const Seconds> step_times) const;
  // Memory of the fullest stage of the first phase.
  Bytes PeakMemory() const;

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

struct Draw {
  Headlines headlines;
  double memory_peak_bytes = 0;  // of the unknowns' values drawn: costs do not change it
  bool fits = true;
};

struct Forecast {
  std::vector<Draw> draws;                      // forecasts with one seed draw shared sources alike
  std::vector<Interval> step_time;              // seconds, by phase
  std::vector<Interval> gpu_seconds_per_token;  // by phase
  std::vector<UncertaintyShare> uncertainty;    // largest first; sums to 1 (or empty: nothing is uncertain)
};

// Of one figure over all draws.
Interval IntervalOf(const Forecast& forecast, double Headlines::*figure);

// `variant` makes the run for a choice of a value for each unknown field (-1: as in the base).
using VariantOf = std::function<TrainingRun(std::span<const int>)>;

// Variants are prepared with `cache`, the base's own.
Forecast ForecastRun(const PreparedRun& base, std::span<const UnknownField> unknowns,
                     const VariantOf& variant, const ForecastOptions& options, StepCache& cache);

}  // namespace moecast
