#include "sim/training/peak_memory.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "sim/training/breakdown.h"
#include "sim/training/step_time.h"
#include "sim/training/timeline.h"

namespace moecast {
namespace {

struct Prepared {
  Scenario scenario;
  StepCache cache;
  Step step;
  explicit Prepared(const std::string& name, std::vector<std::string> sets = {})
      : scenario(Scenario::Load(name, WithoutUnknowns(std::move(sets)))),
        step(PrepareStep(std::make_shared<const TrainingRun>(scenario.training().phases[0]),
                         scenario.training().phases[0].plan.phases.front(), cache)) {}
  static std::vector<std::string> WithoutUnknowns(std::vector<std::string> sets) {
    sets.insert(sets.begin(), "unknown={}");
    return sets;
  }
};

constexpr char kV2[] = "deepseek-v2-pretrain", kDense[] = "deepseek-67b-pretrain",
               kLite[] = "deepseek-v2-lite-pretrain";

std::map<std::string, double> ByPart(const PeakMemory& peak) {
  std::map<std::string, double> sums;
  for (const PeakRow& row : peak.rows) sums[row.part] += row.bytes.value;
  return sums;
}

TEST(PeakMemoryTest, WhatIsAliveSumsToThePeakPartByPart) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {kV2, {}},
      {kV2, {"training/schedule=1f1b", "training/weight_delay=null"}},
      {kV2, {"training/schedule=zb-2p", "training/weight_delay=null", "training/parallel/zero=3"}},
      {kV2, {"training/precision/gemm=fp8_block", "training/precision/weights=bf16"}},
      {kV2, {"training/optimizer/offload=0.7", "training/routing/device_cv=0.3"}},
      {kLite, {"training/recompute=[\"layer\"]"}},
      {kLite, {"training/schedule=v-min", "training/parallel/vpp=2"}},
      {kDense, {}},
      {kDense,
       {"training/schedule=interleaved",
        "training/parallel={\"tp\":8,\"pp\":4,\"dp\":16,\"vpp\":3}"}},
      {"deepseek-v3-pretrain", {}},
  };
  for (const auto& [name, sets] : cases) {
    const Prepared p(name, sets);
    const std::vector<StageMemory> memory = p.step.memory;
    for (size_t s = 0; s < memory.size(); ++s) {
      const PeakMemory peak = PeakMemoryOf(p.step, static_cast<int>(s));
      const StageMemory& m = memory[s];
      std::map<std::string, double> parts = ByPart(peak);
      EXPECT_NEAR(parts["weights"], m.states.weights.value, 1) << name << s;
      EXPECT_NEAR(parts["gradients"], m.states.gradients.value, 1) << name << s;
      EXPECT_NEAR(parts["optimizer"], m.states.optimizer().value, 1) << name << s;
      EXPECT_NEAR(parts["activations"], m.activations.value, 1) << name << s;
      EXPECT_NEAR(parts["transient"], m.transient.value, 1) << name << s;
      EXPECT_NEAR(parts["buffers"], m.buffers().value, 1) << name << s;
      EXPECT_NEAR(parts["runtime"], m.runtime.value, 1) << name << s;
      double sum = 0;
      for (const auto& [part, bytes] : parts) sum += bytes;
      EXPECT_NEAR(sum, peak.total.value, 1) << name << s;
      EXPECT_EQ(peak.total, m.total());
    }
  }
}

// 1F1B: stage s of p holds p - s micro-batches when its first backward is about to run, all of them
// whole.
TEST(PeakMemoryTest, UnderOneFOneBAStageHoldsAMicroBatchForEachStageFromItOn) {
  const Prepared p(kV2, {"training/schedule=1f1b", "training/weight_delay=null"});
  const std::vector<int> layers = p.step.layout.LayersByPiece();
  for (const int stage : {2, 8, 14}) {
    const PeakMemory peak = PeakMemoryOf(p.step, stage);
    int tensors = 0;
    for (const PeakRow& row : peak.rows) {
      if (row.part != "activations") continue;
      ++tensors;
      EXPECT_EQ(row.micro_batches, 16 - stage) << row.what;
      EXPECT_EQ(row.copies, (16 - stage) * layers[stage]) << row.what;
    }
    EXPECT_GE(tensors, 10);
    // Reached by the forward pass of micro-batch p - s - 1, the last before the first backward.
    EXPECT_EQ(peak.task_name, "F " + std::to_string(15 - stage));
  }
}

