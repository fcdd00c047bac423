// Serving simulations as users run them: a dense replica full of sequences, DP attention with EP
// under real arrivals, and a day of requests through 64 GPUs. Counters: iterations of replicas a
// second of CPU or of wall time, and how many ranks took part in them.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "scenarios/serving_scenario.h"
#include "sim/serving/simulate.h"

namespace moecast {
namespace {

ServingRun Scenario(const std::string& name, const std::vector<std::string>& sets) {
  return ServingScenario::Load(name, sets, 1).run;
}

void Count(benchmark::State& state, const ServingRun& run, int64_t iterations) {
  const auto n = static_cast<double>(iterations);
  state.counters["iterations"] = benchmark::Counter(n, benchmark::Counter::kIsRate);
  state.counters["rank_iterations"] =
      benchmark::Counter(n * run.deployment.parallel.dp, benchmark::Counter::kIsRate);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}

// Costs are looked up anew in each round, as a first simulation does.
void Simulations(benchmark::State& state, const ServingRun& run) {
  int64_t iterations = 0;
  for (auto _ : state) {
    ServingCosts costs(run);
    iterations += Simulate(run, costs).counts.iterations;
  }
  Count(state, run, iterations);
}

void ServeDense(benchmark::State& state) {
  Simulations(
      state, Scenario("llama-3.1-70b-closed-loop",
                      {"serving/parallel/tp=4", "load/description/requests=20000",
                       "load/description/arrivals/concurrency=" + std::to_string(state.range(0))}));
}
BENCHMARK(ServeDense)->Arg(64)->Arg(256)->Unit(benchmark::kMillisecond);

void ServeExpertParallel(benchmark::State& state) {
  Simulations(state, Scenario("deepseek-v2-azure-conv-like", {}));
}
BENCHMARK(ServeExpertParallel)->Unit(benchmark::kMillisecond);

// 10 requests a second for a day, as conversations of the Azure trace, through 8 nodes of 8.
void ServeADay(benchmark::State& state) {
  ServingRun run =
      Scenario("deepseek-v2-azure-conv-like", {"cluster=h800-64", "serving/replicas=8"});
  const RequestTrace trace = run.load;
  const Time lasts = trace.requests.back().arrival;
  for (Time begin = lasts; run.load.requests.size() < 864'000; begin += lasts)
    for (Request request : trace.requests) {
      request.arrival += begin;
      run.load.requests.push_back(request);
    }
  const double seconds = run.load.requests.back().arrival.seconds().value;
  run.load = SpedUp(std::move(run.load), seconds / 86400);
  Simulations(state, run);
}
BENCHMARK(ServeADay)->Unit(benchmark::kSecond)->Iterations(1)->UseRealTime();

}  // namespace
}  // namespace moecast
