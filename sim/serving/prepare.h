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

  IterationCosts& iterations() { return decode_.iterations; }
  // REQUIRES: there is a prefill pool.
  IterationCosts& prefill_iterations() { return prefill_->iterations; }

 private:
  struct Pool {
    Pool(const ServingRun& run, const Deployment& deployment);
    ShardPlan shard;
    KernelCosts kernels;
    OpCosts ops;
    IterationCosts iterations;
  };
  Pool decode_;
  std::unique_ptr<Pool> prefill_;
};

}  // namespace moecast
