#include "sim/training/step_cache.h"

namespace moecast {

OpCosts& StepCache::CostsFor(const std::shared_ptr<const Calibration>& calibration,
                             const Cluster& cluster, const Model& model, const Plan& plan,
                             const WholeStep& whole_step, int copies) {
  for (Placed& p : placed_)
    if (p.calibration == calibration.get() && p.parallel == plan.parallel && p.copies == copies &&
        p.overlap == plan.overlap && p.collectives == plan.collectives &&
        p.moe == RoutedBy(plan.routing.topk_group, model.moe) && p.whole_step == whole_step &&
        *p.cluster == cluster)
      return *p.costs;
  KernelCosts* kernels = nullptr;
  for (Kernels& k : kernels_)
    if (k.calibration == calibration) kernels = k.costs.get();
  if (!kernels) {
    kernels_.push_back({calibration, std::make_unique<KernelCosts>(*calibration)});
    kernels = kernels_.back().costs.get();
  }
  auto owned = std::make_unique<Cluster>(cluster);
  const ShardPlan shard = ShardOf(plan);
  const Placement placement = PlacementOf(plan.parallel);
  auto costs = std::make_unique<OpCosts>(*kernels, *owned, shard, placement,
                                         ExpertSpreadOf(model, shard, placement, *owned),
                                         whole_step, copies);
  placed_.push_back({calibration.get(), plan.parallel, copies, plan.overlap, plan.collectives,
                     RoutedBy(plan.routing.topk_group, model.moe), whole_step, std::move(owned),
                     std::move(costs)});
  return *placed_.back().costs;
}

std::shared_ptr<const ExpertLoads> StepCache::LoadsFor(
    const RoutingSetup& routing, int layers, const std::shared_ptr<const RoutingRecord>& record) {
  for (const Loaded& l : loaded_)
    if (l.routing == routing && l.layers == layers && l.record == record) return l.loads;
  loaded_.push_back({routing, layers, record,
                     std::make_shared<const ExpertLoads>(record ? LoadsOf(routing, *record)
                                                                : LoadsOf(routing, layers))});
  return loaded_.back().loads;
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
  for (const Ordered& o : orders_)
    if (o.key == key) return o.order;
  auto order = std::make_shared<const OrderedStep>(BuildStepSchedule(
      *key.pipeline, shape, key.pipeline->build(shape), layout, pair_of, key.step, key.stands_for));
  if (orders_.size() == kMostOrders) orders_.pop_front();
  orders_.push_back({std::move(key), order});
  return order;
}

}  // namespace moecast
