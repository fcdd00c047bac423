// Building the fabric of 8,192 and 16,384 GPUs with all next hops, paths through it, and its
// bisection, one core. Counted as built: the cluster with its switches, and Routes.
// `process_peak_MiB` is what the whole program has had by then, so that the first rows tell.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "base/random.h"
#include "topology/graph.h"
#include "topology/routes.h"

namespace moecast {
namespace {

Cluster Spec(int gpus, int layers, LoadBalancing balancing) {
  Cluster spec{.name = "bench", .gpus = gpus};
  spec.fabric = {.kind = FabricKind::kFatTree, .layers = layers, .load_balancing = balancing};
  return spec;
}

Device BenchDevice() {
  Device device{.name = "bench"};
  device.nvlink = GBps(200);
  device.nvlink_usable = GBps(160);
  return device;
}

void Build(benchmark::State& state, int gpus, LoadBalancing balancing) {
  const Cluster spec = Spec(gpus, 3, balancing);
  const Device device = BenchDevice();
  for (auto _ : state) {
    const Cluster cluster = BuildCluster(spec, device);
    const Routes routes(cluster);
    benchmark::DoNotOptimize(routes.Between(0, gpus - 1));
  }
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  state.counters["process_peak_MiB"] = static_cast<double>(use.ru_maxrss) / 1024;
}
BENCHMARK_CAPTURE(Build, Ecmp8192, 8192, LoadBalancing::kEcmp)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Build, Adaptive8192, 8192, LoadBalancing::kAdaptive)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Build, Ecmp16384, 16384, LoadBalancing::kEcmp)->Unit(benchmark::kMillisecond);

void HalfAndHalf(benchmark::State& state, int gpus, LoadBalancing balancing) {
  const Cluster cluster = BuildCluster(Spec(gpus, 3, balancing), BenchDevice());
  for (auto _ : state) benchmark::DoNotOptimize(Bisection(cluster));
}
BENCHMARK_CAPTURE(HalfAndHalf, Ecmp8192, 8192, LoadBalancing::kEcmp)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(HalfAndHalf, Adaptive8192, 8192, LoadBalancing::kAdaptive)
    ->Unit(benchmark::kMillisecond);

void Between(benchmark::State& state, const Cluster& cluster) {
  const Routes routes(cluster);
  Random random(1);
  for (auto _ : state) {
    const auto from = static_cast<int>(random.Below(static_cast<uint64_t>(cluster.gpus)));
    const auto to = static_cast<int>(random.Below(static_cast<uint64_t>(cluster.gpus)));
    benchmark::DoNotOptimize(routes.Between(from, to));
  }
}
BENCHMARK_CAPTURE(Between, NonBlocking, Cluster{.gpus = 8192});
BENCHMARK_CAPTURE(Between, Ecmp8192,
                  BuildCluster(Spec(8192, 3, LoadBalancing::kEcmp), BenchDevice()));
BENCHMARK_CAPTURE(Between, Adaptive8192,
                  BuildCluster(Spec(8192, 3, LoadBalancing::kAdaptive), BenchDevice()));

}  // namespace
}  // namespace moecast
