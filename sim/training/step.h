// One training step of a plan, prepared so that it can be timed many times: ops, costs, stage split, order
// and topological sort are found once; a timing with other op times is a few sweeps over flat arrays.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "costmodel/layer_ops.h"
#include "costmodel/memory.h"
#include "costmodel/op_cost.h"
#include "sim/engine/schedule.h"
#include "sim/training/block.h"
#include "sim/training/stages.h"
#include "sim/training/step_cache.h"
#include "sim/training/step_schedule.h"

namespace moecast {

// A model trained by a plan, ready to be simulated. CheckPlan (sim/training/plan_check.h) has passed.
struct TrainingRun {
  std::string name;
  Model model;
  Cluster cluster;
  std::shared_ptr<const Calibration> calibration;
  Plan plan;
  bool operator==(const TrainingRun&) const = default;
};

// One draw of what is not known of costs: standard normal deviates of the logarithm of the times.
struct Noise {
  std::vector<double> by_source;  // by Cost::source
  uint64_t own_seed = 0;          // of each estimate's own error; 0: none
};

// How much faster each resource is. An op takes the time of the one that bounds it; what bounds it next is
// not looked at, so small changes are meant.
struct Speedup {
  double compute = 1, hbm = 1, nvlink = 1, network = 1;
};

// Time of an op whose cost this is; `position` tells the ops of a step apart.
using OpTimes = std::function<Seconds(const Cost& cost, uint64_t position)>;

// Ops with their costs, in order.
struct CostedOps {
  std::vector<Op> ops;
  std::vector<Cost> costs;
};

// The kinds of time a compute lane spends, per stage; they sum to the step.
struct LaneTime {
  BlockTime blocks;      // forward, backward and weight-gradient blocks
  Seconds grad_reduce;   // waiting for gradients to be reduced
  Seconds param_gather;  // waiting for updated weights
  Seconds grad_norm;
  Seconds optimizer;
  Seconds bubble;  // waiting for other stages
  Seconds total() const;
};

struct StageMemory {
  StateBytes states;
  Bytes activations;  // at the peak of what the schedule keeps alive
  Bytes transient;    // of the pass that needs most
  Bytes buffers;      // pipeline receive buffers, gradient buckets
  Bytes runtime;      // CUDA context and NCCL, outside the framework's allocator
  Bytes allocated() const {
    return states.weights + states.gradients + states.optimizer + activations + transient + buffers;
  }
  Bytes total() const { return allocated() + runtime; }
};

struct StageTraffic {
  Bytes nvlink, network;  // sent by one GPU of the stage in a step
};

class PreparedStep {
 public:
  // What other steps prepared with the same cache have solved is reused. REQUIRES: run and phase outlive
  // this.
  PreparedStep(const TrainingRun& run, const TrainingPhase& phase, StepCache& cache);

  // Time from one step to the next: all stages with a barrier at the optimizer, else the longest of one
  // stage.
  Seconds StepTime() const;
  Seconds StepTime(const Noise& noise) const;
  Seconds StepTime(const Speedup& speedup) const;

  // Of the median times.
  std::vector<LaneTime> LaneTimes() const;  // by stage
  std::vector<StageMemory> MemoryByStage() const;
  // Activations alive after each task of the stage's compute lane, in its order.
  std::vector<Bytes> ActivationsAlong(int stage) const;
  std::vector<StageTraffic> TrafficByStage() const;
  const Timing& timing() const { return timing_; }

  const std::vector<StageBlocks>& virtual_stages() const { return blocks_of_; }
  std::vector<int> LayersByStage() const;  // by virtual stage
  const CostedOps& Costed(BlockKind kind, Pass pass) const;
  const BlockTime& Solved(BlockKind kind, Pass pass) const;
  const BlockOps& Ops(BlockKind kind) const { return kinds_[static_cast<size_t>(kind)].ops; }
  bool Has(BlockKind kind) const { return kinds_[static_cast<size_t>(kind)].present; }
  const Schedule& schedule() const { return order_->schedule; }
  const DurationIndex& durations() const { return index_; }
  const PipelineSchedule& pipeline() const { return *pipeline_; }
  const PipelineShape& shape() const { return shape_; }
  const std::vector<std::string>& sources() const { return sources_; }
  OverlapRate overlap() const { return overlap_; }
  const ExpertLoad& load() const { return work_.load; }
  // What the blocks of a virtual stage do in one pass; a backward pass that is not split has both.
  BlockTime BlocksOf(int virtual_stage, Phase phase) const;
  // First GPU of a stage.
  int RankOfStage(int stage) const;
  // Share of the compute and communication time of the blocks that comes from outside measured ranges.
  double ExtrapolatedFraction() const;

 private:
  struct Kind {
    bool present = false;
    BlockOps ops;
    std::array<CostedOps, kPasses> costed;
    std::array<BlockTime, kPasses> solved;
    BlockParameters parameters;
    CostedOps grad_reduce, param_gather;
  };
  using SolvedKinds = std::array<std::array<BlockTime, kPasses>, kBlockKinds>;

  void PrepareKind(BlockKind kind, OpCosts& costs);
  void SplitStages();
  void CheckHorizon() const;
  void FixOrder(StepCache& cache);
  Seconds StepTime(const OpTimes& time_of) const;
  SolvedKinds Solve(const OpTimes& time_of) const;
  std::vector<Time> Durations(const SolvedKinds& solved, const OpTimes& time_of) const;
  Seconds Period(const Timing& timing) const;
  BlockTime BlocksOf(int virtual_stage, Pass pass, const SolvedKinds& solved) const;
  Seconds Total(const CostedOps& ops, const OpTimes& time_of, uint64_t salt) const;

  const TrainingRun& run_;
  const TrainingPhase& phase_;
  Work work_;
  const PipelineSchedule* pipeline_ = nullptr;
  std::array<Kind, kBlockKinds> kinds_;
  std::vector<CostedOps> grad_norm_, optimizer_;  // by stage
  CostedOps send_;
  std::vector<StageBlocks> blocks_of_;  // by virtual stage
  PipelineShape shape_;
  std::shared_ptr<const OrderedStep> order_;
  DurationIndex index_;
  Timing timing_;
  OverlapRate overlap_;
  std::vector<std::string> sources_;
  std::array<std::array<StageTraffic, kPasses>, kBlockKinds> traffic_{};
  std::array<StageTraffic, kBlockKinds> data_parallel_traffic_{};
  StageTraffic send_traffic_;
  Placement placement_;
};

}  // namespace moecast
