// What the tests of a step's laws ask of it, in plain values: the one place that knows how a
// prepared step keeps its blocks, and how it numbers the ops whose times are drawn.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "scenarios/scenario.h"
#include "sim/forecast/prepared_run.h"
#include "sim/training/breakdown.h"
#include "sim/training/step_schedule.h"

namespace moecast {

// A run of one phase, every collective alone, without unknowns.
inline TrainingRun RunAlone(const std::string& scenario, std::vector<std::string> sets) {
  sets.insert(sets.begin(), "unknown={}");
  TrainingRun run = Scenario::Load(scenario, sets).training().phases.front();
  run.level = Level::kAnalytic;
  return run;
}

// Of one stage: times of a micro-batch's passes through its blocks, of what data parallelism moves
// for all of them on the communicator that takes longest, and where its time goes.
struct StageProbe {
  Seconds forward, backward, weight;
  Seconds reduce, gather;
  LaneTime lane;
  StageMemory memory;
};

struct StepProbe {
  Seconds time;
  int micro_batches = 0;
  std::vector<StageProbe> stages;
};

inline StepProbe Probe(const Step& step) {
  StepProbe probe{.time = StepTime(step), .micro_batches = step.shape.micro_batches, .stages = {}};
  const std::vector<LaneTime> lanes = LaneTimes(step);
  const std::vector<StageMemory> memory = step.memory;
  for (int s = 0; s < step.shape.stages; ++s) {
    StageProbe stage{.forward = {},
                     .backward = {},
                     .weight = {},
                     .reduce = {},
                     .gather = {},
                     .lane = lanes[s],
                     .memory = memory[s]};
    std::array<Seconds, kDataGroups> reduce, gather;
    for (const int v : step.layout.map.Held(s)) {
      const auto blocks = [&](Phase phase) {
        return TimeOf(ProgramOf(step.layout.runs[v], phase), step.times).total;
      };
      stage.forward += blocks(Phase::kForward);
      stage.backward += blocks(Phase::kBackward);
      stage.weight += blocks(Phase::kWeight);
      for (const BlockRun& run : step.layout.runs[v]) {
        const LayerBlocks& layer = step.blocks.layer(run.kind);
        for (size_t g = 0; g < kDataGroups; ++g) {
          for (const Cost& cost : layer.grad_reduce[g].costed.costs)
            reduce[g] += cost.time * run.count;
          for (const Cost& cost : layer.param_gather[g].costed.costs)
            gather[g] += cost.time * run.count;
        }
      }
    }
    stage.reduce = *std::max_element(reduce.begin(), reduce.end());
    stage.gather = *std::max_element(gather.begin(), gather.end());
    probe.stages.push_back(stage);
  }
  return probe;
}

inline StepProbe Probe(const std::string& scenario, const std::vector<std::string>& sets) {
  StepCache cache;
  const PreparedPhase phase(RunAlone(scenario, sets), cache);
  return Probe(phase.step());
}

inline Seconds StepTime(const Step& step, const Noise& noise) {
  return StepTimes(step, {&noise, 1}).front();
}

// The step's time if each pass of a layer took so long and nothing else anything: no embedding, no
// head, no communication, no optimizer.
inline Seconds TimeOfLayersAlone(const Step& step, Seconds forward, Seconds backward,
                                 Seconds weight) {
  const Seconds of_pass[] = {forward, backward, weight};
  return StepTime(step, [&](const Cost&, uint64_t position) {
    constexpr uint64_t kOps = 4096;  // of a pass of a block, counted from 1
    const uint64_t pass = (position - 1) / kOps, op = (position - 1) % kOps;
    const bool layer = pass / kPasses == static_cast<uint64_t>(BlockKind::kDense) ||
                       pass / kPasses == static_cast<uint64_t>(BlockKind::kMoe);
    return layer && op == 0 ? of_pass[pass % kPasses] : Seconds(0);
  });
}

// Visits each op that the blocks of a step run: visit(cost, times in the step, a number of its
// own).
template <class Visit>
void EachOpOfBlocks(const Step& step, Visit visit) {
  int op = 0;
  for (int k = 0; k < kBlockKinds; ++k) {
    const auto kind = static_cast<BlockKind>(k);
    int count = 0;
    for (const StageBlocks& stage : step.layout.runs)
      for (const BlockRun& run : stage) count += run.kind == kind ? run.count : 0;
    for (int p = 0; p < kPasses && count > 0; ++p)
      for (const Cost& cost : step.blocks.Of(kind, static_cast<Pass>(p)).costed.costs)
        visit(cost, count * step.shape.micro_batches_each(), op++);
  }
}

}  // namespace moecast
