// One training step of a plan as a chain of values: layout, blocks, schedule, memory, timing. Each
// is made by one function from those before it, and PrepareStep makes them all. What a step takes
// with other costs is sim/training/step_time.h, where its time goes sim/training/breakdown.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/training/blocks.h"
#include "sim/training/layout.h"
#include "sim/training/loads.h"
#include "sim/training/memory.h"
#include "sim/training/run.h"
#include "sim/training/step_cache.h"
#include "topology/placement.h"

namespace moecast {

struct Step {
  std::shared_ptr<const TrainingRun> run;
  Placement placement;
  std::shared_ptr<const OpCosts> costs;
  Work work;  // of a micro-batch, at the mean load of the experts
  const PipelineSchedule* pipeline = nullptr;
  PipelineShape shape;
  Layout layout;
  StepBlocks blocks;
  std::vector<BlockTime> times;  // of the blocks at the median costs, by number
  std::shared_ptr<const OrderedStep> order;
  std::vector<ExcessOfTask> excess;  // by task; empty where all ranks are loaded alike
  std::vector<StageMemory> memory;   // by stage
  // At the median costs, on the run's network level.
  Timing timing;
  // What sharing links costs: the step's time over that with every collective alone on idle links.
  // Found by a run on the network, or taken over from a step much like this one.
  double stretch = 1;
  int64_t flows = 0;  // that were started to find it; 0: no run was made
  std::shared_ptr<const StepFlows> shared_links;  // null then
  std::shared_ptr<const CostSources> sources;     // of the costs of its blocks

  const Plan& plan() const { return run->plan; }
  const TrainingSchedule& schedule() const { return order->schedule; }
  Time ArrivalOf(int32_t dependency) const {
    return timing.ArrivalOf(schedule(), dependency, shape.transfer);
  }
  // How much longer a task takes than its program, because in its layers and micro-batch the
  // slowest rank of the experts has more to do than on average; negative where less.
  Seconds Longer(int32_t task) const {
    return excess.empty() ? Seconds(0) : moecast::Longer(excess[task], times);
  }
  // First GPU of a stage.
  int RankOfStage(int stage) const;
};

// `stretch`, where given, is what shared links cost a step much like this one, and no network is
// run to find it. What steps prepared with the same cache have solved is reused. REQUIRES:
// CheckPlan has passed. Throws UserError where the step is too long to be timed, or the plan's own
// memory limit cannot be kept.
Step PrepareStep(std::shared_ptr<const TrainingRun> run, const TrainingPhase& phase,
                 StepCache& cache, std::optional<double> stretch = std::nullopt);

}  // namespace moecast
