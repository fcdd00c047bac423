// Why one plan is faster than another: what their GPUs spend their time on, in all phases, set
// against each other, and their figures draw by draw. Compared is the breakdown over all stages,
// not the critical paths: in another order the path runs through other stages, so that two paths
// differ in work that the plans share.
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
  // Mean over the stages, by the clock, for as many tokens as a step of A's detailed phase has, at
  // the mean of all phases: of one phase it is the step's. So runs with another global batch or
  // other phases compare.
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
  Seconds of_a;           // what A takes for those tokens
  CauseDifference total;  // cause "total", of the scenarios' own values at median costs
  std::vector<CauseDifference> causes;        // sum to `total`; by size
  std::vector<HeadlineDifference> headlines;  // those of outages where something fails in A or B
};

// REQUIRES: both forecasts have as many draws, with one seed.
PlanDifference Difference(const TrainReport& a, const Forecast& forecast_a, const TrainReport& b,
                          const Forecast& forecast_b);

}  // namespace moecast
