#include "sim/training/step.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/quantity_text.h"
#include "base/random.h"
#include "sim/network/fluid_network.h"
#include "sim/training/step_on_network.h"

namespace moecast {
namespace {

Op CollectiveOp(OpName name, CollectiveKind kind, GroupKind group, double bytes) {
  return {.name = name, .query = CollectiveQuery{kind, group, Bytes(bytes)}};
}

Seconds Median(const Cost& cost, uint64_t) {
  return cost.time;
}

StageTraffic& operator+=(StageTraffic& a, const StageTraffic& b) {
  a.nvlink += b.nvlink;
  a.network += b.network;
  return a;
}

StageTraffic TrafficOf(std::span<const Op> ops, OpCosts& costs) {
  StageTraffic total;
  for (const Op& op : ops) {
    const auto* query = std::get_if<CollectiveQuery>(&op.query);
    if (!query) continue;
    const PortBytes unit = costs.UnitBytes(*query);
    total += StageTraffic{unit.nvlink * query->bytes.value, unit.network * query->bytes.value};
  }
  return total;
}

CostedOps WithCosts(std::vector<Op> ops, OpCosts& costs) {
  CostedOps costed{.ops = std::move(ops)};
  costed.costs.reserve(costed.ops.size());
  for (const Op& op : costed.ops) costed.costs.push_back(costs.Of(op));
  return costed;
}

// Adam on the device and, of the part whose states are in host memory, on the host (ZeRO-Offload, arXiv
// 2101.06840): gradients come down as they are summed, weights go up as the ranks hold them. Then the FP8
// copies of all weights, where those are held in another format.
std::vector<Op> OptimizerOps(const BlockParameters& held, const Plan& plan, int copies) {
  const Precision& p = plan.precision;
  const double updated = OptimizedParameters(held, plan, copies), on_host = updated * plan.optimizer.offload;
  const double down = on_host * ElementBytes(p.main_grad), up = on_host * ElementBytes(p.weight_format());
  std::vector<Op> ops;
  const auto stream = [&ops](OpName name, ElementwiseKind kind, double bytes) {
    if (bytes > 0) ops.push_back({.name = name, .query = ElementwiseQuery{kind, Bytes(bytes)}});
  };
  const auto host = [&ops](OpName name, HostWork work, double bytes) {
    if (bytes > 0) ops.push_back({.name = name, .query = HostQuery{work, Bytes(bytes)}});
  };
  stream(OpName::kAdam, ElementwiseKind::kOptimizer, (updated - on_host) * AdamBytes(p));
  host(OpName::kGradToHost, HostWork::kCopy, down);
  // Copies beside it do not slow it: Adam on the cores takes less than half of the memory's bandwidth.
  host(OpName::kHostAdam, HostWork::kStream, on_host * AdamBytes(p));
  host(OpName::kWeightsToDevice, HostWork::kCopy, up);
  stream(OpName::kWeightCast, ElementwiseKind::kCast,
         WeightCopyBytes(p) > 0
             ? (held.data + held.expert) * (ElementBytes(p.weight_format()) + WeightCopyBytes(p))
             : 0);
  return ops;
}

// Ops of a block; where none communicates nothing runs beside another, unless the block is half of a pair.
CostedOps BlockWithCosts(std::vector<Op> ops, bool pairs, OpCosts& costs) {
  CostedOps costed = WithCosts(std::move(ops), costs);
  const auto communicates = [](const Op& op) { return op.stream() == Stream::kCommunication; };
  const bool together = pairs || std::any_of(costed.ops.begin(), costed.ops.end(), communicates);
  costed.beside.assign(costed.ops.size(), 1);
  for (size_t i = 0; i < costed.ops.size() && together; ++i)
    costed.beside[i] = costs.Beside(costed.ops[i], costed.costs[i]);
  return costed;
}

// At the median times.
Seconds TimeAlone(const CostedOps& block) {
  std::vector<Seconds> times;
  for (const Cost& cost : block.costs) times.push_back(cost.time);
  return SolveBlock(block, times).total;
}

// Weights or gradients that ZeRO moves in every micro-batch, beside the block's other work: weights for the
// block that comes next, gradients of the one before, so nothing of the block waits for them.
void Prefetch(std::vector<Op>& ops, std::vector<Op> moves) {
  const int16_t n = static_cast<int16_t>(moves.size());
  for (Op& op : ops)
    if (op.after >= 0) op.after = static_cast<int16_t>(op.after + n);
  ops.insert(ops.begin(), moves.begin(), moves.end());
}

}  // namespace

Seconds LaneTime::total() const {
  return blocks.total + contention + grad_reduce + param_gather + grad_norm + optimizer + bubble;
}

PreparedStep::PreparedStep(const TrainingRun& run, const TrainingPhase& phase, StepCache& cache,
                           std::optional<double> stretch)
    : run_(run), phase_(phase), stretch_(stretch.value_or(1)), placement_(PlacementOf(run.plan.parallel)) {
  const Plan& plan = run.plan;
  work_ = {.sequences = plan.micro_batch, .sequence_length = phase.sequence_length, .load = {}};
  if (run.model.moe.experts > 0) {
    loads_ = cache.LoadsFor(RoutingOf(run.model, run.cluster, plan, phase.sequence_length),
                            run.model.layers(LayerKind::kMoe), run.record);
    work_.load = run.even_loads ? EvenOf(loads_->mean) : loads_->mean;
  }
  pipeline_ = FindPipelineSchedule(plan.schedule);
  MOECAST_CHECK(pipeline_ != nullptr);
  shape_.stages = plan.parallel.pp;
  shape_.chunks = plan.parallel.vpp;
  shape_.copies = pipeline_->copies;
  shape_.micro_batches = static_cast<int>(plan.MicroBatches(phase_));
  // A schedule that does not split the backward pass puts nothing off and meets every limit.
  if (pipeline_->splits_weight) shape_.weight_delay = plan.weight_delay.value_or(-1);
  OpCosts& costs =
      cache.CostsFor(run.calibration, run.cluster, run.model, plan, run.whole_step, pipeline_->copies);
  sources_ = costs.sources();
  const std::vector<BlockKind> layers = LayerKinds(run.model);
  PrepareKind(BlockKind::kEmbedding, costs);
  PrepareKind(BlockKind::kHead, costs);
  if (run.model.mtp_layers > 0) PrepareKind(BlockKind::kMtp, costs);
  for (const BlockKind kind : {BlockKind::kDense, BlockKind::kMoe})
    if (std::find(layers.begin(), layers.end(), kind) != layers.end()) PrepareKind(kind, costs);

  const double tokens = static_cast<double>(work_.sequences * work_.sequence_length) / plan.parallel.cp;
  const double shards = plan.parallel.sequence ? plan.parallel.tp : 1;
  send_ = WithCosts({CollectiveOp(OpName::kPipelineSend, CollectiveKind::kSend, GroupKind::kPipelineNext,
                                  plan.parallel.pp > 1 ? tokens / shards * run.model.hidden * 2 : 0)},
                    costs);
  send_traffic_ = TrafficOf(send_.ops, costs);

  SplitStages();
  if (pipeline_->pairs) {
    PairVirtualStages();
    solved_ = Solve(Median);
  }
  const int stages = plan.parallel.pp;
  for (int s = 0; s < stages; ++s) {
    BlockParameters held;
    for (int c = 0; c < shape_.held(); ++c) {
      for (const BlockRun& run_of : blocks_of_[pipeline_->virtual_stage(shape_, s, c)]) {
        const BlockParameters& p = kinds_[static_cast<size_t>(run_of.kind)].parameters;
        held.data += run_of.count * p.data;
        held.expert += run_of.count * p.expert;
      }
    }
    const double updated = OptimizedParameters(held, plan, shape_.copies);
    // The norm reads this rank's reduced gradients; one number is summed over all ranks.
    grad_norm_.push_back(
        WithCosts({{.name = OpName::kGradNorm,
                    .query = ElementwiseQuery{ElementwiseKind::kReduce,
                                              Bytes(updated * ElementBytes(plan.precision.main_grad))}},
                   CollectiveOp(OpName::kGradNorm, CollectiveKind::kAllReduce, GroupKind::kWorld, 4)},
                  costs));
    optimizer_.push_back(WithCosts(OptimizerOps(held, plan, shape_.copies), costs));
  }
  CheckHorizon();
  FixOrder(cache);
  if (!stretch && run_.level != Level::kAnalytic) ShareLinks(costs);
}

void PreparedStep::ShareLinks(OpCosts& costs) {
  StepFlows flows = FlowsOf(*this, costs, StepExtent::kOneGpuPerStage);
  if (!flows.any_shared()) return;
  const Seconds alone = StepTime();
  FluidNetwork network(flows.capacities());
  NetworkedStep step = RunOnNetwork(*this, flows, network);
  shared_links_ = std::make_shared<StepFlows>(std::move(flows));
  timing_ = std::move(step.timing);
  flows_ = step.flows;
  stretch_ = StepTime() / alone;
}

// Whether no stage holds the first and the last piece of the model.
bool PreparedStep::EndsApart() const {
  const auto held = [&](int stage, bool (PipelineShape::*is)(int) const) {
    for (int c = 0; c < shape_.held(); ++c)
      if ((shape_.*is)(pipeline_->virtual_stage(shape_, stage, c))) return true;
    return false;
  };
  for (int s = 0; s < shape_.stages; ++s)
    if (held(s, &PipelineShape::starts_model) && held(s, &PipelineShape::ends_model)) return false;
  return true;
}

void PreparedStep::PrepareKind(BlockKind kind, OpCosts& costs) {
  Kind& k = kinds_[static_cast<size_t>(kind)];
  const Plan& plan = run_.plan;
  k.present = true;
  k.parameters = ParametersOf(kind, run_.model, plan, EndsApart());
  const double grad = ElementBytes(plan.precision.grad_reduce),
               weight = ElementBytes(plan.precision.weight_format());
  const auto moves = [&](CollectiveKind collective, OpName data, OpName expert, double element) {
    std::vector<Op> ops;
    if (k.parameters.data > 0)
      ops.push_back(CollectiveOp(data, collective, GroupKind::kData, k.parameters.data * element));
    if (k.parameters.expert > 0)
      ops.push_back(CollectiveOp(expert, collective, GroupKind::kExpertData, k.parameters.expert * element));
    return ops;
  };
  const auto reduce =
      moves(plan.parallel.zero == 0 ? CollectiveKind::kAllReduce : CollectiveKind::kReduceScatter,
            OpName::kGradReduce, OpName::kExpertGradReduce, grad);
  const auto gather =
      moves(CollectiveKind::kAllGather, OpName::kParamGather, OpName::kExpertParamGather, weight);
  const auto ops_of = [&](const Work& work) {
    BlockOps ops = OpsOf(kind, run_.model, plan, work);
    if (plan.parallel.zero >= 2) Prefetch(ops.pass[static_cast<size_t>(Pass::kWeight)], reduce);
    if (plan.parallel.zero >= 3) {
      Prefetch(ops.pass[static_cast<size_t>(Pass::kForward)], gather);
      Prefetch(ops.pass[static_cast<size_t>(Pass::kBackward)], gather);
    }
    return ops;
  };
  k.ops = ops_of(work_);
  k.grad_reduce = BlockWithCosts(reduce, false, costs);
  k.param_gather = BlockWithCosts(gather, false, costs);
  auto& moved = data_parallel_traffic_[static_cast<size_t>(kind)];
  if (plan.parallel.zero <= 1) moved += TrafficOf(reduce, costs);
  if (plan.parallel.zero == 1 || plan.parallel.zero == 2) moved += TrafficOf(gather, costs);
  for (size_t p = 0; p < kPasses; ++p) {
    k.costed[p] = BlockWithCosts(k.ops.pass[p], pipeline_->pairs, costs);
    traffic_[static_cast<size_t>(kind)][p] = TrafficOf(k.ops.pass[p], costs);
  }
  if (kind != BlockKind::kMoe || run_.even_loads) return;
  // Weight gradients wait for no other rank.
  for (const ExpertLoad& load : loads_->at) {
    Work work = work_;
    work.load = load;
    const BlockOps ops = ops_of(work);
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      const auto p = static_cast<size_t>(pass);
      excess_[p].push_back(TimeAlone(BlockWithCosts(ops.pass[p], false, costs)) / TimeAlone(k.costed[p]) - 1);
    }
  }
}

