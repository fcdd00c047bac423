// What plans share, so that a set of them solves each distinct thing once. Each stage of a step has
// a key of its own, and is made from that key alone: costs by how ranks lie on a cluster, blocks of
// a kind of layer by shard, work and costs, expert loads by routing, orders by sizes, flows by who
// sends. A value that the caller owns; nothing outside it remembers. It takes some 150 MB at most,
// then forgets what was not used for longest. Several threads may prepare steps with one.
#pragma once

#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include "costmodel/op_cost.h"
#include "sim/routing/routed.h"
#include "sim/training/blocks.h"
#include "sim/training/run.h"
#include "sim/training/step_schedule.h"

namespace moecast {

class StepFlows;
struct LayerSetup;
struct StepSenders;
struct UpdateSetup;

// A schedule with its topological order, to be timed any number of times.
struct OrderedStep {
  TrainingSchedule schedule;
  Retimer retimer;
  explicit OrderedStep(TrainingSchedule s) : schedule(std::move(s)), retimer(schedule) {}
};

// What decides the order of a step.
struct OrderKey {
  const PipelineSchedule* pipeline = nullptr;
  int stages = 0, micro_batches = 0, chunks = 0, weight_delay = 0;
  int32_t stands_for = 1;
  StepShape step;
  std::vector<StageBlocks> blocks;  // by virtual stage
  // Where the pipeline's order depends on times: forward, backward, weight and transfer, and the
  // memory that such an order keeps within. Else empty.
  std::vector<Time> times;
  std::vector<double> memory;
  bool operator==(const OrderKey&) const = default;
};
inline auto MembersOf(const OrderKey& key) {
  const auto& [pipeline, stages, micro_batches, chunks, weight_delay, stands_for, step, blocks,
               times, memory] = key;
  return std::tie(pipeline, stages, micro_batches, chunks, weight_delay, stands_for, step, blocks,
                  times, memory);
}

class StepCache {
 public:
  StepCache();
  ~StepCache();
  StepCache(StepCache&&) noexcept;

  // Costs of a run's ops where the pipeline keeps `copies` of the model.
  std::shared_ptr<const OpCosts> CostsFor(const TrainingRun& run, int copies);
  std::shared_ptr<const ExpertLoads> LoadsFor(const RoutingSetup& routing, int layers,
                                              const std::shared_ptr<const RoutingRecord>& record);
  // One value for equal models, which setups of layers refer to.
  std::shared_ptr<const Model> Shared(const Model& model);
  std::shared_ptr<const LayerBlocks> LayerFor(const LayerSetup& setup);
  std::shared_ptr<const StepBlocks::OfStage> UpdateFor(const UpdateSetup& setup);
  std::shared_ptr<const OrderedStep> OrderFor(const PipelineShape& shape, const Layout& layout,
                                              std::span<const int32_t> pair_of, OrderKey key);
  std::shared_ptr<const StepFlows> FlowsFor(const StepSenders& senders,
                                            const std::shared_ptr<const OpCosts>& costs);

 private:
  struct Memos;
  std::unique_ptr<Memos> memos_;
};

}  // namespace moecast
