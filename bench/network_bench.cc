// The fluid network on a whole cluster of 2,048 GPUs.
//
// NetworkTrainingStep: every flow of one training step of DeepSeek-V2, each started on its own,
// nothing reused between groups or micro-batches. 16 stages of 128 GPUs with 4 layers each (the
// fullest of 60 layers over 16 stages), EP 8, 64 micro-batches in 1F1B order:
//   14,680,064  all-to-alls: 256 groups x 56 pairs x 4 layers x 4 (dispatch and combine, forward
//               and backward) x 64
//      245,760  sends: 15 boundaries x 128 GPUs x 64 micro-batches x 2 (activations, gradients)
//       12,288  reductions: reduce-scatter and all-gather, each of 16 stages: 256 flows of the
//               rings over 128 GPUs and 128 of the rings over the 16 GPUs that hold the same
//               experts
// in all 14,938,112. Flows start when what they wait for has ended: computing (times about as
// `moecast train deepseek-v2-pretrain` has them, a hundredth of jitter so that no two groups act at
// one moment by design), the micro-batch's arrival from the neighbouring stage, the group's
// all-to-all before. With argument 1 the pairs of an all-to-all differ in bytes by up to a tenth
// either way, so that each ends on its own and the rates are solved anew each time.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "base/random.h"
#include "costmodel/collectives/collectives.h"
#include "scenarios/cluster_loader.h"
#include "sim/network/collective_report.h"
#include "sim/network/fluid_network.h"
#include "sim/pipeline/pipeline.h"

namespace moecast {
namespace {

// Of the whole process, so far.
void CountPeakMemory(benchmark::State& state) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) * 1024e-6;
}

std::vector<int> Gpus(int first, int count, int stride = 1) {
  std::vector<int> gpus(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) gpus[static_cast<size_t>(i)] = first + i * stride;
  return gpus;
}

NamedCollective Collective(CollectiveKind kind, int gpus, Bytes bytes, const Cluster& cluster,
                           const Routes& routes) {
  NamedCollective c{.call = {.kind = kind, .group = Gpus(0, gpus), .bytes = bytes}};
  c.algorithm = &FastestAlgorithm(c.call, cluster, routes);
  return c;
}

// An all-to-all over so many GPUs, with argument 1 beside an all-reduce over all of them.
void AllToAll(benchmark::State& state, const Cluster& cluster) {
  const Routes routes(cluster);
  const int gpus = static_cast<int>(state.range(0));
  std::vector<NamedCollective> collectives = {
      Collective(CollectiveKind::kAllToAll, gpus, MiB(16), cluster, routes)};
  if (state.range(1) == 1)
    collectives.push_back(Collective(CollectiveKind::kAllReduce, gpus, GiB(1), cluster, routes));
  for (auto _ : state)
    benchmark::DoNotOptimize(
        ReportCollectives(cluster, collectives, {}, Level::kFluid).jobs.size());
  CountPeakMemory(state);
}
void NetworkAllToAll(benchmark::State& state) {
  AllToAll(state, LoadCluster("h800-2048"));
}
BENCHMARK(NetworkAllToAll)->Args({2048, 0})->Args({2048, 1})->Unit(benchmark::kMillisecond);

void NetworkAllToAllFatTree(benchmark::State& state) {
  AllToAll(state, LoadCluster("h800-2048-fat-tree"));
}
BENCHMARK(NetworkAllToAllFatTree)->Args({2048, 0})->Args({2048, 1})->Unit(benchmark::kMillisecond);

// Each pair has a way of its own by its hash; from 256 GPUs on there are uplinks fuller than a NIC.
void NetworkAllToAllEcmp(benchmark::State& state) {
  Cluster cluster = LoadCluster("h800-2048-fat-tree");
  cluster.fabric.load_balancing = LoadBalancing::kEcmp;
  AllToAll(state, *Resized(cluster, cluster.gpus));
}
BENCHMARK(NetworkAllToAllEcmp)
    ->Args({128, 0})
    ->Args({256, 0})
    ->Args({256, 1})
    ->Unit(benchmark::kMillisecond);