SolvedBlocks PreparedStep::Solve(const OpTimes& time_of) const {
  SolvedBlocks solved;
  // Of all passes one after another, and where each begins: pairs need them again.
  std::vector<Seconds> times;
  std::array<std::array<size_t, kPasses>, kBlockKinds> begins{};
  for (size_t kind = 0; kind < kBlockKinds; ++kind) {
    if (!kinds_[kind].present) continue;
    for (size_t p = 0; p < kPasses; ++p) {
      const CostedOps& costed = kinds_[kind].costed[p];
      const size_t begin = begins[kind][p] = times.size();
      for (size_t i = 0; i < costed.ops.size(); ++i)
        times.push_back(time_of(costed.costs[i], (kind * kPasses + p) * 4096 + i + 1));
      solved.kinds[kind][p] = SolveBlock(costed, std::span(times).subspan(begin));
    }
  }
  // A kernel takes as long in a pair as it does alone.
  std::vector<Seconds> of_pair;
  for (const OverlappedPair& pair : pairs_) {
    of_pair.clear();
    for (const auto& [kind, pass] : pair.parts) {
      const auto begin = times.begin() + static_cast<std::ptrdiff_t>(
                                             begins[static_cast<size_t>(kind)][static_cast<size_t>(pass)]);
      of_pair.insert(of_pair.end(), begin,
                     begin + static_cast<std::ptrdiff_t>(Costed(kind, pass).ops.size()));
    }
    solved.pairs.push_back(SolveBlock(pair.costed, of_pair));
  }
  return solved;
}

