// Orders of two chunks a stage in V placement (arXiv 2405.15362): chunk 0 of stage s of p is
// virtual stage s, chunk 1 is 2 p - 1 - s. They are found in slots of one task each, as if F, B and
// W of a chunk took the same time and transfers none; the times of a shape do not change them.
#pragma once

#include <array>
#include <functional>
#include <optional>

#include "sim/pipeline/pipeline.h"

namespace moecast {

// What a stage can choose from for its next slot.
struct VStage {
  std::array<bool, 2> forward_ready{},
      backward_ready{};                        // by chunk: what it needs ended before this slot
  std::array<int, 2> forwards{}, backwards{};  // by chunk: done, so also the next micro-batch
  std::array<int, 2> alive{};                  // by chunk, from F to W
  bool weight_pending = false;
  Phase last = Phase::kBackward;  // of its forwards and backwards the last one

  int alive_chunks() const { return alive[0] + alive[1]; }
};

struct VTask {
  Phase phase = Phase::kForward;
  int chunk = 0;  // of kWeight not used: the oldest pending one
};
// The task for a stage's slot, one of those ready or pending, or nothing.
using VChoice = std::function<std::optional<VTask>(int stage, const VStage&)>;

struct VOrder {
  PipelineOrder order;
  int span = 0;  // slots from the first to the last task of a stage, the most over stages
};

// Nothing where the choices leave every stage waiting for another. REQUIRES: 2 chunks.
std::optional<VOrder> ChooseBySlot(const PipelineShape& shape, const VChoice& choice);

}  // namespace moecast
