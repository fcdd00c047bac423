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

Seconds Longer(const ExcessOfTask& excess, std::span<const Seconds, kPasses> of_passes) {
  Seconds longer;
  for (size_t pass = 0; pass < kPasses; ++pass) longer += of_passes[pass] * excess[pass];
  return longer;
}

Seconds Longer(const ExcessOfTask& excess, std::span<const BlockTime> times) {
  std::array<Seconds, kPasses> of_passes;
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
    of_passes[static_cast<size_t>(pass)] = times[BlockIds::Of(BlockKind::kMoe, pass)].total;
  return Longer(excess, of_passes);
}

Time RoundedLonger(Seconds longer) {
  return longer.value < 0 ? Time{} - Time::From(longer * -1) : Time::From(longer);
}

std::vector<Time> LongerByTask(std::span<const ExcessOfTask> excess,
                               std::span<const BlockTime> times) {
  std::vector<Time> longer;
  longer.reserve(excess.size());
  for (const ExcessOfTask& of_task : excess)
    longer.push_back(RoundedLonger(Longer(of_task, times)));
  return longer;
}

}  // namespace moecast