void PreparedStep::SplitStages() {
  const Plan& plan = run_.plan;
  solved_ = Solve(Median);
  std::vector<int> layers = plan.stage_layers.layers;
  if (plan.stage_layers.balanced()) {
    const auto step_of = [&](BlockKind kind) {
      Seconds t;
      for (const BlockTime& b : solved_.kinds[static_cast<size_t>(kind)]) t += b.total;
      return t;
    };
    std::vector<Seconds> times;
    for (const BlockKind kind : LayerKinds(run_.model)) times.push_back(step_of(kind));
    layers = BalancedSplit(times, step_of(BlockKind::kEmbedding),
                           step_of(BlockKind::kHead) + step_of(BlockKind::kMtp) * run_.model.mtp_layers,
                           shape_.pieces());
  }
  const std::vector<StageBlocks> pieces = StagesOf(run_.model, layers);
  for (int copy = 0; copy < shape_.copies; ++copy)
    blocks_of_.insert(blocks_of_.end(), pieces.begin(), pieces.end());
}

BlockTime PreparedStep::BlocksOf(int virtual_stage, Phase phase, const SolvedBlocks& solved) const {
  BlockTime sum;
  const auto add = [&](Pass pass) {
    for (const BlockRun& run : blocks_of_[virtual_stage])
      sum += solved.kinds[static_cast<size_t>(run.kind)][static_cast<size_t>(pass)] * run.count;
  };
  switch (phase) {
    case Phase::kForward:
      add(Pass::kForward);
      break;
    case Phase::kBackward:
    case Phase::kFullBackward:
      add(Pass::kBackward);
      if (phase == Phase::kBackward) break;
      [[fallthrough]];
    case Phase::kWeight:
      add(Pass::kWeight);
      break;
    case Phase::kForwardBackward:
      return solved.pairs[PairOf(virtual_stage)];
    default:
      break;
  }
  return sum;
}

