#include "sim/training/step_time.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

Seconds Period(const Step& step, const Timing& timing) {
  const StepSpan span = SpanOf(step, timing);
  return (span.end - span.begin).seconds();
}

}  // namespace

Timing TimingAlone(const Step& step, std::span<const BlockTime> times) {
  const std::vector<Time> durations =
      DurationsOf(step.schedule(), [times](int32_t block) { return times[block].total; });
  const Time transfer[] = {Time::From(times[BlockIds::kSend].total)};
  Timing timing;
  step.order->retimer.Run(durations, transfer, timing, LongerByTask(step.excess, times));
  return timing;
}

bool HasBarrier(const Step& step) {
  return step.plan().optimizer.grad_clip == GradClip::kBarrier;
}

Seconds StepTime(const Step& step) {
  // A run on a network has found the stretch, and its times have it.
  return Period(step, step.timing) * (step.flows > 0 ? 1 : step.stretch);
}

Seconds UncontendedStepTime(const Step& step) {
  return StepTime(step) / step.stretch;
}

Seconds Contention(const Step& step) {
  return AboveRounding(StepTime(step) - UncontendedStepTime(step));
}

Seconds StepTime(const Step& step, const OpTimes& time_of) {
  const Timing timing = TimingAlone(step, SolveBlocks(step.blocks, time_of));
  return Period(step, timing) * step.stretch;
}

Seconds StepTime(const Step& step, const WholeStep& whole_step) {
  MOECAST_CHECK(step.run->whole_step == kKernelsAlone);
  return StepTime(step, [&](const Cost& cost, uint64_t) {
    return (IsKernel(cost.resource) ? Sustained(cost, whole_step)
                                    : SustainedCollective(cost, whole_step))
        .time;
  });
}

Seconds StepTime(const Step& step, const Speedup& speedup) {
  return StepTime(step, [&](const Cost& cost, uint64_t) {
    switch (cost.resource) {
      case Resource::kNvlink:
        return cost.time / speedup.nvlink;
      case Resource::kNetwork:
        return cost.time / speedup.network;
      case Resource::kCompute:
        return (cost.time - cost.gap) / speedup.compute + cost.gap;
      case Resource::kHbm:
        return (cost.time - cost.gap) / speedup.hbm + cost.gap;
      case Resource::kLaunch:
      case Resource::kPcie:
      case Resource::kHost:
        return cost.time;
    }
    return cost.time;
  });
}

double ExtrapolatedFraction(const Step& step) {
  double all = 0;
  double outside = 0;
  for (const StageBlocks& runs : step.layout.runs) {
    for (const BlockRun& run : runs) {
      for (const StepBlock& pass : step.blocks.layer(run.kind).passes) {
        for (const Cost& cost : pass.costed.costs) {
          all += run.count * cost.time.value;
          outside += cost.extrapolated ? run.count * cost.time.value : 0;
        }
      }
    }
  }
  return all > 0 ? outside / all : 0;
}

}  // namespace moecast
