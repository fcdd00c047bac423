// One training step of a plan, prepared so that it can be timed many times: ops, costs, stage split, order
// and topological sort are found once; a timing with other op times is a few sweeps over flat arrays.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/layer_ops.h"
#include "costmodel/memory.h"
#include "costmodel/op_cost.h"
#include "sim/engine/schedule.h"
#include "sim/network/level.h"
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
  WholeStep whole_step;
  Level level = Level::kFluid;                  // kSimgrid is for single steps, checked against fluid
  std::shared_ptr<const RoutingRecord> record;  // what plan.routing.recorded names
  // Every rank of a MoE layer takes the mean of what they are routed: what imbalance is measured against.
  bool even_loads = false;

  bool operator==(const TrainingRun&) const = default;
};

// One draw of what is not known of costs: standard normal deviates of the logarithm of the times.
struct Noise {
  std::vector<double> by_source;  // by Cost::source
  uint64_t curve_seed = 0;        // of the errors common to a curve (Cost::curve); 0: none
  uint64_t own_seed = 0;          // of each estimate's own error; 0: none
  double whole_step = 0;          // of WholeStep::sigma
};

// How much faster each resource is. An op takes the time of the one that bounds it; what bounds it next is
// not looked at, so small changes are meant.
struct Speedup {
  double compute = 1, hbm = 1, nvlink = 1, network = 1;
};

// Time of an op whose cost this is; `position` tells the ops of a step apart.
using OpTimes = std::function<Seconds(const Cost& cost, uint64_t position)>;

// The solved blocks of a step: each pass of each kind alone, and the pairs.
struct SolvedBlocks {
  std::array<std::array<BlockTime, kPasses>, kBlockKinds> kinds;
  std::vector<BlockTime> pairs;  // as PreparedStep::pairs()
};

// One pass of one block.
struct BlockPart {
  BlockKind kind{};
  Pass pass{};
  bool operator==(const BlockPart&) const = default;
};

// The forward of a virtual stage's blocks together with the full backward of another's, as one block.
struct OverlappedPair {
  std::vector<BlockPart> parts;  // as they follow each other in `costed`
  CostedOps costed;
};

// What a stage holds at its most while a task runs, and after it.
struct AliveBytes {
  Bytes most, after;
};

// A difference of two sums of the engine's times, without what their rounding may make of nothing.
constexpr Seconds AboveRounding(Seconds difference) {
  return difference > Microseconds(1e-3) ? difference : Seconds(0);
}

// The kinds of time a compute lane spends, per stage; they sum to the step.
struct LaneTime {
  BlockTime blocks;      // forward, backward and weight-gradient blocks
  Seconds grad_reduce;   // waiting for gradients to be reduced
  Seconds param_gather;  // waiting for updated weights
  Seconds grad_norm;
  Seconds optimizer;
  Seconds contention;  // what blocks take longer because their collectives share links
  Seconds bubble;      // waiting for other stages
  Seconds total() const;
};

struct StageMemory {
  StateBytes states;
  Bytes activations;                    // at the peak of what the schedule keeps alive
  Bytes transient;                      // of the pass that needs most
  std::vector<BlockKind> transient_of;  // the blocks whose passes that is, at the same time
  Bytes receive_buffers, buckets;       // of the pipeline; of gradients that travel in another format
  Bytes runtime;                        // CUDA context and NCCL, outside the framework's allocator
  Bytes buffers() const { return receive_buffers + buckets; }
  Bytes allocated() const { return states.device() + activations + transient + buffers(); }
  Bytes total() const { return allocated() + runtime; }
};

struct StageTraffic {
  Bytes nvlink, network;  // sent by one GPU of the stage in a step
};

// The part of a Timing that is one step's own, of the stage that takes longest: from where the step begins
// there to where its last task ends and the next step may begin.
struct StepSpan {
  Time begin, end;
  int32_t last_task = 0;
};

class StepFlows;

