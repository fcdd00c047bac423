// Decode alone: what a deployment makes when all its sequences decode at one mean context, prompts
// computed elsewhere. The bound of a load of long answers, and what papers print as generation
// throughput.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/serving/iteration_costs.h"
#include "sim/serving/serving_run.h"

namespace moecast {

struct DecodePoint {
  int64_t sequences = 0;         // of each dp rank
  Seconds iteration;             // the engine's own time included
  double tokens_per_user = 0;    // a second
  double tokens_per_gpu = 0;     // a second
  double output_throughput = 0;  // of the deployment, tokens a second
  OpClass longest{};             // the ops that take most of the iteration
};

// By sequences of a rank: powers of two, and last the most that max_num_seqs and the cache let run.
// Empty where not even one fits. REQUIRES: the deployment fits; context >= 1.
std::vector<DecodePoint> DecodeCurve(const ServingRun& run, IterationCosts& costs, int64_t context);

// The longest context at which the last point makes so many tokens a second, up to the model's own;
// nothing where it never does.
std::optional<int64_t> LongestContextFor(const ServingRun& run, IterationCosts& costs,
                                         double output_throughput);

}  // namespace moecast
