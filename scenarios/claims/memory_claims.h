// Published peak memory of training steps, from scenarios/data/claims/memory.csv.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "sim/training/step.h"

namespace moecast {

struct MemoryClaim {
  std::string name;  // "deepseek-v2, 4 layers, tp 1 ep 4 pp 2 dp 4, first stage"
  TrainingRun run;
  int stage = 0;
  Bytes peak;  // of the framework's allocator: without CUDA context and NCCL
  std::string source;
};

std::vector<MemoryClaim> LoadMemoryClaims();

}  // namespace moecast
