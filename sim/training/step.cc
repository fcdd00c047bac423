#include "sim/training/step.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/quantity_text.h"
#include "sim/training/layer_blocks.h"
#include "sim/training/step_links.h"
#include "sim/training/step_time.h"

namespace moecast {
namespace {

PipelineShape SizesOf(const Plan& plan, const TrainingPhase& phase,
                      const PipelineSchedule& pipeline) {
  PipelineShape shape;
  shape.stages = plan.parallel.pp;
  shape.chunks = plan.parallel.vpp;
  shape.copies = pipeline.copies;
  shape.micro_batches = static_cast<int>(plan.MicroBatches(phase));
  // A schedule that does not split the backward pass puts nothing off and meets every limit.
  if (pipeline.splits_weight) shape.weight_delay = plan.weight_delay.value_or(-1);
  return shape;
}

std::vector<BlockKind> KindsOf(const Model& model) {
  std::vector<BlockKind> kinds = {BlockKind::kEmbedding, BlockKind::kHead};
  if (model.mtp_layers > 0) kinds.push_back(BlockKind::kMtp);
  const std::vector<BlockKind> layers = LayerKinds(model);
  for (const BlockKind kind : {BlockKind::kDense, BlockKind::kMoe})
    if (std::find(layers.begin(), layers.end(), kind) != layers.end()) kinds.push_back(kind);
  return kinds;
}

// The layers of each piece of the model: the plan's, or the split that makes the slowest piece as
// fast as possible.
std::vector<int> SplitOf(const TrainingRun& run, const StepBlocks& blocks, int pieces) {
  if (!run.plan.stage_layers.balanced()) return run.plan.stage_layers.layers;
  const auto all_passes = [&](BlockKind kind) {
    Seconds t;
    if (blocks.Has(kind))
      for (const StepBlock& pass : blocks.layer(kind).passes) t += pass.alone.total;
    return t;
  };
  std::array<Seconds, kBlockKinds> of_kind;
  for (int k = 0; k < kBlockKinds; ++k) of_kind[k] = all_passes(static_cast<BlockKind>(k));
  const auto time_of = [&](BlockKind kind) { return of_kind[static_cast<size_t>(kind)]; };
  std::vector<Seconds> times;
  for (const BlockKind kind : LayerKinds(run.model)) times.push_back(time_of(kind));
  return BalancedSplit(times, time_of(BlockKind::kEmbedding),
                       time_of(BlockKind::kHead) + time_of(BlockKind::kMtp) * run.model.mtp_layers,
                       pieces);
}

// What the passes compute again an update does not look at: plans that differ in that share it.
void AddUpdates(Step& step, const ShardPlan& shard, StepCache& cache) {
  const Plan& plan = step.plan();
  UpdateSetup setup{.held = {},
                    .shard = shard,
                    .offload_overlaps = plan.overlap.offload && plan.optimizer.offload > 0,
                    .copies = step.shape.copies,
                    .costs = step.costs};
  setup.shard.recompute = {};
  for (int stage = 0; stage < step.shape.stages; ++stage) {
    const BlockParameters before = std::exchange(setup.held, {});
    for (const int v : step.layout.map.Held(stage)) {
      for (const BlockRun& run : step.layout.runs[v]) {
        const BlockParameters& one = step.blocks.layer(run.kind).parameters;
        setup.held.data += run.count * one.data;
        setup.held.expert += run.count * one.expert;
      }
    }
    auto& of_stages = step.blocks.of_stages;
    of_stages.push_back(stage > 0 && setup.held == before ? of_stages.back()
                                                          : *cache.UpdateFor(setup));
  }
}

// The integer time of the engine ends; a step that long is a mistake in the plan, and said so
// before.
void CheckHorizon(const Step& step) {
  const PipelineShape& shape = step.shape;
  Seconds sum = step.blocks.send.alone.total * (2.0 * shape.virtual_stages() * shape.micro_batches);
  for (const StageBlocks& runs : step.layout.runs) {
    for (const BlockRun& run : runs) {
      const LayerBlocks& layer = step.blocks.layer(run.kind);
      for (const StepBlock& pass : layer.passes)
        sum += pass.alone.total * (1.0 * run.count * shape.micro_batches);
      for (int g = 0; g < kDataGroups; ++g)
        sum += (layer.grad_reduce[g].alone.total + layer.param_gather[g].alone.total) * run.count;
    }
  }
  for (const int32_t pair : step.blocks.pair_of)
    sum += step.blocks.pairs[pair].alone.total * (1.0 * shape.micro_batches);
  for (const StepBlocks::OfStage& stage : step.blocks.of_stages)
    sum += stage.grad_norm->alone.total + stage.optimizer->alone.total;
  constexpr Seconds kLongest{1e6};
  if (!(sum <= kLongest))
    throw UserError({.file = step.run->name,
                     .value = "a step with " + ShowNumber(sum.value) + " s of work",
                     .expected = "at most " + ShowNumber(kLongest.value) + " s over all stages"});
}

// What the order of the tasks may depend on.
void AddTimes(Step& step) {
  const auto time_of = [&](int v, Phase phase) {
    Seconds total;
    for (const ProgramStep& part : ProgramOf(step.layout.runs[v], phase))
      total += step.times[part.block].total * part.times;
    return Time::From(total);
  };
  for (int v = 0; v < step.shape.virtual_stages(); ++v) {
    step.shape.forward.push_back(time_of(v, Phase::kForward));
    step.shape.backward.push_back(time_of(v, Phase::kBackward));
    step.shape.weight.push_back(time_of(v, Phase::kWeight));
  }
  step.shape.transfer = Time::From(step.blocks.send.alone.total);
  if (step.pipeline->times_matter)
    LimitMemory(*step.run, step.layout, step.blocks, step.memory, step.shape);
}

std::shared_ptr<const OrderedStep> OrderOf(const Step& step, StepCache& cache) {
  const Plan& plan = step.plan();
  const bool data_parallel = ReducesGradients(ShardOf(plan), step.shape.copies);
  const int zero = plan.parallel.zero;
  const GradClip clip = plan.optimizer.grad_clip;
  StepShape around = {.reduces = data_parallel && zero <= 1,
                      .overlap_reduce = plan.overlap.grad_reduce,
                      .gathers = data_parallel && (zero == 1 || zero == 2),
                      .overlap_gather = plan.overlap.param_gather,
                      .norm = clip != GradClip::kNone,
                      .norm_is_barrier = clip == GradClip::kBarrier};
  for (size_t kind = 0; kind < kBlockKinds; ++kind)
    if (const auto& layer = step.blocks.layers[kind])
      around.experts[kind] = layer->parameters.expert > 0;
  return cache.OrderFor(
      step.shape, step.layout, step.blocks.pair_of,
      {.pipeline = step.pipeline,
       .stages = step.shape.stages,
       .micro_batches = step.shape.micro_batches,
       .chunks = step.shape.chunks,
       .weight_delay = step.shape.weight_delay,
       .stands_for = static_cast<int32_t>(plan.parallel.gpus() / plan.parallel.pp),
       .step = around,
       .blocks = step.layout.runs,
       .times = {},
       .memory = {}});
}

// Times the step on its network level.
void ShareLinks(Step& step, StepCache& cache) {
  const std::shared_ptr<const StepFlows> flows =
      cache.FlowsFor(SendersOf(step, StepExtent::kOneGpuPerStage), step.costs);
  if (!flows->any_shared()) return;
  const Seconds alone = StepTime(step);
  NetworkedTiming run = RunShared(Linked(step, *flows), flows->capacities());
  step.shared_links = flows;
  step.timing = std::move(run.timing);
  step.flows = run.flows;
  step.stretch = StepTime(step) / alone;
}

}  // namespace

int Step::RankOfStage(int stage) const {
  RankCoordinates c;
  c[Axis::kPp] = stage;
  return placement.GpuOf(c);
}

Step PrepareStep(std::shared_ptr<const TrainingRun> of, const TrainingPhase& phase,
                 StepCache& cache, std::optional<double> stretch) {
  const TrainingRun& run = *of;
  const Plan& plan = run.plan;
  Step step{.run = std::move(of), .placement = PlacementOf(plan.parallel)};
  step.stretch = stretch.value_or(1);
  step.pipeline = FindPipelineSchedule(plan.schedule);
  MOECAST_CHECK(step.pipeline != nullptr);
  step.shape = SizesOf(plan, phase, *step.pipeline);
  const int copies = step.shape.copies;

  step.costs = cache.CostsFor(run, copies);
  const OpCosts& costs = *step.costs;
  step.sources = costs.sources();
  std::shared_ptr<const ExpertLoads> loads;  // none without experts
  step.work = MicroBatchOf(plan.micro_batch, phase.sequence_length);
  if (run.model.moe.experts > 0) {
    loads = cache.LoadsFor(
        RoutingOf(run.model, run.cluster, plan, costs.spread(), phase.sequence_length),
        run.model.layers(LayerKind::kMoe), run.record);
    step.work.load = run.even_loads ? EvenOf(loads->mean) : loads->mean;
  }
  if (run.even_loads) loads = nullptr;

  const PieceMap map(*step.pipeline, step.shape);
  LayerSetup setup{.kind = {},
                   .model = cache.Shared(run.model),
                   .shard = ShardOf(plan),
                   .work = {},
                   .loads = {},
                   .ends_apart = map.EndsApart(),
                   .overlaps_passes = step.pipeline->pairs,
                   .costs = step.costs};
  for (const BlockKind kind : KindsOf(run.model)) {
    setup.kind = kind;
    setup.loads = kind == BlockKind::kMoe ? loads : nullptr;
    setup.work = step.work;
    const bool routes = kind == BlockKind::kMoe || kind == BlockKind::kMtp;
    if (!routes) setup.work.load = {};
    step.blocks.layers[static_cast<size_t>(kind)] = cache.LayerFor(setup);
  }
  step.blocks.send = SendBlock(run, step.work, costs);
  step.layout = LayoutOf(map, StagesOf(run.model, SplitOf(run, step.blocks, map.pieces())));
  AddUpdates(step, setup.shard, cache);
  if (step.pipeline->pairs) PairVirtualStages(step.layout, step.blocks);
  step.times = MedianTimes(step.blocks);
  CheckHorizon(step);

  step.memory = MemoryWithoutActivations(run, step.work, step.layout, step.blocks, copies);
  AddTimes(step);
  step.order = OrderOf(step, cache);
  const std::vector<Bytes> activations = PeakActivations(step.layout, step.blocks, step.schedule());
  for (size_t s = 0; s < activations.size(); ++s) step.memory[s].activations = activations[s];

  step.excess = ExcessByTask(step.layout, step.blocks, loads.get(), step.schedule());
  step.timing = TimingAlone(step, step.times);
  if (!stretch && run.level != Level::kAnalytic) ShareLinks(step, cache);
  return step;
}

}  // namespace moecast
