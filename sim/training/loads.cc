#include "sim/training/loads.h"

namespace moecast {

std::vector<ExcessOfTask> ExcessByTask(const Layout& layout, const StepBlocks& blocks,
                                       const ExpertLoads* loads, const TrainingSchedule& schedule) {
  if (!loads || !blocks.Has(BlockKind::kMoe)) return {};
  const auto& excess = blocks.layer(BlockKind::kMoe).excess;
  if (excess[0].empty()) return {};
  std::vector<ExcessOfTask> by_task(schedule.tasks.size());
  for (int stage = 0; stage < layout.map.stages(); ++stage) {
    for (int32_t i = schedule.lane_begin[stage]; i < schedule.lane_begin[stage + 1]; ++i) {
      const Task& task = schedule.tasks[i];
      if (!OfPipeline(task.phase)) continue;
      EachPass(layout, stage, task, [&](const TaskPass& ran) {
        if (ran.block->moe_layer < 0 || ran.pass == Pass::kWeight) return;
        const auto pass = static_cast<size_t>(ran.pass);
        by_task[i][pass] += excess[pass][loads->IndexOf(ran.block->moe_layer, ran.micro_batch)];
      });
    }
  }
  return by_task;
}

Seconds Longer(const ExcessOfTask& excess, std::span<const BlockTime> times) {
  Seconds longer;
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
    longer += times[BlockIds::Of(BlockKind::kMoe, pass)].total * excess[static_cast<size_t>(pass)];
  return longer;
}

std::vector<Time> LongerByTask(std::span<const ExcessOfTask> excess,
                               std::span<const BlockTime> times) {
  std::vector<Time> longer;
  longer.reserve(excess.size());
  for (const ExcessOfTask& of_task : excess) {
    const Seconds s = Longer(of_task, times);
    longer.push_back(s.value < 0 ? Time{} - Time::From(s * -1) : Time::From(s));
  }
  return longer;
}

}  // namespace moecast
