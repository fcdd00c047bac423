#include "sim/pipeline/timeline.h"

#include "base/check.h"

namespace moecast {

namespace {

// Of two tasks of which one waits for the other: a forward waits for the same micro-batch's
// forward.
bool CarriesActivations(const Task& from, const Task& to) {
  const auto forward = [](const Task& t) {
    return t.phase == Phase::kForward || t.phase == Phase::kForwardBackward ? t.micro_batch : -1;
  };
  return forward(from) >= 0 && forward(from) == forward(to);
}

}  // namespace

std::string TaskName(const Task& task) {
  if (!OfPipeline(task.phase)) return std::string(NameOf(task.phase));
  std::string name;
  EachHalf(task, [&](Phase phase, int32_t micro_batch, int16_t) {
    constexpr const char* kLetters[] = {"F ", "B ", "W ", "BW "};
    name += (name.empty() ? "" : " + ") + std::string(kLetters[static_cast<size_t>(phase)]) +
            std::to_string(micro_batch);
  });
  return name;
}

void AddSends(const TrainingSchedule& schedule, const std::vector<int32_t>& span_of,
              Timeline& timeline) {
  const int32_t activations = timeline.names.IndexOf("send activations");
  const int32_t gradients = timeline.names.IndexOf("send gradients");
  for (size_t i = 0; i < schedule.tasks.size(); ++i)
    for (int32_t d = schedule.dependency_begin[i]; d < schedule.dependency_begin[i + 1]; ++d)
      if (const Dependency& on = schedule.dependencies[d]; on.transfer >= 0)
        timeline.flows.push_back({span_of[on.task], span_of[i],
                                  CarriesActivations(schedule.tasks[on.task], schedule.tasks[i])
                                      ? activations
                                      : gradients});
}

Timeline TimelineOf(const TrainingSchedule& lowered, const Timing& timing) {
  Timeline timeline;
  timeline.spans.reserve(lowered.tasks.size());
  std::vector<int32_t> span_of;
  for (size_t l = 0; l < lowered.lanes.size(); ++l) {
    const Lane& lane = lowered.lanes[l];
    timeline.processes.push_back({.id = lane.rank,
                                  .name = "stage " + std::to_string(lane.rank),
                                  .stands_for = lane.stands_for});
    timeline.tracks.push_back({.process = static_cast<int32_t>(l),
                               .thread = 1 + static_cast<int32_t>(lane.stream),
                               .name = std::string(NameOf(lane.stream))});
    for (int32_t i = lowered.lane_begin[l]; i < lowered.lane_begin[l + 1]; ++i) {
      const Task& task = lowered.tasks[i];
      timeline.tasks.push_back({.phase = timeline.names.IndexOf(NameOf(task.phase)),
                                .micro_batch = task.micro_batch,
                                .chunk = task.chunk});
      span_of.push_back(static_cast<int32_t>(timeline.spans.size()));
      timeline.spans.push_back({.start = timing.start[i],
                                .end = timing.end[i],
                                .track = static_cast<int32_t>(l),
                                .name = timeline.names.IndexOf(TaskName(task)),
                                .task = static_cast<int32_t>(i)});
    }
  }
  AddSends(lowered, span_of, timeline);
  return timeline;
}

}  // namespace moecast
