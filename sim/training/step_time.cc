#include "sim/training/step_time.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/random.h"

namespace moecast {
namespace {

double NoiseOf(const Cost& cost, const Noise& noise, uint64_t position) {
  double shift = noise.by_source.at(cost.source) * cost.sigma_table;
  const auto deviate = [&noise](const Lattice& lattice, uint64_t key) {
    return NormalQuantile(lattice.KeyedPoint(noise.draw, key));
  };
  if (noise.curves && cost.sigma_curve > 0)
    shift += deviate(*noise.curves, cost.curve) * cost.sigma_curve;
  if (noise.own && cost.sigma_own > 0)
    shift += deviate(*noise.own, position * 0x9e3779b97f4a7c15ULL) * cost.sigma_own;
  return std::exp(shift);
}

Seconds Period(const Step& step, const Timing& timing) {
  const StepSpan span = SpanOf(step, timing);
  return (span.end - span.begin).seconds();
}

}  // namespace

Timing TimingAlone(const Step& step, std::span<const BlockTime> times) {
  std::vector<Time> durations;
  durations.reserve(step.schedule().programs.size());
  for (const Program& program : step.schedule().programs) {
    Seconds total;
    for (const ProgramStep& part : program) total += times[part.block].total * part.times;
    durations.push_back(Time::From(total));
  }
  const Time transfer[] = {Time::From(times[BlockIds::kSend].total)};
  Timing timing;
  step.order->retimer.Run(durations, transfer, timing, LongerByTask(step.excess, times));
  return timing;
}

StepSpan SpanOf(const Step& step, const Timing& timing) {
  StepSpan longest;
  for (int s = 0; s < step.shape.stages; ++s) {
    const int32_t last = step.schedule().lane_begin[s + 1] - 1;
    const Time begin = BeginOfStage(step, timing, s);
    if (timing.end[last] - begin > longest.end - longest.begin)
      longest = {begin, timing.end[last], last};
  }
  return longest;
}

bool HasBarrier(const Step& step) {
  return step.plan().optimizer.grad_clip == GradClip::kBarrier;
}

Time BeginOfStage(const Step& step, const Timing& timing, int stage) {
  if (HasBarrier(step)) return Time{};
  const Schedule& schedule = step.schedule();
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

Seconds StepTime(const Step& step, const Noise& noise) {
  const Seconds time = StepTime(step, [&noise](const Cost& cost, uint64_t position) {
    return cost.time * NoiseOf(cost, noise, position);
  });
  return time * std::exp(noise.whole_step * step.run->whole_step.sigma);
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