class PreparedStep {
 public:
  // What other steps prepared with the same cache have solved is reused. `stretch`, where given, is what
  // shared links cost a step much like this one, and no network is run to find it. REQUIRES: run and phase
  // outlive this.
  PreparedStep(const TrainingRun& run, const TrainingPhase& phase, StepCache& cache,
               std::optional<double> stretch = std::nullopt);

  // Time from one step to the next: all stages with a barrier at the optimizer, else the longest of one
  // stage. On the run's network level at the median times; at others what the medians lose to shared links is
  // taken in proportion.
  Seconds StepTime() const;
  Seconds StepTime(const Noise& noise) const;
  Seconds StepTime(const Speedup& speedup) const;
  Seconds StepTime(const OpTimes& time_of) const;
  // With these whole-step effects. REQUIRES: prepared with kernels alone.
  Seconds StepTime(const WholeStep& whole_step) const;

  // StepTime() over that with every collective alone on idle links.
  double stretch() const { return stretch_; }
  // With every collective alone on idle links.
  Seconds UncontendedStepTime() const;
  // What sharing adds; nothing below the engine's rounding.
  Seconds Contention() const { return AboveRounding(StepTime() - UncontendedStepTime()); }
  // Flows that were started to find StepTime(); 0 where no links are shared.
  int64_t flows() const { return flows_; }
  const StepFlows* shared_links() const { return shared_links_.get(); }  // null then

  // Of the median times.
  std::vector<LaneTime> LaneTimes() const;  // by stage
  std::vector<StageMemory> MemoryByStage() const;
  // The optimizer's states of the fullest node, in host memory.
  Bytes HostBytesPerNode() const;
  // Activations alive along the tasks of the stage's compute lane, in its order.
  std::vector<AliveBytes> ActivationsAlong(int stage) const;
  // The blocks of a chunk that a task of the stage runs: those of its virtual stage, or the one of its part.
  StageBlocks BlocksOfTask(int stage, int16_t chunk, int16_t part) const;
  std::vector<StageTraffic> TrafficByStage() const;
  const Timing& timing() const { return timing_; }
  Time ArrivalOf(int32_t dependency) const {
    return timing_.ArrivalOf(order_->schedule, dependency, shape_.transfer);
  }
  StepSpan span() const { return SpanOf(timing_); }

  const std::vector<StageBlocks>& virtual_stages() const { return blocks_of_; }
  std::vector<int> LayersByStage() const;  // by piece of the model
  const CostedOps& Costed(BlockKind kind, Pass pass) const;
  const CostedOps& OptimizerCosted(int stage) const { return optimizer_[stage]; }
  const CostedOps& GradReduce(BlockKind kind) const { return kinds_[static_cast<size_t>(kind)].grad_reduce; }
  const CostedOps& ParamGather(BlockKind kind) const {
    return kinds_[static_cast<size_t>(kind)].param_gather;
  }
  const CostedOps& send() const { return send_; }
  Seconds GradNormTime(int stage) const;
  Seconds OptimizerTime(int stage) const;
  const BlockTime& Solved(BlockKind kind, Pass pass) const;
  // Each distinct pair once, and its time; none where the schedule overlaps no passes.
  const std::vector<OverlappedPair>& pairs() const { return pairs_; }
  const BlockTime& SolvedPair(size_t pair) const { return solved_.pairs[pair]; }
  // The pair whose forward is of this virtual stage, and the virtual stage of its backward.
  size_t PairOf(int virtual_stage) const { return pair_of_[virtual_stage]; }
  int OtherOfPair(int virtual_stage) const;
  const BlockOps& Ops(BlockKind kind) const { return kinds_[static_cast<size_t>(kind)].ops; }
  const BlockParameters& Parameters(BlockKind kind) const {
    return kinds_[static_cast<size_t>(kind)].parameters;
  }
  const Plan& plan() const { return run_.plan; }
  bool Has(BlockKind kind) const { return kinds_[static_cast<size_t>(kind)].present; }
  const Schedule& schedule() const { return order_->schedule; }
  const DurationIndex& durations() const { return index_; }
  const PipelineSchedule& pipeline() const { return *pipeline_; }
  const PipelineShape& shape() const { return shape_; }
  const std::vector<std::string>& sources() const { return sources_; }
  // Mean over the MoE layers and micro-batches; those differ by Longer.
  const ExpertLoad& load() const { return work_.load; }
  // How much longer than BlocksOf a task takes, because in its layers and micro-batch the slowest rank of the
  // experts has more to do than on average; negative where less.
  Seconds Longer(int32_t task) const { return Longer(task, solved_); }
  // What the blocks of a virtual stage do in a phase of the pipeline; of a pair with its backward's blocks.
  BlockTime BlocksOf(int virtual_stage, Phase phase) const { return BlocksOf(virtual_stage, phase, solved_); }
  // First GPU of a stage.
  int RankOfStage(int stage) const;
  // Share of the compute and communication time of the blocks that comes from outside measured ranges.
  double ExtrapolatedFraction() const;

