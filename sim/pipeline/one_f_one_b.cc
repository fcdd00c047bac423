// 1F1B (PipeDream-Flush, arXiv 2006.09503; Megatron-LM's non-interleaved schedule, arXiv 2104.04473
// section 2.2.1). Stage s of p runs p - s - 1 forwards to fill the pipeline behind it, then
// alternates one forward, one backward.
#include <algorithm>

#include "sim/pipeline/orders.h"

namespace moecast {

PipelineOrder WarmUpThenAlternate(const PipelineShape& shape, int depth) {
  const int p = shape.stages, m = shape.micro_batches;
  PipelineOrder order{.by_stage = std::vector<std::vector<PipelineTask>>(p)};
  for (int s = 0; s < p; ++s) {
    const int warm_up = std::min((p - s - 1) * depth, m);
    std::vector<PipelineTask>& tasks = order.by_stage[s];
    tasks.reserve(2 * static_cast<size_t>(m));
    for (int i = 0; i < warm_up; ++i) tasks.push_back({Phase::kForward, i});
    for (int i = 0; i < m; ++i) {
      if (warm_up + i < m) tasks.push_back({Phase::kForward, warm_up + i});
      tasks.push_back({Phase::kFullBackward, i});
    }
  }
  return order;
}

PipelineOrder OneFOneB(const PipelineShape& shape) {
  return WarmUpThenAlternate(shape, 1);
}

}  // namespace moecast
