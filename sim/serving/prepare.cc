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

ServingCosts::ServingCosts(const ServingRun& run)
    : shard_(ShardOf(run.deployment)),
      kernels_(*run.calibration),
      ops_(kernels_, run.cluster, shard_, PlacementOf(ParallelOf(run.deployment)),
           ExpertSpreadOf(run.model, shard_, PlacementOf(ParallelOf(run.deployment)), run.cluster),
           ServingStep(*run.calibration), 1),
      iterations_(run.model, shard_, LoadOf(run.deployment.routing, run.deployment.parallel.ep),
                  ops_) {}

}  // namespace moecast
