#include "sim/serving/autoscaler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "sim/serving/prepare.h"
#include "sim/serving/simulate.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

Time At(double seconds) {
  return Time::From(Seconds(seconds));
}

constexpr Autoscaling kPolicy{.min_replicas = 1,
                              .target_requests = 10,
                              .startup = Seconds(30),
                              .interval = Seconds(15),
                              .stabilization = Seconds(60)};

// Worked by hand.
TEST(AutoscalerTest, DecidesAsTheHorizontalPodAutoscaler) {
  Autoscaler scaler(kPolicy, 10, At(0));
  EXPECT_EQ(scaler.next(), At(15));
  EXPECT_TRUE(scaler.Advance(At(15), 100).opened.empty());  // 10 wanted, 1 + 4 at a time
  EXPECT_EQ(scaler.counts().back().replicas, 5);
  scaler.Advance(At(30), 54);  // 10.8 each, within a tenth of 10
  EXPECT_EQ(scaler.counts().back().replicas, 5);
  const auto ready = scaler.Advance(At(45), 100).opened;  // 20 each
  EXPECT_EQ(ready, (std::vector<int>{1, 2, 3, 4}));       // 30 s after they were started
  EXPECT_EQ(scaler.counts().back().replicas, 10);
  for (const double at : {60, 75, 90}) {
    EXPECT_TRUE(scaler.Advance(At(at), 5).closed.empty()) << at;  // 10 were wanted at 45 s
  }
  const auto closed = scaler.Advance(At(105), 5).closed;
  EXPECT_EQ(closed, (std::vector<int>{9, 8, 7, 6, 5, 4, 3, 2, 1}));
  for (const int replica : closed) scaler.Release(replica, At(110));
  EXPECT_EQ(scaler.counts().back().replicas, 1);
  // One from 0 to 200, four from 15 and five from 45, both to 110.
  EXPECT_DOUBLE_EQ(scaler.Paid(At(200)).value, 200 + 4 * 95 + 5 * 65);
}

// What has not begun to take requests goes first, at once.
TEST(AutoscalerTest, WhatStartsIsGivenUpBeforeWhatRuns) {
  Autoscaling policy = kPolicy;
  policy.startup = Seconds(100);
  policy.stabilization = Seconds(0);
  Autoscaler scaler(policy, 4, At(0));
  scaler.Advance(At(15), 40);
  EXPECT_EQ(scaler.counts().back().replicas, 4);
  EXPECT_TRUE(scaler.Advance(At(30), 1).closed.empty());
  EXPECT_EQ(scaler.counts().back().replicas, 1);
  EXPECT_DOUBLE_EQ(scaler.Paid(At(30)).value, 30 + 3 * 15);
}

ServingRun Wave(int replicas) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.replicas = replicas;
  run.deployment.router = "least-loaded";
  Random random(1);
  double at = 0;
  while (at < 600) {  // 2 requests a second, 60 between 100 s and 200 s
    at += -std::log1p(-random.Uniform()) / (at > 100 && at < 200 ? 60 : 2);
    run.load.requests.push_back({.arrival = At(at), .input_tokens = 2000, .output_tokens = 300});
  }
  return run;
}

TEST(AutoscalerTest, ReplicasComeAndGoWithTheLoadAndAreNotUsedBefore) {
  ServingRun run = Wave(6);
  run.deployment.autoscaling = kPolicy;
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs, {}, {}, true);
  const std::vector<ReplicaCount>& counts = outcome.scaling->counts;
  EXPECT_EQ(counts.front().replicas, 1);
  EXPECT_EQ(counts.back().replicas, 1);
  double paid = 0;
  int most = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const Time to = i + 1 < counts.size() ? counts[i + 1].at : outcome.end;
    paid += counts[i].replicas * (to - counts[i].at).seconds().value;
    most = std::max(most, counts[i].replicas);
  }
  EXPECT_GT(most, 3);
  EXPECT_NEAR(outcome.scaling->paid.value, paid, 1e-6);
  // None runs in its first 30 s, nor where fewer are there.
  for (size_t r = 1; r < outcome.records.size(); ++r)
    for (const IterationSpan& span : outcome.records[r].iterations) {
      int there = 0;
      for (const ReplicaCount& count : counts)
        if (count.at <= span.start - At(30)) there = std::max(there, count.replicas);
      EXPECT_GT(there, static_cast<int>(r));
    }
  for (const RequestOutcome& request : outcome.requests) EXPECT_LT(request.arrival, request.end);
}

TEST(AutoscalerTest, WithAsManyAlwaysThereItChangesNothing) {
  ServingRun run = Wave(3);
  ServingCosts costs(run);
  const ServingOutcome fixed = Simulate(run, costs);
  run.deployment.autoscaling = kPolicy;
  run.deployment.autoscaling->min_replicas = 3;
  const ServingOutcome scaled = Simulate(run, costs);
  for (size_t i = 0; i < fixed.requests.size(); ++i)
    ASSERT_EQ(fixed.requests[i].end, scaled.requests[i].end);
  EXPECT_NEAR(scaled.scaling->paid.value, 3 * (fixed.end - fixed.begin).seconds().value, 1e-6);
}

}  // namespace
}  // namespace moecast
