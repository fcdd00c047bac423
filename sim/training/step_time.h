// How long a prepared step takes, at its median costs or with others.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/training/step.h"

namespace moecast {

// How much faster each resource is. An op takes the time of the one that bounds it; what bounds it
// next is not looked at, so small changes are meant.
struct Speedup {
  double compute = 1;
  double hbm = 1;
  double nvlink = 1;
  double network = 1;
};

// Time from one step to the next: all stages with a barrier at the optimizer, else the longest of
// one stage. On the run's network level at the median times; at others what the medians lose to
// shared links is taken in proportion. Of draws as many as there are (sim/training/step_draws.h).
Seconds StepTime(const Step& step);
Seconds StepTime(const Step& step, const Speedup& speedup);
Seconds StepTime(const Step& step, const OpTimes& time_of);
// With these whole-step effects. REQUIRES: prepared with kernels alone.
Seconds StepTime(const Step& step, const WholeStep& whole_step);

// More than the engine's integer time rounds of a task: it counts picoseconds, and a task's end is
// rounded from a sum of a few times.
inline constexpr Seconds kRoundingOfTask = Microseconds(1e-3);

// A difference of two sums of the engine's times, without what their rounding may make of nothing.
constexpr Seconds AboveRounding(Seconds difference) {
  return difference > kRoundingOfTask ? difference : Seconds(0);
}

// With every collective alone on idle links.
Seconds UncontendedStepTime(const Step& step);
// What sharing adds; nothing below the engine's rounding.
Seconds Contention(const Step& step);

// With blocks that take these times, by number, each collective alone on idle links.
Timing TimingAlone(const Step& step, std::span<const BlockTime> times);

// The part of a Timing that is one step's own, of the stage that takes longest: from where the step
// begins there to where its last task ends and the next step may begin.
struct StepSpan {
  Time begin;
  Time end;
  int32_t last_task = 0;
};

// Whether a stage starts its next step when all are done with this one, not when it is itself.
bool HasBarrier(const Step& step);

// Where a stage's own step begins: with all others where they wait for each other, else so long
// before its first task as the gathers that this one waits for take, one after another on each
// communicator. `timing` has `start` and `end` by task.
template <class AnyTiming>
Time BeginOfStage(const Step& step, const AnyTiming& timing, int stage) {
  if (HasBarrier(step)) return Time{};
  const TrainingSchedule& schedule = step.schedule();
  const int32_t first = schedule.lane_begin[stage];
  Time longest{};
  for (int32_t d = schedule.dependency_begin[first]; d < schedule.dependency_begin[first + 1];
       ++d) {
    const int32_t last = schedule.dependencies[d].task;
    if (schedule.tasks[last].phase != Phase::kParamGather) continue;
    Time gather{};
    for (int32_t i = schedule.lane_begin[schedule.LaneOf(last)]; i <= last; ++i)
      gather += timing.end[i] - timing.start[i];
    longest = std::max(longest, gather);
  }
  return timing.start[first] - longest;
}

template <class AnyTiming>
StepSpan SpanOf(const Step& step, const AnyTiming& timing) {
  StepSpan longest;
  for (int s = 0; s < step.shape.stages; ++s) {
    const int32_t last = step.schedule().lane_begin[s + 1] - 1;
    const Time begin = BeginOfStage(step, timing, s);
    if (timing.end[last] - begin > longest.end - longest.begin)
      longest = {begin, timing.end[last], last};
  }
  return longest;
}

// Share of the compute and communication time of the blocks that comes from outside measured
// ranges.
double ExtrapolatedFraction(const Step& step);

}  // namespace moecast
