// A training programme: phases one after another, each a run with its own plan.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "costmodel/reliability.h"
#include "sim/training/run.h"

namespace moecast {

struct Programme {
  std::string name;
  std::vector<TrainingRun> phases;  // each plan has one phase
  double usd_per_gpu_hour = 0;
  std::optional<Reliability> reliability;  // absent: nothing fails
};

}  // namespace moecast
