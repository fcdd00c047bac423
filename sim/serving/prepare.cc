#include "sim/serving/prepare.h"

#include "costmodel/spread.h"

namespace moecast {
namespace {

// Kernels are replayed from graphs, so that no gap of the host's is around each; power caps those
// near the device's peak as it does in training.
WholeStep ServingStep(const Calibration& calibration) {
  WholeStep whole_step = calibration.whole_step();
  whole_step.gap = Seconds(0);
  return whole_step;
}

}  // namespace

ServingCosts::Pool::Pool(const ServingRun& run, const Deployment& deployment)
    : shard(ShardOf(deployment)),
      kernels(*run.calibration),
      ops(kernels, run.cluster, shard, PlacementOf(ParallelOf(deployment)),
          ExpertSpreadOf(run.model, shard, PlacementOf(ParallelOf(deployment)), run.cluster),
          ServingStep(*run.calibration), 1),
      iterations(run.model, shard, LoadOf(deployment.routing, deployment.parallel.ep),
                 deployment.engine.num_speculative_tokens, ops) {}

ServingCosts::ServingCosts(const ServingRun& run) : decode_(run, run.deployment) {
  if (run.deployment.prefill) prefill_ = std::make_unique<Pool>(run, PrefillPoolOf(run.deployment));
}

}  // namespace moecast
