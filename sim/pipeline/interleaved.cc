// Interleaved 1F1B (arXiv 2104.04473 section 2.2.2, in the order of Megatron-LM's
// forward_backward_pipelining_with_interleaving): stage s of p holds the v virtual stages s, p + s,
// 2p + s, ... Micro-batches go in groups; a group passes chunk 0, then chunk 1, ..., before the
// next group starts. Stage s of p runs 2 (p - s - 1) + (v - 1) g chunk forwards first, g the size
// of a group, then alternates.
//
// The paper wants micro-batches in whole groups of p. Later versions of Megatron-LM take any groups
// of at least p (microbatch_group_size_per_virtual_pipeline_stage), because a group smaller than p
// starves the next chunk and can even deadlock. We take floor(m / p) groups that differ by one at
// most, the larger first: any number of micro-batches works, the bubble is that of whole groups,
// and the price is that up to (v - 1)(g - p) / v more micro-batches are alive.
#include <algorithm>

#include "sim/pipeline/orders.h"

namespace moecast {
namespace {

int Groups(const PipelineShape& shape) {
  return std::max(1, shape.micro_batches / shape.stages);
}

// The largest group, which is the first.
int GroupSize(const PipelineShape& shape) {
  const int groups = Groups(shape);
  return (shape.micro_batches + groups - 1) / groups;
}

int WarmUp(const PipelineShape& shape, int stage) {
  const int forwards = shape.micro_batches * shape.chunks;
  return std::min(forwards, 2 * (shape.stages - stage - 1) + (shape.chunks - 1) * GroupSize(shape));
}

// The order in which every stage runs the forwards of its chunks.
std::vector<PipelineTask> Forwards(const PipelineShape& shape) {
  std::vector<PipelineTask> forwards;
  forwards.reserve(static_cast<size_t>(shape.micro_batches) * shape.chunks);
  const int groups = Groups(shape), larger = shape.micro_batches % groups;
  for (int g = 0, begin = 0; g < groups; ++g) {
    const int end = begin + shape.micro_batches / groups + (g < larger ? 1 : 0);
    for (int chunk = 0; chunk < shape.chunks; ++chunk)
      for (int i = begin; i < end; ++i)
        forwards.push_back({Phase::kForward, i, static_cast<int16_t>(chunk)});
    begin = end;
  }
  return forwards;
}

}  // namespace

PipelineOrder Interleaved(const PipelineShape& shape) {
  if (shape.chunks == 1)
    return OneFOneB(shape);  // as Megatron-LM does; the warm-up above would hold twice the memory
  const std::vector<PipelineTask> forwards = Forwards(shape);
  const auto backward = [&](size_t k) {  // chunks from the last to the first, else as the forwards
    const PipelineTask& f = forwards[k];
    return PipelineTask{Phase::kFullBackward, f.micro_batch,
                        static_cast<int16_t>(shape.chunks - 1 - f.chunk)};
  };
  PipelineOrder order{.by_stage = std::vector<std::vector<PipelineTask>>(shape.stages)};
  for (int s = 0; s < shape.stages; ++s) {
    const auto warm_up = static_cast<size_t>(WarmUp(shape, s));
    std::vector<PipelineTask>& tasks = order.by_stage[s];
    tasks.reserve(2 * forwards.size());
    tasks.assign(forwards.begin(), forwards.begin() + static_cast<ptrdiff_t>(warm_up));
    for (size_t k = 0; k < forwards.size(); ++k) {
      if (warm_up + k < forwards.size()) tasks.push_back(forwards[warm_up + k]);
      tasks.push_back(backward(k));
    }
  }
  return order;
}

}  // namespace moecast