// Every pair a flow of its own: what an all-to-all costs that is not even.
void NetworkAllToAllByPairs(benchmark::State& state) {
  const Cluster cluster = LoadCluster("h800-2048");
  const Routes routes(cluster);
  const std::vector<int> gpus = Gpus(0, static_cast<int>(state.range(0)));
  for (auto _ : state) {
    Traffic traffic;
    for (const int from : gpus)
      for (const int to : gpus) traffic.Add(routes.Between(from, to), MB(1));
    traffic.Merge();
    const std::vector<BytesPerSecond> capacities = LinkCapacities(cluster);
    FluidNetwork network(capacities);
    const FlowChain chain{.stages = {FlowsOf(traffic, cluster, {})}};
    benchmark::DoNotOptimize(RunChains(network, capacities.size(), {&chain, 1}).last);
  }
  CountPeakMemory(state);
}
BENCHMARK(NetworkAllToAllByPairs)->Arg(64)->Arg(512)->Unit(benchmark::kMillisecond);

class TrainingStep {
 public:
  TrainingStep(const Cluster& cluster, bool uneven)
      : routes_(cluster),
        network_(LinkCapacities(cluster)),
        uneven_(uneven),
        lanes_(kStages * kGroups) {
    const PipelineSchedule& schedule = *FindPipelineSchedule("1f1b");
    PipelineShape shape{.stages = kStages, .micro_batches = kMicroBatches};
    shape.forward.assign(kStages, Time::From(Milliseconds(11)));
    shape.backward.assign(kStages, Time::From(Milliseconds(19)));
    shape.weight.assign(kStages, Time{});
    order_ = schedule.build(shape);
    to_come_.assign(lanes_.size() * kMicroBatches * 2, kRanks);
    for (int lane = 0; lane < kStages * kGroups; ++lane) {
      for (int m = 0; m < kMicroBatches; ++m) {
        if (lane < kGroups) ToCome(lane, m, Phase::kForward) = 0;
        if (lane >= (kStages - 1) * kGroups) ToCome(lane, m, Phase::kBackward) = 0;
      }
      Continue(lane);
    }
  }

  // The step's end.
  Time Run() {
    std::vector<FlowTag> done;
    while (true) {
      now_ = std::min(network_.Next(), computing_.empty() ? kNever : computing_.top().first);
      if (now_ == kNever) break;
      done.clear();
      network_.Advance(now_, done);
      last_ = now_;
      for (const FlowTag waits : done) Ended(static_cast<int32_t>(waits));
      while (!computing_.empty() && computing_.top().first == now_) {
        const int lane = computing_.top().second;
        computing_.pop();
        ++lanes_[lane].at;
        Continue(lane);
      }
    }
    MOECAST_CHECK(reduced_ == 2 * kStages);
    return last_;
  }
  int64_t flows() const { return flows_; }

 private:
  static constexpr int kStages = 16, kGroups = 16, kRanks = 8, kMicroBatches = 64, kLayers = 4;
  // Of a layer: compute, dispatch, compute, combine.
  static constexpr int kParts = 4 * kLayers;
  // 4,096 tokens of 5,120 bf16 elements, to 2.77 of 8 devices.
  static constexpr Bytes kTokens{4096.0 * 5120 * 2}, kToDevice = kTokens * (2.77 / 8);
  static constexpr Bytes kGradients = GB(1.2), kExpertGradients = GB(3.5);
  static constexpr int32_t kAllToAll = 1 << 30, kReduction = 1 << 29;  // kinds of what waits

  // A group of ranks that compute and exchange together.
  struct Lane {
    int task = 0;       // of the stage's order
    int at = 0;         // of the task's parts
    int pairs = 0;      // of an all-to-all, under way
    bool idle = false;  // waits for the neighbouring stage
  };

  uint8_t& ToCome(int lane, int micro_batch, Phase phase) {
    return to_come_[static_cast<size_t>((lane * kMicroBatches + micro_batch) * 2 +
                                        (phase != Phase::kForward))];
  }

  void Start(const Path& path, Bytes bytes, int32_t waits) {
    LinkShare links[std::tuple_size_v<decltype(Path::links)>];
    size_t n = 0;
    for (const LinkId link : path.span()) links[n++] = {link};
    network_.Start(now_, {links, n}, bytes, 1, waits);
    ++flows_;
  }

  void Ended(int32_t waits) {
    if (waits & kAllToAll) {
      const int lane = waits & ~kAllToAll;
      if (--lanes_[lane].pairs > 0) return;
      ++lanes_[lane].at;
      Continue(lane);
    } else if (waits & kReduction) {
      const int stage = waits & ~kReduction;
      if (--reducing_[stage] > 0) return;
      if (++reduced_; !gathered_[stage]) Reduce(stage, true);
    } else {
      // The last rank's part of a micro-batch from the neighbouring stage.
      const int lane = waits / (2 * kMicroBatches);
      if (--to_come_[static_cast<size_t>(waits)] == 0 && lanes_[lane].idle) Continue(lane);
    }
  }

