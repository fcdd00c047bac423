// ZB-H1 (arXiv 2401.10241 section 2.2): the order of 1F1B with the backward pass split into input gradients
// (B), on which the stage before waits, and weight gradients (W), on which nobody waits. Stage s runs W as
// many backwards late as its index: W of micro-batch i comes after B of micro-batch i + s. Stage s then holds
// p - s micro-batches from F to B and s from B to W: p on every stage, as many as 1F1B holds on stage 0.
//
// A micro-batch may take more memory from B to W than from F to B (an MLA layer with its up-projections
// recomputed keeps their large output gradients). A limit on the delay trades that memory for bubble: stage s
// then runs W min(s, limit) backwards late.
#include <algorithm>

#include "sim/pipeline/orders.h"

namespace moecast {

PipelineOrder ZbH1(const PipelineShape& shape) {
  PipelineOrder order = OneFOneB(shape);
  order.splits_weight = true;
  for (int s = 0; s < shape.stages; ++s) {
    std::vector<PipelineTask> tasks;
    tasks.reserve(3 * static_cast<size_t>(shape.micro_batches));
    int weights = 0;
    const int delay = shape.weight_delay < 0 ? s : std::min(s, shape.weight_delay);
    for (const PipelineTask& task : order.by_stage[s]) {
      tasks.push_back(task);
      if (task.phase == Phase::kBackward && task.micro_batch >= delay)
        tasks.push_back({Phase::kWeight, weights++});
    }
    while (weights < shape.micro_batches) tasks.push_back({Phase::kWeight, weights++});
    order.by_stage[s] = std::move(tasks);
  }
  return order;
}

double ZbH1Peak(const PipelineShape& shape) {
  return std::min(shape.stages, shape.micro_batches);
}

}  // namespace moecast
