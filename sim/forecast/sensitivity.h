// What the forecast becomes if one of the quantities it rests on is off by a tenth.
#pragma once

#include <string>
#include <vector>

#include "sim/forecast/forecast.h"

namespace moecast {

struct Sensitivity {
  std::string quantity;  // "network rate: ... : times + 10%"
  std::string source;
  double change_percent = 0;  // of the run's GPU-hours
};

// Of all phases together. Every cost source, link latency, whole-step scalar and assumed figure of
// the plan that the run uses, moved up by a tenth (a cap down) one at a time; largest effect first.
std::vector<Sensitivity> Sensitivities(const PreparedRun& base, StepCache& cache);

}  // namespace moecast