// The integer time of the engine ends; a step that long is a mistake in the plan, and said so before.
void PreparedStep::CheckHorizon() const {
  Seconds sum = send_.costs[0].time * (2.0 * shape_.virtual_stages() * shape_.micro_batches);
  for (const StageBlocks& blocks : blocks_of_) {
    for (const BlockRun& run : blocks) {
      const Kind& k = kinds_[static_cast<size_t>(run.kind)];
      for (const BlockTime& pass : solved_.kinds[static_cast<size_t>(run.kind)])
        sum += pass.total * (1.0 * run.count * shape_.micro_batches);
      sum += (Total(k.grad_reduce, Median, 0) + Total(k.param_gather, Median, 0)) * run.count;
    }
  }
  for (const size_t pair : pair_of_) sum += solved_.pairs[pair].total * (1.0 * shape_.micro_batches);
  for (int s = 0; s < shape_.stages; ++s)
    sum += Total(grad_norm_[s], Median, 0) + Total(optimizer_[s], Median, 0);
  constexpr Seconds kLongest{1e6};
  if (!(sum <= kLongest))
    throw UserError({.file = run_.name,
                     .value = "a step with " + ShowNumber(sum.value) + " s of work",
                     .expected = "at most " + ShowNumber(kLongest.value) + " s over all stages"});
}

