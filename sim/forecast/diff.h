// Why one plan is faster than another: what their GPUs spend a step on set against each other, and their
// figures draw by draw. Compared is the breakdown over all stages, not the critical paths: in another order
// the path runs through other stages, so that two paths differ in work that the plans share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/interval.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/train_report.h"

namespace moecast {

// All differences are B less A.
struct CauseDifference {
  std::string cause;
  // Mean over the stages, of a step of A's tokens; B's step counts by its tokens, so that plans with another
  // global batch compare.
  Seconds time;
  double gpu_seconds_per_million_tokens = 0;
};

struct HeadlineDifference {
  std::string name;
  Interval a, b;
  // Draw by draw: what the two share, cost tables and unknowns, errs alike in both.
  Interval difference;
  std::optional<Interval> percent;  // of A's; empty where that is zero
};

struct PlanDifference {
  CauseDifference total;                // cause "total", of the scenarios' own values at median costs
  std::vector<CauseDifference> causes;  // sum to `total`; by size
  std::vector<HeadlineDifference> headlines;
};

// REQUIRES: both forecasts have as many draws, with one seed.
PlanDifference Difference(const TrainReport& a, const Forecast& forecast_a, const TrainReport& b,
                          const Forecast& forecast_b);

}  // namespace moecast