 private:
  struct Kind {
    bool present = false;
    BlockOps ops;
    std::array<CostedOps, kPasses> costed;
    BlockParameters parameters;
    CostedOps grad_reduce, param_gather;
  };
  bool EndsApart() const;
  void PrepareKind(BlockKind kind, OpCosts& costs);
  void SplitStages();
  void PairVirtualStages();
  void CheckHorizon() const;
  void LimitMemory();
  void FixOrder(StepCache& cache);
  void ShareLinks(OpCosts& costs);
  void FindStragglers();
  Seconds Longer(int32_t task, const SolvedBlocks& solved) const;
  std::vector<Time> LongerByTask(const SolvedBlocks& solved) const;
  StageMemory MemoryWithoutActivations(int stage) const;
  SolvedBlocks Solve(const OpTimes& time_of) const;
  std::vector<Time> Durations(const SolvedBlocks& solved, const OpTimes& time_of) const;
  StepSpan SpanOf(const Timing& timing) const;
  Seconds Period(const Timing& timing) const;
  BlockTime BlocksOf(int virtual_stage, Phase phase, const SolvedBlocks& solved) const;
  Seconds TimeIn(const CostedOps& ops, size_t i, const OpTimes& time_of, uint64_t salt) const;
  Seconds Total(const CostedOps& ops, const OpTimes& time_of, uint64_t salt) const;
  Seconds OptimizerTime(int stage, const OpTimes& time_of) const;

  const TrainingRun& run_;
  const TrainingPhase& phase_;
  Work work_;
  std::shared_ptr<const ExpertLoads> loads_;  // none without experts
  // What a pass of a MoE layer takes more than at the mean load, as a part of it; as loads_->at.
  std::array<std::vector<double>, kPasses> excess_;
  // The same summed over the MoE layers of a task, by task; empty where loads are alike.
  std::vector<std::array<double, kPasses>> stragglers_;
  const PipelineSchedule* pipeline_ = nullptr;
  std::array<Kind, kBlockKinds> kinds_;
  std::vector<CostedOps> grad_norm_, optimizer_;  // by stage
  CostedOps send_;
  std::vector<StageBlocks> blocks_of_;  // by virtual stage
  std::vector<OverlappedPair> pairs_;
  std::vector<size_t> pair_of_;  // by virtual stage of the forward
  SolvedBlocks solved_;          // with the median times
  PipelineShape shape_;
  std::shared_ptr<const OrderedStep> order_;
  DurationIndex index_;
  Timing timing_;
  double stretch_ = 1;
  int64_t flows_ = 0;
  std::shared_ptr<const StepFlows> shared_links_;
  std::vector<std::string> sources_;
  std::array<std::array<StageTraffic, kPasses>, kBlockKinds> traffic_{};
  std::array<StageTraffic, kBlockKinds> data_parallel_traffic_{};
  StageTraffic send_traffic_;
  Placement placement_;
};

}  // namespace moecast
