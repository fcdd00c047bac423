#include "sim/pipeline/v_placement.h"

#include <algorithm>
#include <deque>

#include "base/check.h"

namespace moecast {

std::optional<VOrder> ChooseBySlot(const PipelineShape& shape, const VChoice& choice) {
  const int p = shape.stages;
  const int m = shape.micro_batches;
  const int virtual_stages = 2 * p;
  MOECAST_CHECK(shape.chunks == 2);
  std::vector<int> forwards(static_cast<size_t>(virtual_stages)),
      backwards = forwards;  // by virtual stage: done
  std::vector<VStage> stages(static_cast<size_t>(p));
  std::vector<std::deque<PipelineTask>> weights(static_cast<size_t>(p));
  std::vector<int> first(static_cast<size_t>(p), -1), last = first;
  VOrder out{.order = {.by_stage = std::vector<std::vector<PipelineTask>>(p)}};

  // A virtual stage takes micro-batches in turn, so counts say what is ready.
  const auto look = [&](int s) {
    VStage& stage = stages[s];
    for (int c = 0; c < 2; ++c) {
      const int v = c == 0 ? s : virtual_stages - 1 - s;
      stage.forward_ready[c] = forwards[v] < m && (v == 0 || forwards[v - 1] > forwards[v]);
      stage.backward_ready[c] = backwards[v] < forwards[v] &&
                                (v + 1 == virtual_stages || backwards[v + 1] > backwards[v]);
    }
    stage.weight_pending = !weights[s].empty();
  };
  const auto run = [&](int s, const VTask& chosen) {
    VStage& stage = stages[s];
    PipelineTask task{chosen.phase, 0, static_cast<int16_t>(chosen.chunk)};
    const int c = chosen.chunk, v = c == 0 ? s : virtual_stages - 1 - s;
    if (task.phase == Phase::kWeight) {
      MOECAST_CHECK(stage.weight_pending);
      task = weights[s].front();
      weights[s].pop_front();
      --stage.alive[task.chunk];
    } else if (task.phase == Phase::kForward) {
      MOECAST_CHECK(stage.forward_ready[c]);
      task.micro_batch = stage.forwards[c]++;
      ++forwards[v];
      ++stage.alive[c];
      stage.last = Phase::kForward;
    } else {
      MOECAST_CHECK(stage.backward_ready[c]);
      task.micro_batch = stage.backwards[c]++;
      ++backwards[v];
      weights[s].push_back({Phase::kWeight, task.micro_batch, task.chunk});
      stage.last = Phase::kBackward;
    }
    out.order.by_stage[s].push_back(task);
  };

  int64_t left = int64_t{6} * p * m;
  for (int slot = 0; left > 0; ++slot) {
    for (int s = 0; s < p; ++s)
      look(s);  // all before any runs: a task needs what ended before its slot
    bool progress = false;
    for (int s = 0; s < p; ++s) {
      const std::optional<VTask> chosen = choice(s, stages[s]);
      if (!chosen) continue;
      run(s, *chosen);
      if (first[s] < 0) first[s] = slot;
      last[s] = slot;
      progress = true;
      --left;
    }
    if (!progress) return std::nullopt;
  }
  for (int s = 0; s < p; ++s) out.span = std::max(out.span, last[s] - first[s] + 1);
  return out;
}

}  // namespace moecast
