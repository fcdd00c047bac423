#include "scenarios/claims/memory_claims.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/claims/claim_table.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/model_loader.h"
#include "sim/training/plan_check.h"

namespace moecast {
namespace {

// The model's first layers.
Model Cut(Model model, int layers) {
  for (LayerRun& run : model.runs) {
    run.count = std::min(run.count, layers);
    layers -= run.count;
  }
  std::erase_if(model.runs, [](const LayerRun& run) { return run.count == 0; });
  return model;
}

}  // namespace

std::vector<MemoryClaim> LoadMemoryClaims() {
  const ClaimTable table("memory");
  // Memory does not depend on how long the kernels take; any device with a calibration will do.
  const Cluster cluster = LoadCluster("h200-8");
  const auto calibration =
      std::make_shared<const Calibration>(LoadCalibration(cluster.device, "2025"));
  std::vector<MemoryClaim> claims;
  for (size_t i = 0; i < table.rows(); ++i) {
    const ClaimRow row = table.Row(i);
    const int layers = row.Whole("layers");
    const std::string model(row.Text("model"));
    TrainingRun run;
    run.name = model;
    run.model = Cut(LoadModel(model), layers);
    run.cluster = cluster;
    run.calibration = calibration;
    Parallel& p = run.plan.parallel;
    p.tp = row.Whole("tp");
    p.ep = row.Whole("ep");
    p.pp = row.Whole("pp");
    p.dp = row.Whole("dp");
    run.plan.precision.grad_reduce = run.plan.precision.main_grad;
    run.plan.fused_cross_entropy = true;
    run.plan.stage_layers.layers.assign(static_cast<size_t>(p.pp), layers / p.pp);
    // The peak does not depend on the number of micro-batches once the pipeline is full.
    constexpr int64_t kMicroBatches = 8;
    run.plan.phases = {{.name = "step",
                        .tokens = Count(1e9),
                        .sequence_length = row.Whole("sequence"),
                        .global_batch = kMicroBatches * p.dp}};
    MOECAST_CHECK(!CheckPlan(run.plan, run.model, cluster));
    for (const bool last : {false, true}) {
      if (last && p.pp == 1) continue;  // one stage: the ranks are alike
      claims.push_back({.name = model + " of " + std::to_string(layers) + " layers, tp " +
                                std::to_string(p.tp) + " ep " + std::to_string(p.ep) + " pp " +
                                std::to_string(p.pp) + " dp " + std::to_string(p.dp) +
                                (p.pp == 1 ? ""
                                 : last    ? ", last stage"
                                           : ", first stage"),
                        .run = run,
                        .stage = last ? p.pp - 1 : 0,
                        .peak = row.Size(last ? "last_rank" : "first_rank"),
                        .source = std::string(row.Text("source"))});
    }
  }
  return claims;
}

}  // namespace moecast
