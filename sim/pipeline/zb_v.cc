// ZB-V (arXiv 2405.15362, where it is V-ZB): V placement in the memory of 1F1B. A stage takes
// forwards and backwards in turn, so that neither direction starves; of two ready forwards that of
// chunk 1, which leads to a backward sooner, of two backwards that of chunk 0, which ends a
// micro-batch. Weight gradients run where nothing else is ready, and where a forward waits for
// memory.
//
// The paper gives the building block that repeats and reorders the fill and the drain by a search
// that it does not specify. Ours holds at most p + 1 micro-batches until W ends, p of them until B
// ends, and tries how many places of memory forwards of chunk 0 leave to those of chunk 1.
#include <algorithm>
#include <initializer_list>

#include "base/check.h"
#include "sim/pipeline/orders.h"
#include "sim/pipeline/v_placement.h"

namespace moecast {
namespace {

std::optional<VTask> TakeTurns(const VStage& stage, int most_alive, int reserved) {
  std::optional<VTask> forward, backward, weight;
  bool waits_for_memory = false;
  for (int c = 0; c < 2; ++c) {
    if (stage.backward_ready[1 - c]) backward = VTask{Phase::kBackward, 1 - c};
    if (!stage.forward_ready[c]) continue;
    if (stage.alive_chunks() < most_alive - (c == 0 ? reserved : 0))
      forward = VTask{Phase::kForward, c};
    else
      waits_for_memory = true;
  }
  if (stage.weight_pending) weight = VTask{Phase::kWeight};
  const auto first_of = [](std::initializer_list<std::optional<VTask>> tasks) {
    for (const std::optional<VTask>& task : tasks)
      if (task) return task;
    return std::optional<VTask>();
  };
  if (stage.last == Phase::kForward) return first_of({backward, forward, weight});
  return first_of({forward, waits_for_memory ? weight : std::nullopt, backward, weight});
}

}  // namespace

PipelineOrder ZbV(const PipelineShape& shape) {
  const int most_alive = 2 * shape.stages + 2;
  VOrder best;
  for (int reserved = 1; reserved <= std::min(4, most_alive - 1); ++reserved) {
    std::optional<VOrder> tried = ChooseBySlot(
        shape, [&](int, const VStage& stage) { return TakeTurns(stage, most_alive, reserved); });
    MOECAST_CHECK(tried.has_value());  // a place is left for the oldest micro-batch on its way back
    if (best.span == 0 || tried->span < best.span) best = std::move(*tried);
  }
  LimitWeightDelay(shape, best.order);
  return best.order;
}

}  // namespace moecast