  // Goes on where the lane stands, until it has to wait.
  void Continue(int lane) {
    Lane& l = lanes_[lane];
    const int stage = lane / kGroups;
    const auto& order = order_.by_stage[static_cast<size_t>(stage)];
    while (true) {
      if (l.task == static_cast<int>(order.size())) return;
      const PipelineTask& task = order[static_cast<size_t>(l.task)];
      if (l.at < kParts) {
        l.idle = l.at == 0 && ToCome(lane, task.micro_batch, task.phase) > 0;
        if (l.idle) return;
        const bool forward = task.phase == Phase::kForward;
        if (l.at % 2 == 0)
          Compute(lane, Milliseconds((l.at % 4 == 0 ? 1.0 : 0.5) * (forward ? 1 : 2)));
        else
          AllToAll(lane);
        return;
      }
      SendOn(lane, stage, task);
      l.at = 0;
      if (++l.task == static_cast<int>(order.size()) && ++finished_[stage] == kGroups)
        Reduce(stage, false);
    }
  }
  void Compute(int lane, Seconds time) {
    computing_.emplace(now_ + Time::From(time * (0.99 + 0.02 * random_.Uniform())), lane);
  }

  void AllToAll(int lane) {
    lanes_[lane].pairs = kRanks * (kRanks - 1);
    for (int i = 0; i < kRanks; ++i)
      for (int j = 0; j < kRanks; ++j) {
        if (i == j) continue;
        const Bytes bytes = uneven_ ? kToDevice * (0.9 + 0.2 * random_.Uniform()) : kToDevice;
        Start(routes_.Between(lane * kRanks + i, lane * kRanks + j), bytes, kAllToAll | lane);
      }
  }

  // Activations to the next stage or gradients to the one before.
  void SendOn(int lane, int stage, const PipelineTask& task) {
    const bool forward = task.phase == Phase::kForward;
    const int to_stage = stage + (forward ? 1 : -1), to = lane + (forward ? kGroups : -kGroups);
    if (to_stage < 0 || to_stage == kStages) return;
    for (int i = 0; i < kRanks; ++i)
      Start(routes_.Between(lane * kRanks + i, to * kRanks + i), kTokens,
            (to * kMicroBatches + task.micro_batch) * 2 + !forward);
  }

  void Reduce(int stage, bool gather) {
    gathered_[stage] = gather;
    const int first = stage * kGroups * kRanks;
    const auto add = [&](std::span<const int> group, Bytes bytes) {
      const Traffic t =
          gather ? RingAllGather(group, bytes, routes_) : RingReduceScatter(group, bytes, routes_);
      reducing_[stage] += static_cast<int>(t.paths.size());
      for (const PathLoad& p : t.paths) Start(p.path, p.bytes, kReduction | stage);
    };
    add(Gpus(first, kGroups * kRanks), kGradients);
    for (int i = 0; i < kRanks; ++i) add(Gpus(first + i, kGroups, kRanks), kExpertGradients);
  }

  Routes routes_;
  FluidNetwork network_;
  bool uneven_;
  Random random_{1};
  Time now_, last_;
  PipelineOrder order_;
  std::vector<Lane> lanes_;
  bool gathered_[kStages] = {};
  int finished_[kStages] = {}, reducing_[kStages] = {}, reduced_ = 0;
  // Parts of a micro-batch that have not arrived, by lane, micro-batch and phase.
  std::vector<uint8_t> to_come_;
  int64_t flows_ = 0;
  std::priority_queue<std::pair<Time, int>, std::vector<std::pair<Time, int>>, std::greater<>>
      computing_;
};

void NetworkTrainingStep(benchmark::State& state) {
  const Cluster cluster = LoadCluster("h800-2048");
  for (auto _ : state) {
    TrainingStep step(cluster, state.range(0) == 1);
    state.counters["step_ms"] = step.Run().seconds() / Milliseconds(1);
    state.counters["flows"] = static_cast<double>(step.flows());
  }
  CountPeakMemory(state);
}
BENCHMARK(NetworkTrainingStep)->Arg(0)->Arg(1)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace moecast
