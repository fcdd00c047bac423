#include "sim/training/step_cache.h"

#include <tuple>

#include "base/memo.h"
#include "sim/training/layer_blocks.h"
#include "sim/training/step_flows.h"

namespace moecast {
namespace {

// Models and clusters are told apart by all they hold; these spread them well enough.
struct OneModel {
  Model model;
  bool operator==(const OneModel&) const = default;
};
auto MembersOf(const OneModel& of) {
  const Model& m = of.model;
  return std::tie(m.name, m.hidden, m.vocab, m.dense_inter, m.moe.experts, m.moe.top_k);
}
struct OneCluster {
  Cluster cluster;
  bool operator==(const OneCluster&) const = default;
};
auto MembersOf(const OneCluster& of) {
  const Cluster& c = of.cluster;
  return std::tie(c.name, c.gpus, c.gpus_per_node, c.nic_usable, c.device.name,
                  c.device.nvlink_usable, c.device.hbm, c.device.bf16_peak, c.network_step, c.cut);
}

// What the costs of ops depend on: of a plan how its ranks lie and what communicates how.
struct PlacedKey {
  std::shared_ptr<const Calibration> calibration;
  std::shared_ptr<const Cluster> cluster;  // one for equal ones, as the model
  std::shared_ptr<const Model> model;
  ShardPlan shard;
  Parallel parallel;
  WholeStep whole_step;
  int copies = 1;
  bool operator==(const PlacedKey&) const = default;
};
auto MembersOf(const PlacedKey& key) {
  const auto& [calibration, cluster, model, shard, parallel, whole_step, copies] = key;
  return std::tie(calibration, cluster, model, shard, parallel, whole_step, copies);
}

// What costs do not look at is left at its default, so that plans which differ in that share them.
Parallel PlacedBy(Parallel parallel) {
  const Parallel any;
  parallel.vpp = any.vpp;
  parallel.zero = any.zero;
  parallel.sequence = any.sequence;
  return parallel;
}
ShardPlan PlacedBy(const ShardPlan& shard) {
  return {.tp = shard.tp,
          .cp = shard.cp,
          .ep = shard.ep,
          .dp = shard.dp,
          .precision = {},
          .overlap = {.tp = shard.overlap.tp, .communication_sms = shard.overlap.communication_sms},
          .collectives = shard.collectives,
          .topk_group = shard.topk_group,
          .recompute = {},
          .whole_experts = shard.whole_experts};
}

// With what the costs refer to.
struct PlacedCosts {
  std::shared_ptr<const KernelCosts> kernels;
  std::shared_ptr<const Cluster> cluster;
  OpCosts costs;

