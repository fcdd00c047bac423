// What the forecast becomes if one of the quantities it rests on is off by a tenth.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/forecast/forecast.h"

namespace moecast {

struct Sensitivity {
  std::string quantity;  // "network rate: ... : times + 10%"
  std::string source;
  double change_percent = 0;  // of the run's GPU-hours
};

// A number that a scenario, its calibration or its cluster assumes, by the Fields table and the row
// that say it. Rates of links, of the host and of kernels are no rows: each is the source of the
// costs that it makes, and these are moved together.
struct AssumedFigure {
  std::string_view table, field;  // "cluster", "nvlink_step"
  std::string_view quantity;      // "latency of a step over NVLink, +10%"
  void (*raise)(TrainingRun&);    // moves it by a tenth; a run that does not use it stays as it was
};
std::span<const AssumedFigure> AssumedFigures();

// What the GPU-hours of all phases together become where each source of costs that the run has and
// each of AssumedFigures moves up by a tenth (a cap down), one at a time; the largest effect first.
// What changes nothing is left out. Runs with a figure moved are prepared with `cache`.
std::vector<Sensitivity> Sensitivities(const PreparedRun& base, StepCache& cache);

}  // namespace moecast
