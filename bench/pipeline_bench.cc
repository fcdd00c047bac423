// A pipeline of 16 stages and 72 micro-batches, ZB-H1: 3,456 tasks. Ordering is done once for a plan,
// re-timing once for each set of block times.
#include <benchmark/benchmark.h>

#include "sim/pipeline/pipeline.h"

namespace moecast {
namespace {

PipelineShape Shape() {
  PipelineShape shape{.stages = 16, .micro_batches = 72, .transfer = Time::From(Microseconds(377))};
  shape.forward.assign(16, Time::From(Microseconds(11347)));
  shape.backward.assign(16, Time::From(Microseconds(11248)));
  shape.weight.assign(16, Time::From(Microseconds(8132)));
  return shape;
}

void PipelineOrderAndSort(benchmark::State& state) {
  const PipelineShape shape = Shape();
  const PipelineSchedule& zb_h1 = *FindPipelineSchedule("zb-h1");
  for (auto _ : state) {
    const Schedule schedule = LowerPipeline(zb_h1, shape, zb_h1.build(shape));
    benchmark::DoNotOptimize(Retimer(schedule));
  }
}
BENCHMARK(PipelineOrderAndSort)->Unit(benchmark::kMicrosecond);

void PipelineRetime(benchmark::State& state) {
  const PipelineShape shape = Shape();
  const PipelineSchedule& zb_h1 = *FindPipelineSchedule("zb-h1");
  const Schedule schedule = LowerPipeline(zb_h1, shape, zb_h1.build(shape));
  const Retimer retimer(schedule);
  const std::vector<Time> durations = PipelineDurations(zb_h1, shape);
  Timing timing;
  for (auto _ : state) {
    retimer.Run(durations, std::span(&shape.transfer, 1), timing);
    benchmark::DoNotOptimize(timing.total);
  }
  state.counters["tasks"] = static_cast<double>(schedule.tasks.size());
}
BENCHMARK(PipelineRetime)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace moecast