  PlacedCosts(const PlacedKey& key, std::shared_ptr<const KernelCosts> of_kernels)
      : PlacedCosts(key, std::move(of_kernels), PlacementOf(key.parallel)) {}
  PlacedCosts(const PlacedKey& key, std::shared_ptr<const KernelCosts> of_kernels,
              const Placement& placement)
      : kernels(std::move(of_kernels)),
        cluster(key.cluster),
        costs(*kernels, *cluster, key.shard, placement,
              ExpertSpreadOf(*key.model, key.shard, placement, *cluster), key.whole_step,
              key.copies) {}
};

struct KernelsKey {
  std::shared_ptr<const Calibration> calibration;
  bool operator==(const KernelsKey&) const = default;
};
auto MembersOf(const KernelsKey& key) {
  return std::tie(key.calibration);
}
struct CalibratedKernels {
  std::shared_ptr<const Calibration> calibration;
  KernelCosts kernels;
  explicit CalibratedKernels(const KernelsKey& key)
      : calibration(key.calibration), kernels(*calibration) {}
};

struct LoadsKey {
  RoutingSetup routing;
  int layers = 0;
  std::shared_ptr<const RoutingRecord> record;
  bool operator==(const LoadsKey&) const = default;
};
// The rest of the routing spreads them little further.
auto MembersOf(const LoadsKey& key) {
  const RoutingSetup& r = key.routing;
  return std::tie(r.gate.experts, r.gate.top_k, r.sequences, r.length, r.spread.ranks,
                  r.spread.ranks_per_node, r.load.device_cv, r.nvlink, r.network, key.layers,
                  key.record);
}

struct FlowsKey {
  StepSenders senders;
  std::shared_ptr<const OpCosts> costs;
  bool operator==(const FlowsKey&) const = default;
};
auto MembersOf(const FlowsKey& key) {
  return std::tie(key.senders, key.costs);
}

// What values take, in bytes, all but the fixed part of the smaller ones.
template <class T>
size_t BytesOf(const std::vector<T>& list) {
  return list.capacity() * sizeof(T);
}
size_t BytesOf(const ExpertLoads& loads) {
  return sizeof loads + BytesOf(loads.at);
}
size_t BytesOf(const OrderedStep& order) {
  const TrainingSchedule& s = order.schedule;
  size_t bytes = sizeof order + BytesOf(s.lanes) + BytesOf(s.lane_begin) + BytesOf(s.program_of) +
                 BytesOf(s.tasks) + BytesOf(s.dependency_begin) + BytesOf(s.dependencies) +
                 BytesOf(s.programs) + order.retimer.HeldBytes();
  for (const Program& program : s.programs) bytes += BytesOf(program);
  return bytes;
}
size_t BytesOf(const StepBlock& block) {
  const CostedOps& costed = block.costed;
  return BytesOf(costed.ops) + BytesOf(costed.costs) + BytesOf(costed.beside);
}
size_t BytesOf(const LayerBlocks& layer) {
  size_t bytes = sizeof layer + BytesOf(layer.ops.tensors);
  for (const StepBlock& reduce : layer.grad_reduce) bytes += BytesOf(reduce);
  for (const StepBlock& gather : layer.param_gather) bytes += BytesOf(gather);
  for (const std::vector<Op>& ops : layer.ops.pass) bytes += BytesOf(ops);
  for (const StepBlock& pass : layer.passes) bytes += BytesOf(pass);
  for (const std::vector<double>& excess : layer.excess) bytes += BytesOf(excess);
  return bytes;
}
size_t BytesOf(const StepBlocks::OfStage& of_stage) {
  size_t bytes = sizeof of_stage;
  for (const auto& block : {of_stage.grad_norm, of_stage.optimizer})
    bytes += sizeof *block + BytesOf(*block);
  return bytes;
}
size_t BytesOf(const StepFlows& flows) {
  return sizeof flows + flows.HeldBytes();
}

constexpr size_t kMiB = size_t{1} << 20;

}  // namespace

// Orders are large, up to a megabyte each; of the rest a search has some hundreds.
struct StepCache::Memos {
  Memo<OneModel, Model> models{64};
  Memo<OneCluster, Cluster> clusters{64};
  Memo<KernelsKey, CalibratedKernels> kernels{4};
  Memo<PlacedKey, PlacedCosts> placed{1024};
  Memo<LoadsKey, ExpertLoads> loads{16 * kMiB, BytesOf};
  Memo<LayerSetup, LayerBlocks> layers{48 * kMiB, BytesOf};
  Memo<UpdateSetup, StepBlocks::OfStage> updates{4 * kMiB, BytesOf};
  Memo<OrderKey, OrderedStep> orders{48 * kMiB, BytesOf};
  Memo<FlowsKey, StepFlows> flows{16 * kMiB, BytesOf};
};

StepCache::StepCache() : memos_(std::make_unique<Memos>()) {}
StepCache::~StepCache() = default;
StepCache::StepCache(StepCache&&) noexcept = default;

std::shared_ptr<const Model> StepCache::Shared(const Model& model) {
  return memos_->models.Get({model}, [&] { return model; });
}

std::shared_ptr<const OpCosts> StepCache::CostsFor(const TrainingRun& run, int copies) {
  const PlacedKey key{.calibration = run.calibration,
                      .cluster = memos_->clusters.Get({run.cluster}, [&] { return run.cluster; }),
                      .model = Shared(run.model),
                      .shard = PlacedBy(ShardOf(run.plan)),
                      .parallel = PlacedBy(run.plan.parallel),
                      .whole_step = run.whole_step,
                      .copies = copies};
  const auto placed = memos_->placed.Get(key, [&] {
    const KernelsKey of{run.calibration};
    const auto calibrated =
        memos_->kernels.Get(of, [&] { return std::make_shared<const CalibratedKernels>(of); });
    return std::make_shared<const PlacedCosts>(
        key, std::shared_ptr<const KernelCosts>(calibrated, &calibrated->kernels));
  });
  return {placed, &placed->costs};
}

std::shared_ptr<const ExpertLoads> StepCache::LoadsFor(
    const RoutingSetup& routing, int layers, const std::shared_ptr<const RoutingRecord>& record) {
  return memos_->loads.Get({routing, layers, record}, [&] {
    return record ? LoadsOf(routing, *record) : LoadsOf(routing, layers);
  });
}

std::shared_ptr<const LayerBlocks> StepCache::LayerFor(const LayerSetup& setup) {
  return memos_->layers.Get(setup, [&] { return BlocksOfLayer(setup); });
}

std::shared_ptr<const StepBlocks::OfStage> StepCache::UpdateFor(const UpdateSetup& setup) {
  return memos_->updates.Get(setup, [&] { return UpdateBlocks(setup); });
}

std::shared_ptr<const OrderedStep> StepCache::OrderFor(const PipelineShape& shape,
                                                       const Layout& layout,
                                                       std::span<const int32_t> pair_of,
                                                       OrderKey key) {
  if (key.pipeline->times_matter) {
    for (const std::vector<Time>* times : {&shape.forward, &shape.backward, &shape.weight})
      key.times.insert(key.times.end(), times->begin(), times->end());
    key.times.push_back(shape.transfer);
    key.memory = {shape.memory_limit, shape.kept_for_weight};
    for (const std::vector<double>* by_stage : {&shape.stage_limit, &shape.stage_kept_for_weight})
      key.memory.insert(key.memory.end(), by_stage->begin(), by_stage->end());
  }
  return memos_->orders.Get(key, [&] {
    return OrderedStep(BuildStepSchedule(*key.pipeline, shape, key.pipeline->build(shape), layout,
                                         pair_of, key.step, key.stands_for));
  });
}

std::shared_ptr<const StepFlows> StepCache::FlowsFor(const StepSenders& senders,
                                                     const std::shared_ptr<const OpCosts>& costs) {
  return memos_->flows.Get({senders, costs}, [&] { return FlowsOf(senders, *costs); });
}

}  // namespace moecast
