// The costs of a serving run, with what they are made from.
#pragma once

#include <memory>

#include "costmodel/kernel_costs.h"
#include "costmodel/op_cost.h"
#include "sim/serving/iteration_costs.h"
#include "sim/serving/serving_run.h"

namespace moecast {

class ServingCosts {
 public:
  // REQUIRES: CheckDeployment passed. `run` outlives this.
  explicit ServingCosts(const ServingRun& run);

  const OpCosts& ops() const { return ops_; }
  IterationCosts& iterations() { return iterations_; }

 private:
  ShardPlan shard_;
  KernelCosts kernels_;
  OpCosts ops_;
  IterationCosts iterations_;
};

}  // namespace moecast
