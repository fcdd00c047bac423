// Why a step takes as long as it does: the chain of tasks that no slack separates, and what faster resources
// would buy.
#pragma once

#include <string>
#include <vector>

#include "sim/training/step.h"

namespace moecast {

struct PathCause {
  std::string cause;
  Seconds time;
};

// The critical path from the end of the step back to its start, by cause; sums to the time of all stages.
// Blocks count as what their operators are; what runs on other stages before the path first reaches the stage
// it stays on longest, and after it last leaves it, is the pipeline filling and draining.
std::vector<PathCause> CriticalPath(const PreparedStep& step);

struct Marginal {
  std::string resource;
  double step_change_percent = 0;
};

// Change of the step's time when a resource is 10% faster, one at a time.
std::vector<Marginal> MarginalValues(const PreparedStep& step);

}  // namespace moecast
