// Where weight gradients go in the order of a stage.
#include <algorithm>
#include <deque>

#include "sim/pipeline/orders.h"

namespace moecast {

void SplitWeights(const PipelineShape& shape, int depth, PipelineOrder& order) {
  for (int s = 0; s < shape.stages; ++s) {
    std::vector<PipelineTask> tasks;
    tasks.reserve(3 * static_cast<size_t>(shape.micro_batches));
    int weights = 0;
    for (const PipelineTask& task : order.by_stage[s]) {
      const bool backward = task.phase == Phase::kFullBackward;
      tasks.push_back({backward ? Phase::kBackward : task.phase, task.micro_batch});
      if (backward && task.micro_batch >= s * depth) tasks.push_back({Phase::kWeight, weights++});
    }
    while (weights < shape.micro_batches) tasks.push_back({Phase::kWeight, weights++});
    order.by_stage[s] = std::move(tasks);
  }
  LimitWeightDelay(shape, order);
}

void LimitWeightDelay(const PipelineShape& shape, PipelineOrder& order) {
  if (shape.weight_delay < 0) return;
  const size_t most = static_cast<size_t>(shape.weight_delay) * static_cast<size_t>(shape.chunks);
  for (std::vector<PipelineTask>& tasks : order.by_stage) {
    std::deque<PipelineTask> due;
    std::vector<PipelineTask> limited;
    limited.reserve(tasks.size());
    for (const PipelineTask& task : tasks) {
      if (task.phase == Phase::kWeight) {
        const auto place = std::find(due.begin(), due.end(), task);
        if (place == due.end()) continue;  // moved
        due.erase(place);
      }
      limited.push_back(task);
      if (task.phase != Phase::kBackward) continue;
      due.push_back({Phase::kWeight, task.micro_batch, task.chunk});
      for (; due.size() > most; due.pop_front()) limited.push_back(due.front());
    }
    tasks = std::move(limited);
  }
}

}  // namespace moecast
