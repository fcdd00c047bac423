// Published bubble rates of pipeline schedules, from scenarios/data/claims/pipeline_bubbles.csv.
#pragma once

#include <string>
#include <vector>

#include "sim/pipeline/pipeline.h"

namespace moecast {

struct PipelineClaim {
  std::string name;  // "zb-h1 8x24"
  std::string schedule;
  PipelineShape shape;
  double bubble_rate = 0;
  double tolerance = 0;  // of the published figure
  std::string source;
};

std::vector<PipelineClaim> LoadPipelineClaims();

}  // namespace moecast
