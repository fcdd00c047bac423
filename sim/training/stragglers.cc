// What the slowest rank of each MoE layer and micro-batch adds to the tasks of a step. The layer is costed at
// its own load; how much longer its passes take than at the mean load is kept as a part of their time, which
// also holds where costs are drawn anew. Of an overlapped pair both halves' excess is added.
#include "sim/training/step.h"

namespace moecast {

void PreparedStep::FindStragglers() {
  if (excess_[0].empty()) return;
  // First MoE layer of each virtual stage.
  std::vector<int> first;
  int layers = 0;
  for (int v = 0; v < shape_.virtual_stages(); ++v) {
    if (v % shape_.pieces() == 0) layers = 0;  // of the next copy of the model
    first.push_back(layers);
    for (const BlockRun& run : blocks_of_[v]) layers += run.kind == BlockKind::kMoe ? run.count : 0;
  }
  const Schedule& schedule = order_->schedule;
  stragglers_.resize(schedule.tasks.size());
  for (int s = 0; s < shape_.stages; ++s) {
    for (int32_t i = schedule.lane_begin[s]; i < schedule.lane_begin[s + 1]; ++i) {
      const Task& t = schedule.tasks[i];
      if (!OfPipeline(t.phase)) continue;
      EachHalf(t, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
        if (phase == Phase::kWeight) return;
        const auto pass = static_cast<size_t>(phase == Phase::kForward ? Pass::kForward : Pass::kBackward);
        const int v = pipeline_->virtual_stage(shape_, s, chunk);
        int layer = first[v], part = 0;
        for (const BlockKind kind : KindsIn(blocks_of_[v])) {
          const bool runs = t.part < 0 || t.part == part++;
          if (kind != BlockKind::kMoe) continue;
          if (runs) stragglers_[i][pass] += excess_[pass][loads_->IndexOf(layer, micro_batch)];
          ++layer;
        }
      });
    }
  }
}

Seconds PreparedStep::Longer(int32_t task, const SolvedBlocks& solved) const {
  Seconds longer;
  if (stragglers_.empty()) return longer;
  const auto& moe = solved.kinds[static_cast<size_t>(BlockKind::kMoe)];
  for (size_t p = 0; p < kPasses; ++p) longer += moe[p].total * stragglers_[task][p];
  return longer;
}

std::vector<Time> PreparedStep::LongerByTask(const SolvedBlocks& solved) const {
  std::vector<Time> longer(stragglers_.size());
  for (size_t i = 0; i < longer.size(); ++i) {
    const Seconds s = Longer(static_cast<int32_t>(i), solved);
    longer[i] = s.value < 0 ? Time{} - Time::From(s * -1) : Time::From(s);
  }
  return longer;
}

}  // namespace moecast
