// Why a step takes as long as it does: the chain of tasks that no slack separates, and what faster
// resources would buy. What more memory or larger replicas would buy is sim/forecast/neighbours.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/forecast/forecast.h"
#include "sim/training/step.h"

namespace moecast {

struct Cause {
  std::string cause;
  Seconds time;
};

// The parts of a block's time by name, zero ones included: compute by operator class,
// recomputation, communication exposed by group. They sum to the block.
std::vector<Cause> CausesOf(const BlockTime& block);

// The phase, every layer on the same stage, with the tokens that are kept spread evenly over the
// expert-parallel ranks: what a micro-batch takes where no rank is slower than another.
PreparedPhase WithEvenLoads(const PreparedPhase& phase, StepCache& cache);

// The critical path from the end of the step back to its beginning, by cause, the longest first;
// sums to the step. Blocks count as what their operators are at even loads (`even`: WithEvenLoads),
// and what they take longer for the slowest expert-parallel rank of each layer and micro-batch is
// "imbalance". Blocks that run on other stages before the path first reaches the stage it computes
// on longest, and after it last leaves it, are the pipeline filling and draining: "bubble",
// whatever runs there.
std::vector<Cause> CriticalPath(const Step& step, const Step& even);

// What a tenth more of a resource buys.
struct Marginal {
  std::string resource;
  // Empty where the plan can do nothing with more of it; `choice` then says why.
  std::optional<double> step_change_percent;
  std::optional<double>
      gpu_hours_change_percent;  // of a token; unlike the step's where the GPUs change too
  std::string choice;            // what the plan does with it; empty: the same, faster
};

// Change of the step's time when a resource is 10% faster, one at a time: compute, hbm, nvlink, ib.
std::vector<Marginal> RateMarginals(const Step& step);

}  // namespace moecast
