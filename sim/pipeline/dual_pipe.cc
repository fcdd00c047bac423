// DualPipe (arXiv 2412.19437 section 3.2.1, in the order of DeepSeek's DualPipe repository): two
// copies of the model, one laid down the stages and one up, so that stage s of p holds pieces s and
// p - 1 - s. Half the micro-batches enter at each end. What a stage and its mirror hold is what one
// stage of DualPipeV holds with p / 2 stages, and they run its order: each takes its own direction,
// the one that enters at the nearer end, for chunk 0 of that V.
#include <algorithm>
#include <utility>

#include "sim/pipeline/orders.h"

namespace moecast {

PipelineOrder DualPipe(const PipelineShape& shape) {
  const int p = shape.stages, each = shape.micro_batches_each();
  PipelineOrder order;
  for (int s = 0; s < p; ++s) {
    std::vector<PipelineTask> tasks = FoldedTasks(p / 2, std::min(s, p - 1 - s), each);
    const auto to_copy = [&](int16_t& chunk, int32_t& micro_batch) {
      if (s >= p / 2) chunk = static_cast<int16_t>(1 - chunk);
      micro_batch += chunk * each;
    };
    for (PipelineTask& t : tasks) {
      to_copy(t.chunk, t.micro_batch);
      if (t.phase == Phase::kForwardBackward) to_copy(t.backward_chunk, t.backward_micro_batch);
    }
    order.by_stage.push_back(std::move(tasks));
  }
  LimitWeightDelay(shape, order);
  return order;
}

}  // namespace moecast