// The experts' copies of a V2 layer: 4096 tokens, 6 experts each, 5120 wide, bf16, 252 MB.
TEST(PeakMemoryTest, TheExpertsCopiesOfV2AreNamed) {
  const Prepared p(kV2, {"training/routing={}"});
  bool found = false;
  for (const PeakRow& row : PeakMemoryOf(p.step, 8).rows) {
    if (row.what != "expert-up input") continue;
    found = true;
    EXPECT_EQ(row.block, "moe-layer");
    EXPECT_EQ(row.until, "F to W");
    EXPECT_DOUBLE_EQ(row.bytes.value, row.copies * 4096.0 * 6 * 5120 * 2);
  }
  EXPECT_TRUE(found);
}

TEST(PeakMemoryTest, TheTimelinesCounterReachesThePeakAtItsTime) {
  for (const char* name : {kV2, kLite, kDense}) {
    const Prepared p(name);
    const Timeline timeline = TimelineOf(p.step, TimelineDetail::kTasks);
    for (size_t s = 0; s < timeline.counters.size(); ++s) {
      const PeakMemory peak = PeakMemoryOf(p.step, static_cast<int>(s));
      double at_peak = 0;
      for (const auto& sample : timeline.counters[s].samples)
        if (sample.at <= peak.at) at_peak = std::max(at_peak, sample.value);
      // States, buffers and the runtime included.
      EXPECT_DOUBLE_EQ(at_peak, peak.total / GiB(1)) << name << s;
      EXPECT_EQ(p.step.timing.start[peak.task], peak.at);
    }
  }
}

// ---- The plan's memory limit

TEST(MemoryLimitTest, AnAutomaticScheduleKeepsToItsLimitInBytesOnEveryStage) {
  double last = 1e9;
  for (const double gib : {45, 55, 65, 75, 110}) {
    const Prepared p(kV2, {"training/schedule=zb-2p", "training/weight_delay=null",
                           "training/memory_limit=" + std::to_string(gib) + "GiB"});
    double fullest = 0;
    for (const StageMemory& m : p.step.memory) fullest = std::max(fullest, m.total().value);
    EXPECT_LE(fullest, GiB(gib).value + 1) << gib;
    EXPECT_GT(fullest, 0.95 * GiB(gib).value) << gib;  // and uses it
    EXPECT_LT(StepTime(p.step).value, last) << gib;
    last = StepTime(p.step).value;
  }
}

TEST(MemoryLimitTest, WithoutOneItKeepsToTheDevice) {
  const Prepared p(kV2, {"training/schedule=zb-2p", "training/weight_delay=null"});
  for (const StageMemory& m : p.step.memory)
    EXPECT_LE(m.total(), p.scenario.training().phases[0].cluster.device.memory);
}

TEST(MemoryLimitTest, MicroBatchesAreThoseOfThePipeline) {
  const Prepared p(
      kV2, {"training/schedule=zb-1p", "training/weight_delay=null", "training/memory_limit=12"});
  const PipelineShape& shape = p.step.shape;
  EXPECT_EQ(shape.memory_limit, 12);
  EXPECT_LE(PeakAlive(shape, p.step.pipeline->build(shape)), 12 + 1e-6);
  EXPECT_GT(PeakAlive(shape, p.step.pipeline->build(shape)), 11);
}

TEST(MemoryLimitTest, ALimitThatOneMicroBatchBreaksIsRefusedAndSaysWhatItNeeds) {
  for (const auto& [limit, says] : {std::pair("20GiB", "MiB, which stage"),
                                    std::pair("1", "micro-batches, which one holds alive")}) {
    try {
      const Prepared p(kV2, {"training/schedule=zb-2p", "training/weight_delay=null",
                             std::string("training/memory_limit=") + limit});
      ADD_FAILURE() << limit;
    } catch (const UserError& e) {
      EXPECT_EQ(e.parts().pointer, "/training/memory_limit");
      EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
    }
  }
}

// ---- Offload

