// The uncertainty of a training run: its step times with the errors of the cost tables and the
// declared unknowns drawn together, evenly over their space (Lattice) and always the same for the
// same seed.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/interval.h"
#include "sim/forecast/headlines.h"
#include "sim/forecast/prepared_run.h"

namespace moecast {

struct UnknownField {
  std::string pointer;
  int values = 0;
};

struct ForecastOptions {
  int samples = 1024;  // best a power of two
  uint64_t seed = 1;
};

struct UncertaintyShare {
  std::string source;
  double share = 0;  // of the variance of the logarithm of the GPU-hours a token
};

// One draw of everything, with its own values of the unknowns and so its own GPUs.
struct Draw {
  Headlines headlines;           // detailed is the base's detailed phase
  std::vector<Expense> phases;   // what each takes
  double memory_peak_bytes = 0;  // of any phase: costs do not change it
  bool fits = true;              // every phase
};

struct Forecast {
  std::vector<Draw> draws;  // forecasts with one seed draw shared sources alike
  std::vector<UncertaintyShare>
      uncertainty;  // largest first; sums to 1 (or empty: nothing is uncertain)
};

// Of one figure over all draws.
Interval IntervalOf(const Forecast& forecast, const std::function<double(const Draw&)>& figure);

// `variant` makes the programme for a choice of a value for each unknown field (-1: as in the
// base), with as many phases as the base.
using VariantOf = std::function<Programme(std::span<const int>)>;

// Variants are prepared with `cache`, the base's own.
Forecast ForecastRun(const PreparedRun& base, std::span<const UnknownField> unknowns,
                     const VariantOf& variant, const ForecastOptions& options, StepCache& cache);

}  // namespace moecast
