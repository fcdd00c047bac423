// A training prediction: the whole process, one more plan in process, one more timing of a known
// plan. V2 has 16 stages and 72 micro-batches here. Argument 0 gives every collective idle links, 1
// the fluid network.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <string>

#include "base/random.h"
#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "sim/training/plan_check.h"

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
    if (posix_spawn(&child, MOECAST_BINARY, &actions, nullptr, const_cast<char**>(arguments),
                    environ) != 0)
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

// Ops, costs, blocks, stage split, order of 3,456 tasks and timing, nothing reused but parsed
// tables.
void FirstPlan(benchmark::State& state) {
  const auto run = std::make_shared<const TrainingRun>(BaseRun(LevelOf(state)));
  for (auto _ : state) {
    StepCache cache;
    const Step step = PrepareStep(run, run->plan.phases.front(), cache);
    benchmark::DoNotOptimize(StepTime(step));
  }
}
BENCHMARK(FirstPlan)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

// Plans of V2 on its 2,048 GPUs as a planner draws them: sizes of every axis, schedules,
// recomputation.
// `base` is one run for all that share a cache, which tells calibrations apart by address.
std::vector<std::shared_ptr<const TrainingRun>> MixedPlans(const TrainingRun& base, int count,
                                                           uint64_t seed) {
  Random random(seed);
  const auto pick = [&random](const auto& values) {
    return std::data(values)[random.Below(std::size(values))];
  };
  constexpr int kTp[] = {1, 1, 2, 4};
  constexpr int kPp[] = {4, 8, 10, 12, 16, 20};
  constexpr int kEp[] = {4, 5, 8, 10, 16, 20, 32, 40};
  constexpr const char* kSchedules[] = {"1f1b", "1f1b", "zb-h1", "zb-h1", "zb-h2", "interleaved"};
  const std::vector<Recompute> kRecompute[] = {
      {}, {Recompute::kRmsNorm}, {Recompute::kRmsNorm, Recompute::kMlaUp}, {Recompute::kLayer}};
  std::vector<std::shared_ptr<const TrainingRun>> plans;
  while (static_cast<int>(plans.size()) < count) {
    TrainingRun run = base;
    Plan& plan = run.plan;
    plan.parallel.tp = pick(kTp);
    plan.parallel.pp = pick(kPp);
    plan.parallel.ep = pick(kEp);
    const int replica = plan.parallel.tp * plan.parallel.pp * plan.parallel.ep;
    if (replica > 2048) continue;
    plan.parallel.dp = 2048 / replica * plan.parallel.ep;
    plan.schedule = pick(kSchedules);
    plan.weight_delay.reset();
    if (plan.schedule == "interleaved") plan.parallel.vpp = 2;
    plan.recompute = pick(kRecompute);
    plan.phases[0].global_batch = int64_t{72} * plan.parallel.dp;
    if (!CheckPlan(plan, run.model, run.cluster))
      plans.push_back(std::make_shared<const TrainingRun>(std::move(run)));
  }
  return plans;
}

// One more plan of a search, its memory included, where 500 others of the same space are known.
void OneMorePlan(benchmark::State& state) {
  StepCache cache;
  const TrainingRun base = BaseRun(LevelOf(state));
  for (const auto& run : MixedPlans(base, 500, 1))
    benchmark::DoNotOptimize(PrepareStep(run, run->plan.phases.front(), cache).memory);
  const auto plans = MixedPlans(base, 500, 2);
  size_t next = 0;
  for (auto _ : state) {
    const auto& run = plans[next++ % plans.size()];
    const Step step = PrepareStep(run, run->plan.phases.front(), cache);
    benchmark::DoNotOptimize(StepTime(step));
  }
}
BENCHMARK(OneMorePlan)->Arg(0)->Arg(1)->Iterations(500)->Unit(benchmark::kMicrosecond);

// A search of 100,000 plans with one cache, each with a number of micro-batches of its own. Peak of
// the process: run it alone (--benchmark_filter=Search).
void Search(benchmark::State& state) {
  constexpr int kPlans = 100000, kAtOnce = 500;
  const TrainingRun base = BaseRun(Level::kAnalytic);
  for (auto _ : state) {
    StepCache cache;
    Random random(3);
    int prepared = 0;
    for (uint64_t seed = 0; prepared < kPlans; ++seed) {
      for (const auto& drawn : MixedPlans(base, kAtOnce, seed)) {
        const auto run = std::make_shared<TrainingRun>(*drawn);
        TrainingPhase& phase = run->plan.phases.front();
        phase.global_batch = (40 + static_cast<int64_t>(random.Below(64))) * run->plan.parallel.dp;
        if (CheckPlan(run->plan, run->model, run->cluster)) continue;
        benchmark::DoNotOptimize(PrepareStep(run, phase, cache).memory);
        ++prepared;
      }
    }
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1e3;
  state.SetItemsProcessed(state.iterations() * kPlans);
}
BENCHMARK(Search)->Iterations(1)->Unit(benchmark::kSecond);

// Draws of all costs on a prepared plan: blocks solved anew, the known order timed again.
void Draws(benchmark::State& state) {
  const auto run = std::make_shared<const TrainingRun>(BaseRun(Level::kFluid));
  StepCache cache;
  const Step step = PrepareStep(run, run->plan.phases.front(), cache);
  const Lattice lattice(1);
  std::vector<Noise> draws(static_cast<size_t>(state.range(0)),
                           {.by_source = BySource<double>(step.sources->size(), 0.5),
                            .whole_step = 0,
                            .curves = &lattice,
                            .own = &lattice});
  for (size_t i = 0; i < draws.size(); ++i) draws[i].draw = static_cast<int>(i);
  for (auto _ : state) benchmark::DoNotOptimize(StepTimes(step, draws));
}
BENCHMARK(Draws)->Arg(1)->Arg(64)->Unit(benchmark::kMicrosecond);

void ReadScenario(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Base());
}
BENCHMARK(ReadScenario)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace moecast
