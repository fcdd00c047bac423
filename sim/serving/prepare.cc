#include "sim/serving/prepare.h"

#include <optional>

#include "costmodel/spread.h"
#include "sim/routing/rank_loads.h"
#include "sim/serving/serving_memory.h"

namespace moecast {
namespace {

// Kernels are replayed from graphs, so that no gap of the host's is around each; power caps those
// near the device's peak as it does in training.
WholeStep ServingStep(const Calibration& calibration) {
  WholeStep whole_step = calibration.whole_step();
  whole_step.gap = Seconds(0);
  return whole_step;
}

RankLoads LoadsOf(const ServingRun& run, const Deployment& pool, const ShardPlan& shard,
                  const ExpertSpread& spread) {
  if (run.model.moe.experts == 0) return {{1}, {{}}};
  const RoutingSetup setup =
      RoutingOf(run.model, run.cluster, shard, PlacementOf(ParallelOf(pool)), pool.routing, spread);
  std::optional<int> redundant;
  if (pool.engine.enable_eplb) redundant = pool.engine.num_redundant_experts;
  return RankLoadsOf(setup, run.record.get(), redundant);
}

}  // namespace

ServingCosts::Pool::Pool(const ServingRun& run, const Deployment& deployment)
    : shard(ShardOf(deployment)),
      kernels(*run.calibration),
      ops(kernels, run.cluster, shard, PlacementOf(ParallelOf(deployment)),
          ExpertSpreadOf(run.model, shard, PlacementOf(ParallelOf(deployment)), run.cluster),
          ServingStep(*run.calibration), 1),
      iterations(run.model, shard, LoadsOf(run, deployment, shard, ops.spread()),
                 deployment.engine.num_speculative_tokens,
                 ServingStagesOf(run.model, deployment.parallel.pp), ops) {}

ServingCosts::ServingCosts(const ServingRun& run) : decode_(run, run.deployment) {
  if (run.deployment.prefill) prefill_ = std::make_unique<Pool>(run, PrefillPoolOf(run.deployment));
}

}  // namespace moecast