void PreparedStep::FixOrder(StepCache& cache) {
  for (int v = 0; v < shape_.virtual_stages(); ++v) {
    shape_.forward.push_back(Time::From(BlocksOf(v, Phase::kForward).total));
    shape_.backward.push_back(Time::From(BlocksOf(v, Phase::kBackward).total));
    shape_.weight.push_back(Time::From(BlocksOf(v, Phase::kWeight).total));
  }
  if (pipeline_->times_matter) LimitMemory();
  shape_.transfer = Time::From(send_.costs[0].time);
  const Plan& plan = run_.plan;
  const bool data_parallel = plan.parallel.dp * plan.parallel.cp * shape_.copies > 1;
  const GradClip clip = plan.optimizer.grad_clip;
  const StepShape step{.reduces = data_parallel && plan.parallel.zero <= 1,
                       .overlap_reduce = plan.overlap.grad_reduce,
                       .gathers = data_parallel && (plan.parallel.zero == 1 || plan.parallel.zero == 2),
                       .overlap_gather = plan.overlap.param_gather,
                       .norm = clip != GradClip::kNone,
                       .norm_is_barrier = clip == GradClip::kBarrier};
  index_ = {shape_.virtual_stages(), shape_.stages};
  const int32_t stands_for = static_cast<int32_t>(plan.parallel.gpus() / plan.parallel.pp);
  order_ = cache.OrderFor(shape_, {.pipeline = pipeline_,
                                   .stages = shape_.stages,
                                   .micro_batches = shape_.micro_batches,
                                   .chunks = shape_.chunks,
                                   .weight_delay = shape_.weight_delay,
                                   .stands_for = stands_for,
                                   .step = step,
                                   .blocks = blocks_of_});
  FindStragglers();
  const Time transfer[] = {shape_.transfer};
  order_->retimer.Run(Durations(solved_, Median), transfer, timing_, LongerByTask(solved_));
}

const CostedOps& PreparedStep::Costed(BlockKind kind, Pass pass) const {
  return kinds_[static_cast<size_t>(kind)].costed[static_cast<size_t>(pass)];
}
const BlockTime& PreparedStep::Solved(BlockKind kind, Pass pass) const {
  return solved_.kinds[static_cast<size_t>(kind)][static_cast<size_t>(pass)];
}

}  // namespace moecast
