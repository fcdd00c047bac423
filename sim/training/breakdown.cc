#include "sim/training/breakdown.h"

#include <algorithm>

#include "sim/training/step_time.h"

namespace moecast {

Seconds LaneTime::total() const {
  return blocks.total + contention + grad_reduce + param_gather + grad_norm + optimizer + bubble;
}

std::vector<LaneTime> LaneTimes(const Step& step) {
  const Schedule& schedule = step.schedule();
  const Timing& timing = step.timing;
  std::vector<LaneTime> lanes;
  std::vector<int> runs(schedule.programs.size());
  for (int s = 0; s < step.shape.stages; ++s) {
    LaneTime lane;
    std::fill(runs.begin(), runs.end(), 0);
    for (int32_t i = schedule.lane_begin[s]; i < schedule.lane_begin[s + 1]; ++i)
      runs[schedule.tasks[i].program] += OfPipeline(schedule.tasks[i].phase);
    for (size_t p = 0; p < runs.size(); ++p)
      if (runs[p] > 0) lane.blocks += TimeOf(schedule.programs[p], step.times) * runs[p];
    for (int32_t i = schedule.lane_begin[s]; i < schedule.lane_begin[s + 1] && !step.excess.empty(); ++i)
      lane.blocks.total += Longer(step.excess[i], step.times);
    // A gap before a task is charged to what ended last of the things it waited for.
    Time previous{}, in_pipeline{};
    for (int32_t i = schedule.lane_begin[s]; i < schedule.lane_begin[s + 1]; ++i) {
      const Time gap = timing.start[i] - previous;
      previous = timing.end[i];
      const Phase phase = schedule.tasks[i].phase;
      if (OfPipeline(phase)) in_pipeline += timing.end[i] - timing.start[i];
      if (phase == Phase::kGradNorm) lane.grad_norm += (timing.end[i] - timing.start[i]).seconds();
      if (phase == Phase::kOptimizer) lane.optimizer += (timing.end[i] - timing.start[i]).seconds();
      if (gap == Time{}) continue;
      Phase cause = Phase::kForward;
      for (int32_t d = schedule.dependency_begin[i]; d < schedule.dependency_begin[i + 1]; ++d) {
        const Dependency& on = schedule.dependencies[d];
        if (step.ArrivalOf(d) == timing.start[i]) cause = schedule.tasks[on.task].phase;
      }
      Seconds& charged = cause == Phase::kGradReduce    ? lane.grad_reduce
                         : cause == Phase::kParamGather ? lane.param_gather
                                                        : lane.bubble;
      charged += gap.seconds();
    }
    if (step.flows > 0) lane.contention = AboveRounding(in_pipeline.seconds() - lane.blocks.total);
    // Without a barrier the lane's step may be shorter than the time of all stages: the rest is no bubble of
    // this step.
    lane.bubble += StepTime(step) - lane.total();
    lanes.push_back(lane);
  }
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
      // Activations to the next virtual stage, gradients to the one before, where they are on another stage.
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
