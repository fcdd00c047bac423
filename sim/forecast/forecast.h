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
#include "sim/forecast/prepared_run.h"

namespace moecast {

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
  double share = 0;  // of the variance of the logarithm of the GPU-hours a token
};

struct ExpenseInterval {
  Interval gpu_hours, days, cost_usd, wall_days, wall_cost_usd;
};

struct Forecast {
  std::vector<Interval> step_time;            // seconds, by phase
  std::vector<ExpenseInterval> phases;        // each draw with its own GPUs
  ExpenseInterval run;                        // of the phases' sums
  Interval run_gpu_seconds_per_token;         // over all phases
  std::vector<double> run_samples;            // of it; forecasts with one seed draw shared sources alike
  std::vector<UncertaintyShare> uncertainty;  // largest first; sums to 1 (or empty: nothing is uncertain)
};

// `variant` makes the programme for a choice of a value for each unknown field (-1: as in the base).
using VariantOf = std::function<Programme(std::span<const int>)>;

// Variants are prepared with `cache`, the base's own.
Forecast ForecastRun(const PreparedRun& base, std::span<const UnknownField> unknowns,
                     const VariantOf& variant, const ForecastOptions& options, StepCache& cache);

}  // namespace moecast
