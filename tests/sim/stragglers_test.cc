// What unequal expert loads do to a step, layer by layer and micro-batch by micro-batch.
#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/expert_load.h"
#include "scenarios/scenario.h"
#include "sim/forecast/prepared_run.h"
#include "sim/forecast/why.h"
#include "sim/training/breakdown.h"

namespace moecast {
namespace {

// Two stages of V2 with an expert-parallel group of 8 on each, six micro-batches.
TrainingRun StragglingRun(std::vector<std::string> sets) {
  std::vector<std::string> all = {"unknown={}", "training/parallel={\"pp\":2,\"ep\":8,\"dp\":8}",
                                  "training/phases/0/global_batch=48", "training/routing={}"};
  all.insert(all.end(), sets.begin(), sets.end());
  TrainingRun run = Scenario::Load("deepseek-v2-pretrain", all).training().phases.front();
  run.level = Level::kAnalytic;  // tests/sim/step_on_network_test.cc has them on shared links
  return run;
}

// Counts by layer and micro-batch: `hot` times as many for the experts of the first rank as for the
// others.
RoutingRecord Recorded(int layers, int micro_batches, const std::vector<double>& hot) {
  RoutingRecord r{.layers = layers, .experts = 160, .rows = micro_batches};
  for (const double h : hot)
    for (int e = 0; e < 160; ++e)
      r.counts.push_back(static_cast<uint32_t>(e < 20 ? 1000 * h : 1000));
  return r;
}

// Of the two layers and three micro-batches: every second layer repeats a pattern, a micro-batch
// on.
size_t Pattern(int layer, int micro_batch) {
  return static_cast<size_t>(layer % 2 * 3 + (micro_batch + layer / 2) % 3);
}

TEST(StragglersTest, ATaskTakesItsLayersEachAtItsOwnLoadInItsMicroBatch) {
  // Two patterns of layers, three of micro-batches; the 59 MoE layers repeat them.
  const std::vector<double> hot = {1, 1.5, 2, 1.25, 1, 3};
  TrainingRun run = StragglingRun({});
  run.record = std::make_shared<const RoutingRecord>(Recorded(2, 3, hot));
  StepCache cache;
  const PreparedRun prepared(run, cache);
  const Step& step = prepared.step(0);
  // Of a run in which all layers and micro-batches are one of these.
  std::vector<std::unique_ptr<PreparedRun>> alone;
  for (const double h : hot) {
    run.record = std::make_shared<const RoutingRecord>(Recorded(1, 1, {h}));
    alone.push_back(std::make_unique<PreparedRun>(run, cache));
    EXPECT_EQ(alone.back()->step(0).Longer(0).value, 0);
  }
  const auto [first, last] =
      std::pair{step.layout.LayersByPiece()[0], step.layout.LayersByPiece()[1]};
  EXPECT_EQ(first + last, 60);
  const TrainingSchedule& schedule = step.schedule();
  int checked = 0;
  for (int s = 0; s < 2; ++s) {
    for (int32_t i = schedule.lane_begin[s]; i < schedule.lane_begin[s + 1]; ++i) {
      const Task& t = schedule.tasks[i];
      if (t.part >= 0 ||
          (t.phase != Phase::kForward && t.phase != Phase::kBackward && t.phase != Phase::kWeight))
        continue;
      const Pass pass = t.phase == Phase::kForward    ? Pass::kForward
                        : t.phase == Phase::kBackward ? Pass::kBackward
                                                      : Pass::kWeight;
      double expected = 0;
      int layer = s == 0 ? 0 : first - 1;  // of the MoE layers; the model's first layer is dense
      for (const BlockRun& blocks : step.layout.runs[s]) {
        for (int b = 0; b < blocks.count; ++b) {
          if (blocks.kind != BlockKind::kMoe) {
            expected += step.blocks.Of(blocks.kind, pass).alone.total.value;
            continue;
          }
          const size_t at = pass == Pass::kWeight ? 0 : Pattern(layer, t.micro_batch);
          expected += (pass == Pass::kWeight ? step : alone[at]->step(0))
                          .blocks.Of(BlockKind::kMoe, pass)
                          .alone.total.value;
          ++layer;
        }
      }
      const double took = (step.timing.end[i] - step.timing.start[i]).seconds().value;
      EXPECT_NEAR(took, expected, 1e-10) << s << " " << NameOf(t.phase) << " of " << t.micro_batch;
      ++checked;
    }
  }
  EXPECT_GT(checked, 2 * 6 * 2);
}

TEST(StragglersTest, EvenLoadsTakeTheMeanOfEveryRankAndTheDifferenceIsTheImbalance) {
  for (const char* tokens : {"zipf", "clusters"}) {
    const TrainingRun run = StragglingRun(
        {"training/phases/0/sequence_length=512", "training/parallel={\"pp\":1,\"ep\":8,\"dp\":8}",
         std::string("training/routing/tokens/distribution=") + tokens});
    StepCache cache;
    const PreparedRun prepared(run, cache);
    const PreparedPhase even = WithEvenLoads(prepared.phase(0), cache);
    const Step &step = prepared.step(0), &level = even.step();
    EXPECT_EQ(level.work.load, EvenOf(step.work.load));
    const TrainingSchedule& schedule = step.schedule();
    bool differ = false;
    for (int32_t i = schedule.lane_begin[0]; i < schedule.lane_begin[1]; ++i) {
      EXPECT_EQ(level.Longer(i).value, 0);
      if (schedule.tasks[i].phase == Phase::kWeight) {
        EXPECT_EQ(step.Longer(i).value, 0);
      }
      differ = differ || step.Longer(i).value != 0;
    }
    EXPECT_TRUE(differ);
    // On one stage every task is on the path.
    const double saved = (StepTime(step) - StepTime(level)).value;
    EXPECT_GT(saved, 0);
    double imbalance = 0;
    for (const Cause& c : CriticalPath(step, level))
      if (c.cause == "imbalance") imbalance = c.time.value;
    EXPECT_NEAR(imbalance, saved, 1e-6 * StepTime(step).value);
    EXPECT_NEAR(LaneTimes(step)[0].total().value, StepTime(step).value, 1e-9);
  }
}

TEST(StragglersTest, DrawnCostsKeepTheExcess) {
  const TrainingRun run = StragglingRun({"training/phases/0/sequence_length=512",
                                         "training/parallel={\"pp\":1,\"ep\":8,\"dp\":8}",
                                         "training/routing/tokens/distribution=zipf"});
  StepCache cache;
  const PreparedRun prepared(run, cache);
  const Step& step = prepared.step(0);
  // Everything twice as slow is a step twice as long.
  const Seconds doubled = StepTime(step, [](const Cost& cost, uint64_t) { return cost.time * 2; });
  EXPECT_NEAR(doubled / StepTime(step), 2, 1e-6);
}

TEST(DeviceLimitTest, BytesGrowAsTheDevicesOfATokenAndTimeWithThem) {
  std::vector<double> devices, bytes, times;
  for (const int limit : {1, 2, 3, 4, 5, 8}) {
    const TrainingRun run = StragglingRun({"training/routing/topk_group=" + std::to_string(limit)});
    StepCache cache;
    const PreparedRun prepared(run, cache);
    devices.push_back(SpreadOf(RoutedBy(run.plan.routing.topk_group, run.model.moe), 8, 8).devices);
    bytes.push_back(TrafficByStage(prepared.step(0))[1].nvlink.value);
    times.push_back(StepTime(prepared.step(0)).value);
  }
  // The six best of 160 experts are in 4.5 groups of 8 on average.
  EXPECT_NEAR(devices[0], 1, 1e-12);
  EXPECT_NEAR(devices[2], 2.995, 0.001);
  EXPECT_NEAR(
      devices[5],
      8 * (1 - std::exp(std::lgamma(141) - std::lgamma(135) - std::lgamma(161) + std::lgamma(155))),
      1e-9);
  // 30 MoE layers, 6 micro-batches, dispatch and combine forward and backward, 4096 tokens of 5120
  // bf16 numbers, of which an eighth stay.
  for (size_t i = 1; i < devices.size(); ++i) {
    EXPECT_NEAR((bytes[i] - bytes[0]) / (devices[i] - devices[0]),
                30.0 * 6 * 4 * 4096 * 5120 * 2 * 7 / 8, 1e3);
    EXPECT_GT(times[i], times[i - 1]);
  }
}

TEST(TokenDroppingTest, ACapacityMakesTheStepShorterAndItsTrafficLess) {
  const auto step_of = [](const char* capacity) {
    StepCache cache;
    const TrainingRun run = StragglingRun(
        {"training/phases/0/sequence_length=512", "training/routing/tokens/distribution=zipf",
         std::string("training/routing/capacity_factor=") + capacity});
    const PreparedRun prepared(run, cache);
    return std::pair{StepTime(prepared.step(0)).value,
                     TrafficByStage(prepared.step(0))[0].nvlink.value};
  };
  const auto none = step_of("null");
  const auto loose = step_of("1.5");
  const auto tight = step_of("1.0");
  EXPECT_LT(tight.first, loose.first);
  EXPECT_LE(loose.first, none.first);
  EXPECT_LT(tight.second, none.second);
}

}  // namespace
}  // namespace moecast
