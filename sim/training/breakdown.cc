#include "sim/training/breakdown.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>

#include "base/check.h"
#include "sim/training/step_time.h"

namespace moecast {

Seconds LaneTime::total() const {
  return blocks.total + contention + grad_reduce + param_gather + grad_norm + optimizer + bubble;
}

namespace {

constexpr size_t kPhases = std::size(EnumNames<Phase>::kNames);

// From the beginning of a stage's own step to its end: what the tasks of its compute lane took and
// how long it waited, by the phase of the task and of what it waited for.
struct LanePhases {
  Time begin{};
  Time end{};
  std::array<Time, kPhases> ran{};
  std::array<Time, kPhases> waited{};
};

// What the blocks of a stage's compute lane take alone.
BlockTime BlocksOfLane(const Step& step, int stage) {
  const TrainingSchedule& schedule = step.schedule();
  std::vector<int> runs(schedule.programs.size());
  BlockTime blocks;
  for (int32_t i = schedule.lane_begin[stage]; i < schedule.lane_begin[stage + 1]; ++i) {
    runs[schedule.program_of[i]] += OfPipeline(schedule.tasks[i].phase);
    blocks.total += step.Longer(i);
  }
  for (size_t p = 0; p < runs.size(); ++p)
    if (runs[p] > 0) blocks += TimeOf(schedule.programs[p], step.times) * runs[p];
  return blocks;
}

// A gap before a task is charged to what arrived last of the things it waited for.
Phase CauseOfWait(const Step& step, int32_t task) {
  const TrainingSchedule& schedule = step.schedule();
  std::optional<Phase> cause;
  for (int32_t d = schedule.dependency_begin[task]; d < schedule.dependency_begin[task + 1]; ++d)
    if (step.ArrivalOf(d) == step.timing.start[task])
      cause = schedule.tasks[schedule.dependencies[d].task].phase;
  MOECAST_CHECK(cause.has_value());
  return *cause;
}

LanePhases PhasesOfLane(const Step& step, int stage) {
  const TrainingSchedule& schedule = step.schedule();
  const Timing& timing = step.timing;
  const int32_t first = schedule.lane_begin[stage];
  const int32_t end = schedule.lane_begin[stage + 1];
  LanePhases lane{.begin = BeginOfStage(step, timing, stage), .end = timing.end[end - 1]};
  const auto charge = [](std::array<Time, kPhases>& times, Phase phase, Time time) {
    times[static_cast<size_t>(phase)] += time;
  };
  Time previous = lane.begin;
  // What was before a step without a barrier is another step's; its own wait is for weights alone.
  if (!HasBarrier(step)) {
    previous = timing.start[first];
    charge(lane.waited, Phase::kParamGather, previous - lane.begin);
  }
  for (int32_t i = first; i < end; ++i) {
    if (timing.start[i] > previous)
      charge(lane.waited, CauseOfWait(step, i), timing.start[i] - previous);
    charge(lane.ran, schedule.tasks[i].phase, timing.end[i] - timing.start[i]);
    previous = timing.end[i];
  }
  return lane;
}

}  // namespace

std::vector<LaneTime> LaneTimes(const Step& step) {
  std::vector<LaneTime> lanes;
  const StepSpan span = SpanOf(step, step.timing);
  const Time period = span.end - span.begin;
  Time shortest_wait = period;
  for (int s = 0; s < step.shape.stages; ++s) {
    const LanePhases phases = PhasesOfLane(step, s);
    const auto ran = [&](Phase p) { return phases.ran[static_cast<size_t>(p)].seconds(); };
    const auto waited = [&](Phase p) { return phases.waited[static_cast<size_t>(p)].seconds(); };
    // A stage whose step is shorter than the longest one's waits for it before the next.
    const Time after = period - (phases.end - phases.begin);
    shortest_wait = std::min(shortest_wait, after);
    LaneTime lane{.blocks = BlocksOfLane(step, s),
                  .grad_reduce = waited(Phase::kGradReduce),
                  .param_gather = waited(Phase::kParamGather),
                  .grad_norm = ran(Phase::kGradNorm),
                  .optimizer = ran(Phase::kOptimizer),
                  .contention = {},
                  .bubble = waited(Phase::kGradNorm) + waited(Phase::kOptimizer) + after.seconds()};
    Seconds in_pipeline;
    for (int p = 0; p < kPipelinePhases; ++p) {
      lane.bubble += waited(static_cast<Phase>(p));
      in_pipeline += ran(static_cast<Phase>(p));
    }
    // Where no network was run, what its links cost another step is taken over in proportion.
    lane.contention = step.flows > 0 ? AboveRounding(in_pipeline - lane.blocks.total)
                                     : StepTime(step) - UncontendedStepTime(step);
    const int32_t tasks = step.schedule().lane_begin[s + 1] - step.schedule().lane_begin[s];
    MOECAST_CHECK(std::abs((StepTime(step) - lane.total()).value) < kRoundingOfTask.value * tasks);
    lanes.push_back(lane);
  }
  MOECAST_CHECK(shortest_wait == Time{});  // the longest stage waits for none
  return lanes;
}

std::vector<SentBytes> TrafficByStage(const Step& step) {
  const double m = step.shape.micro_batches_each();
  const PieceMap& map = step.layout.map;
  std::vector<SentBytes> stages;
  for (int s = 0; s < step.shape.stages; ++s) {
    SentBytes sent;
    const auto add = [&](const SentBytes& t, double times) {
      sent.nvlink += t.nvlink * times;
      sent.network += t.network * times;
    };
    const std::span<const int> held = map.Held(s);
    for (const int v : held) {
      for (const BlockRun& run : step.layout.runs[v]) {
        const LayerBlocks& layer = step.blocks.layer(run.kind);
        for (const StepBlock& pass : layer.passes) add(pass.sent, run.count * m);
        add(layer.data_parallel, run.count);
      }
      // Activations to the next virtual stage, gradients to the one before, where they are on
      // another stage.
      for (const int neighbour : {v - 1, v + 1}) {
        const bool there = neighbour < v ? !map.starts_model(v) : !map.ends_model(v);
        if (there && std::find(held.begin(), held.end(), neighbour) == held.end())
          add(step.blocks.send.sent, m);
      }
    }
    stages.push_back(sent);
  }
  return stages;
}

}  // namespace moecast