// One rank: N parameters, gradients in fp32 down (4 N bytes) and bf16 weights up (2 N) over PCIe at
// 55 GB/s, Adam over 30 N bytes at 43% of 614.4 GB/s.
TEST(OffloadTest, TheOptimizerTakesItsCopiesAndTheHostsAdam) {
  const std::vector<std::string> one = {
      "training/parallel={\"pp\":1,\"dp\":1}", "training/phases/0/global_batch=2",
      "training/optimizer={\"grad_clip\":\"none\",\"offload\":1}"};
  const auto optimizer = [&](const char* overlap) {
    std::vector<std::string> sets = one;
    sets.push_back(std::string("training/overlap/offload=") + overlap);
    return LaneTimes(Prepared(kLite, sets).step).front().optimizer.value;
  };
  const Prepared p(kLite, one);
  double n = 0;
  for (const BlockRun& run : p.step.layout.runs.front())
    n += run.count * (p.step.blocks.layer(run.kind).parameters.data +
                      p.step.blocks.layer(run.kind).parameters.expert);
  const double down = 4 * n / 55e9;
  const double up = 2 * n / 55e9;
  const double adam = 30 * n / (0.43 * 614.4e9);
  EXPECT_NEAR(optimizer("false"), down + adam + up, 1e-9);
  EXPECT_NEAR(optimizer("true"), std::max({down, adam, up}), 1e-9);
}

TEST(OffloadTest, MemoryMovesFromTheDeviceToTheHostAndTheStepTakesLonger) {
  const Prepared without(kV2), with(kV2, {"training/optimizer/offload=0.5"});
  const std::vector<StageMemory> a = without.step.memory, b = with.step.memory;
  Bytes host;
  for (size_t s = 0; s < a.size(); ++s) {
    EXPECT_NEAR((a[s].total() - b[s].total()).value, 0.5 * a[s].states.optimizer().value, 1);
    EXPECT_EQ(a[s].states.host, Bytes(0));
    // 12 bytes of states, 4 of gradients, 2 of weights a parameter.
    EXPECT_NEAR(b[s].states.host.value, 0.5 * a[s].states.optimizer().value * 18 / 12, 1);
    host = std::max(host, b[s].states.host);
  }
  const auto host_of = [](const Step& step) {
    return HostBytesPerNode(*step.run, step.placement, step.memory);
  };
  EXPECT_EQ(host_of(without.step), Bytes(0));
  // A node's ranks are of one stage.
  EXPECT_NEAR(host_of(with.step).value, 8 * host.value, 8);
  EXPECT_GT(StepTime(with.step), StepTime(without.step));
}

TEST(OffloadTest, TheHostsRateIsASourceOfUncertainty) {
  const Prepared p(kV2, {"training/optimizer/offload=1"});
  StepCache cache;
  const PreparedRun run(p.scenario.training(), cache);
  bool named = false;
  for (const UncertaintyShare& u : ForecastRun(run, {}, {}, {.samples = 16}, cache).uncertainty)
    named = named || (u.source.starts_with("host memory rate") && u.share > 0);
  EXPECT_TRUE(named);
}

// ---- Precision

TEST(PrecisionTest, EveryFormatMovesTheMemoryOrTheTrafficThatItIsOf) {
  const struct {
    const char* set;
    std::vector<std::string> both;  // part of both sides
    bool memory, traffic;
  } cases[] = {
      {"gemm=fp8_block", {}, true, true},
      {"dispatch=fp8_block", {}, false, true},
      {"dispatch=fp8_block", {"training/recompute=[\"permute\"]"}, true, true},
      {"combine=fp8_block", {}, false, true},
      {"saved_activations=fp8_block", {}, true, false},
      {"saved_swiglu=fp8_block", {}, true, false},
      {"weights=bf16", {"training/precision/gemm=fp8_block"}, true, true},
      {"main_grad=bf16", {}, true, false},
      {"grad_reduce=fp32", {}, true, true},
      {"master=bf16", {}, true, false},
      {"moments=bf16", {}, true, false},
  };
  for (const auto& c : cases) {
    std::vector<std::string> sets = c.both;
    const Prepared before(kV2, sets);
    sets.push_back(std::string("training/precision/") + c.set);
    const Prepared after(kV2, sets);
    EXPECT_EQ(before.step.memory[8].total() != after.step.memory[8].total(), c.memory) << c.set;
    const SentBytes a = TrafficByStage(before.step)[8], b = TrafficByStage(after.step)[8];
    EXPECT_EQ(a.nvlink != b.nvlink || a.network != b.network, c.traffic) << c.set;
    EXPECT_NE(StepTime(before.step), StepTime(after.step)) << c.set;
  }
}

}  // namespace
}  // namespace moecast
