// What plans share, so that a set of them solves each distinct thing once: kernel costs by shape,
// collectives by placement, expert loads by routing, orders by their sizes. A value that the caller
// owns; nothing outside it remembers.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "costmodel/kernel_costs.h"
#include "costmodel/op_cost.h"
#include "sim/routing/routed.h"
#include "sim/training/step_schedule.h"

namespace moecast {

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

class StepCache {
 public:
  // Costs of a plan's ops where the pipeline keeps `copies` of the model. The cache keeps the
  // calibration alive.
  OpCosts& CostsFor(const std::shared_ptr<const Calibration>& calibration, const Cluster& cluster,
                    const Model& model, const Plan& plan, const WholeStep& whole_step, int copies);
  std::shared_ptr<const ExpertLoads> LoadsFor(const RoutingSetup& routing, int layers,
                                              const std::shared_ptr<const RoutingRecord>& record);
  std::shared_ptr<const OrderedStep> OrderFor(const PipelineShape& shape, const Layout& layout,
                                              std::span<const int32_t> pair_of, OrderKey key);

 private:
  struct Kernels {
    std::shared_ptr<const Calibration> calibration;
    std::unique_ptr<KernelCosts> costs;
  };
  struct Placed {
    const Calibration* calibration;
    Parallel parallel;
    int copies;
    Overlap overlap;
    Moe moe;
    WholeStep whole_step;
    std::unique_ptr<Cluster> cluster;
    std::unique_ptr<OpCosts> costs;
  };
  struct Loaded {
    RoutingSetup routing;
    int layers;
    std::shared_ptr<const RoutingRecord> record;
    std::shared_ptr<const ExpertLoads> loads;
  };
  struct Ordered {
    OrderKey key;
    std::shared_ptr<const OrderedStep> order;
  };
  // Few of each, looked through in order. Orders are large: the newest kMostOrders are kept.
  static constexpr size_t kMostOrders = 64;
  std::vector<Kernels> kernels_;
  std::vector<Placed> placed_;
  std::vector<Loaded> loaded_;
  std::deque<Ordered> orders_;
};

}  // namespace moecast
