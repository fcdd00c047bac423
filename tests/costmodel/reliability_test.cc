#include "costmodel/reliability.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/model_loader.h"

namespace moecast {
namespace {

constexpr double kMinute = 60, kHour = 3600;

Outages Of(double mtbf, double write, double restart) {
  return {.mtbf = Seconds(mtbf), .checkpoint_write = Seconds(write), .restart = Seconds(restart)};
}

TEST(ReliabilityTest, BestIntervalsAreThoseThatDalyPublished) {
  // Captions of figures 3 to 5 of the paper: checkpoints of 5 min, restarts of 10 min. The paper
  // expands in delta / M, which shows where M is only three times delta.
  EXPECT_NEAR(BestInterval(Of(24 * kHour, 5 * kMinute, 10 * kMinute)).value / kMinute, 117, 0.5);
  EXPECT_NEAR(BestInterval(Of(6 * kHour, 5 * kMinute, 10 * kMinute)).value / kMinute, 57, 0.5);
  EXPECT_NEAR(BestInterval(Of(15 * kMinute, 5 * kMinute, 10 * kMinute)).value / kMinute, 9.1, 0.1);
}

TEST(ReliabilityTest, WhereFailuresAreRareTheBestIntervalIsYoungs) {
  // J. W. Young, CACM 17 (1974): sqrt(2 delta M). The next term is smaller by a third of sqrt(2
  // delta / M).
  for (const double mtbf : {1e7, 1e9, 1e11}) {
    const double young = std::sqrt(2 * 10 * mtbf);
    EXPECT_NEAR(BestInterval(Of(mtbf, 10, 600)).value / young, 1, 0.5 * std::sqrt(20 / mtbf));
  }
}

TEST(ReliabilityTest, NoOtherIntervalIsBetterThanTheBest) {
  Random rng(5);
  for (int i = 0; i < 200; ++i) {
    const Outages o =
        Of(100 + 1e5 * rng.Uniform(), 0.1 + 500 * rng.Uniform(), 1000 * rng.Uniform());
    const Seconds best = BestInterval(o);
    const double least = WallPerWork(o, best);
    EXPECT_GE(least, 1);
    for (const double factor : {0.1, 0.5, 0.9, 0.99, 1.01, 1.1, 2.0, 5.0})
      EXPECT_GE(WallPerWork(o, best * factor), least * (1 - 1e-12));
  }
}

TEST(ReliabilityTest, WithoutFailuresOnlyCheckpointsCost) {
  EXPECT_NEAR(WallPerWork(Of(1e15, 30, 600), Seconds(600)), 1.05, 1e-9);
}

// Slow reference: segments of work and a checkpoint, begun again after each failure and restart.
double SimulatedWallPerWork(const Outages& o, double interval, int segments) {
  Random rng(11);
  const auto until_failure = [&] { return -o.mtbf.value * std::log(1 - rng.Uniform()); };
  double wall = 0;
  for (int i = 0; i < segments; ++i) {
    const double needed = interval + o.checkpoint_write.value;
    double failure = until_failure();
    while (failure < needed) {
      wall += failure;
      for (failure = until_failure(); failure < o.restart.value; failure = until_failure())
        wall += failure;
      wall += o.restart.value;
      failure = until_failure();
    }
    wall += needed;
  }
  return wall / (interval * segments);
}

TEST(ReliabilityTest, TheFormulaIsTheMeanOfASimulation) {
  const Outages frequent = Of(1000, 20, 100), rare = Of(89081, 1.2, 600);
  EXPECT_NEAR(SimulatedWallPerWork(frequent, 200, 400000) / WallPerWork(frequent, Seconds(200)), 1,
              0.004);
  EXPECT_NEAR(SimulatedWallPerWork(rare, 3600, 400000) / WallPerWork(rare, Seconds(3600)), 1,
              0.001);
}

TEST(ReliabilityTest, ACheckpointOfV2ByHand) {
  // 235,741,434,880 parameters: 2 bytes of weight, 4 of master and 8 of moments; over 256 nodes at
  // 10 GiB/s.
  const Model model = LoadModel("deepseek-v2");
  const double bytes = 235741434880.0 * 14;
  EXPECT_DOUBLE_EQ(CheckpointBytes(model, {}).value, bytes);
  Plan plan;
  plan.parallel.pp = 16;
  plan.parallel.dp = 128;
  const Outages o = OutagesOf({}, model, plan, LoadCluster("h800-2048"));
  EXPECT_DOUBLE_EQ(o.checkpoint_write.value, bytes / (256 * 10.0 * (1 << 30)));
  EXPECT_DOUBLE_EQ(o.mtbf.value, 50677.0 * 3600 / 2048);
  EXPECT_EQ(o.restart.value, 600);
  EXPECT_EQ(OutagesOf({.checkpoint_write = Seconds(7)}, model, plan, LoadCluster("h800-2048"))
                .checkpoint_write.value,
            7);
}

}  // namespace
}  // namespace moecast
