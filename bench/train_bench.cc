// A training prediction: the whole process, one more plan in process, one more timing of a known plan. V2 has
// 16 stages and 72 micro-batches here. Argument 0 gives every collective idle links, 1 the fluid network.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <string>

#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"

extern char** environ;

namespace moecast {
namespace {

Scenario Base() {
  return Scenario::Load("deepseek-v2-pretrain", {});
}
TrainingRun BaseRun(Level level) {
  TrainingRun run = Base().training().phases[0];
  run.level = level;
  return run;
}
Level LevelOf(const benchmark::State& state) {
  return state.range(0) == 0 ? Level::kAnalytic : Level::kFluid;
}

void WholeProcess(benchmark::State& state) {
  const std::string level(NameOf(LevelOf(state))), samples = std::to_string(state.range(1));
  for (auto _ : state) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    const char* arguments[] = {MOECAST_BINARY, "train",     "deepseek-v2-pretrain", "--level",
                               level.c_str(),  "--samples", samples.c_str(),        nullptr};
    pid_t child = 0;
    if (posix_spawn(&child, MOECAST_BINARY, &actions, nullptr, const_cast<char**>(arguments), environ) != 0)
      state.SkipWithError("cannot start moecast");
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) state.SkipWithError("moecast failed");
    posix_spawn_file_actions_destroy(&actions);
  }
}
BENCHMARK(WholeProcess)
    ->ArgsProduct({{0, 1}, {ForecastOptions{}.samples, 256}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// Ops, costs, blocks, stage split, order of 3,456 tasks and timing, nothing reused but parsed tables.
void FirstPlan(benchmark::State& state) {
  const auto run = std::make_shared<const TrainingRun>(BaseRun(LevelOf(state)));
  for (auto _ : state) {
    StepCache cache;
    const Step step = PrepareStep(run, run->plan.phases.front(), cache);
    benchmark::DoNotOptimize(StepTime(step));
  }
}
BENCHMARK(FirstPlan)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

// One more plan of a set: kernels and collectives are known, the split of the layers is another, so the order
// is new.
void OneMorePlan(benchmark::State& state) {
  TrainingRun run = BaseRun(LevelOf(state));
  StepCache cache;
  unsigned split = 0;
  for (auto _ : state) {
    // 60 layers on 16 stages, three on four of them; 13 x 11 x 9 x 7 splits come before one returns.
    run.plan.stage_layers.layers.assign(16, 4);
    unsigned digits = split++;
    for (const unsigned places : {13u, 11u, 9u, 7u}) {
      size_t at = digits % places;
      digits /= places;
      while (run.plan.stage_layers.layers[at] == 3) ++at;
      run.plan.stage_layers.layers[at] = 3;
    }
    const Step step = PrepareStep(std::make_shared<const TrainingRun>(run), run.plan.phases.front(), cache);
    benchmark::DoNotOptimize(StepTime(step));
  }
}
BENCHMARK(OneMorePlan)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

// A draw of all costs on a prepared plan: blocks solved anew, the known order timed again.
void OneMoreTiming(benchmark::State& state) {
  const auto run = std::make_shared<const TrainingRun>(BaseRun(Level::kFluid));
  StepCache cache;
  const Step step = PrepareStep(run, run->plan.phases.front(), cache);
  const Lattice lattice(1);
  Noise noise{.by_source = std::vector<double>(step.sources->size(), 0.5),
              .whole_step = 0,
              .curves = &lattice,
              .own = &lattice};
  for (auto _ : state) {
    ++noise.draw;
    benchmark::DoNotOptimize(StepTime(step, noise));
  }
}
BENCHMARK(OneMoreTiming)->Unit(benchmark::kMicrosecond);

void ReadScenario(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Base());
}
BENCHMARK(ReadScenario)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace moecast
