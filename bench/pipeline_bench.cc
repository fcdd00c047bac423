// A pipeline of 16 stages and 72 micro-batches; of ZB-H1: 3,456 tasks. Ordering is done once for a
// plan, re-timing once for each set of block times.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>

#include "sim/pipeline/pipeline.h"

namespace moecast {
namespace {

PipelineShape Shape(int chunks = 1) {
  PipelineShape shape{.stages = 16,
                      .micro_batches = 72,
                      .chunks = chunks,
                      .transfer = Time::From(Microseconds(377))};
  const auto pieces = static_cast<size_t>(shape.virtual_stages());
  shape.forward.assign(pieces, Time::From(Microseconds(11347) / chunks));
  shape.backward.assign(pieces, Time::From(Microseconds(11248) / chunks));
  shape.weight.assign(pieces, Time::From(Microseconds(8132) / chunks));
  return shape;
}

void PipelineOrderOnly(benchmark::State& state) {
  const PipelineSchedule& row = PipelineSchedules()[static_cast<size_t>(state.range(0))];
  const PipelineShape shape = Shape(std::min(row.most_chunks, 2));
  for (auto _ : state) benchmark::DoNotOptimize(row.build(shape));
  state.SetLabel(std::string(row.name));
}
BENCHMARK(PipelineOrderOnly)
    ->DenseRange(0, static_cast<int64_t>(PipelineSchedules().size()) - 1)
    ->Unit(benchmark::kMicrosecond);

void PipelineOrderAndSort(benchmark::State& state) {
  const PipelineShape shape = Shape();
  const PipelineSchedule& zb_h1 = *FindPipelineSchedule("zb-h1");
  for (auto _ : state) {
    const TrainingSchedule schedule = LowerPipeline(zb_h1, shape, zb_h1.build(shape));
    benchmark::DoNotOptimize(Retimer(schedule));
  }
}
BENCHMARK(PipelineOrderAndSort)->Unit(benchmark::kMicrosecond);

void PipelineRetime(benchmark::State& state) {
  const PipelineShape shape = Shape();
  const PipelineSchedule& zb_h1 = *FindPipelineSchedule("zb-h1");
  const TrainingSchedule schedule = LowerPipeline(zb_h1, shape, zb_h1.build(shape));
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
