// Failures and scaling of two pools, one of which prefills for the other.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/random.h"
#include "sim/serving/prepare.h"
#include "sim/serving/router.h"
#include "sim/serving/simulate.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

// One request: its prompt is computed to first_token, its cache is on its way to `moved`, then it
// decodes.
struct AloneRun {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 8, .ep = 8});
  Time first_token, moved, end;

  AloneRun() {
    run.deployment.prefill = {.parallel = {.tp = 1, .dp = 8, .ep = 8}};
    run.load.requests = {{.input_tokens = 20000, .output_tokens = 30}};
    const RequestOutcome request = Of({}).requests[0];
    first_token = request.first_token;
    end = request.end;
    moved = end;
    ServingCosts costs(run);
    for (int64_t context = 20001; context < 20030; ++context) {
      const IterationWork work{.decode = DecodeOf({&context, 1}), .mean_tokens = 1. / 8};
      moved = moved - Time::From(costs.iterations().Of(work).total);
    }
  }
  ServingOutcome Of(const std::vector<ReplicaFailure>& failures) {
    run.deployment.failures = failures;
    ServingCosts costs(run);
    return Simulate(run, costs);
  }
  // The end where a replica of the pool fails at that time, and is back 7 s later.
  ServingOutcome Failing(PoolKind pool, Time at) {
    return Of({{.pool = pool, .replica = 0, .at = at.seconds(), .recovery = Seconds(7)}});
  }
  static Time Back(Time at) { return at + Time::From(Seconds(7)); }
};

Time Between(Time a, Time b) {
  return Time{a.ps + (b.ps - a.ps) / 2};
}

// While the prompt is computed and while its cache is sent all is done again once the replica is
// back; once the cache has left, the replica is nobody's.
TEST(PoolFailureTest, AReplicaThatPrefillsLosesPromptsAndTheCachesThatItSends) {
  AloneRun alone;
  ASSERT_LT(alone.first_token, alone.moved);
  for (const Time at :
       {Between(Time{}, alone.first_token), Between(alone.first_token, alone.moved)}) {
    const ServingOutcome outcome = alone.Failing(PoolKind::kPrefill, at);
    EXPECT_EQ(outcome.run_again, 1);
    EXPECT_EQ(outcome.requests[0].started, Time{});
    EXPECT_EQ(outcome.requests[0].first_token, AloneRun::Back(at) + alone.first_token);
    EXPECT_EQ(outcome.requests[0].end, AloneRun::Back(at) + alone.end);
  }
  const ServingOutcome late = alone.Failing(PoolKind::kPrefill, Between(alone.moved, alone.end));
  EXPECT_EQ(late.run_again, 0);
  EXPECT_EQ(late.requests[0].end, alone.end);
}

// While the prompt is computed nothing is lost, and its cache is kept until the replica is back.
// From when the cache is sent on the prompt is computed again, by a replica that is there, and
// waits for the other.
TEST(PoolFailureTest, AReplicaThatDecodesLosesSequencesAndTheCachesThatComeToIt) {
  AloneRun alone;
  const Time prompt = Between(Time{}, alone.first_token);
  const ServingOutcome kept = alone.Failing(PoolKind::kDecode, prompt);
  EXPECT_EQ(kept.run_again, 0);
  EXPECT_EQ(kept.requests[0].first_token, alone.first_token);
  EXPECT_EQ(kept.requests[0].end, AloneRun::Back(prompt) + (alone.end - alone.first_token));
  for (const Time at :
       {Between(alone.first_token, alone.moved), alone.moved, Between(alone.moved, alone.end)}) {
    const ServingOutcome outcome = alone.Failing(PoolKind::kDecode, at);
    EXPECT_EQ(outcome.run_again, 1);
    EXPECT_EQ(outcome.requests[0].first_token, at + alone.first_token);
    EXPECT_EQ(outcome.requests[0].end, AloneRun::Back(at) + (alone.end - alone.first_token));
  }
}

ServingRun Pools(int requests, uint64_t seed) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 2, .ep = 2});
  run.deployment.prefill = {.parallel = {.tp = 1, .dp = 2, .ep = 2}, .replicas = 3};
  run.deployment.replicas = 3;
  Random random(seed);
  double at = 0;
  for (int i = 0; i < requests; ++i) {
    at += -std::log1p(-random.Uniform()) / 60;
    run.load.requests.push_back({.arrival = Time::From(Seconds(at)),
                                 .input_tokens = 200 + static_cast<int64_t>(random.Below(6000)),
                                 .output_tokens = 1 + static_cast<int64_t>(random.Below(150))});
  }
  return run;
}

// Whatever fails when, and whatever the router: each request ends once, each token after the first
// is made once or in a run that was lost, and (which the simulator holds itself to) no block of any
// cache is left taken.
TEST(PoolFailureTest, RequestsAndTokensAreConserved) {
  int64_t run_again = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    ServingRun run = Pools(400, seed);
    run.deployment.router = RouterPolicies()[seed % RouterPolicies().size()].name;
    if (seed % 2 == 0) run.deployment.engine.preemption_mode = PreemptionMode::kSwap;
    run.deployment.engine.gpu_memory_utilization = 0.42;
    run.deployment.prefill->engine.gpu_memory_utilization = 0.45;
    if (seed % 3 == 0) run.load.concurrency = 40;
    Random random(seed);
    for (int i = 0; i < 40; ++i)
      run.deployment.failures.push_back(
          {.pool = random.Below(2) == 0 ? PoolKind::kDecode : PoolKind::kPrefill,
           .replica = static_cast<int>(random.Below(3)),
           .at = Seconds(random.Uniform() * 8),
           .recovery = Seconds(random.Uniform() * 2)});
    ASSERT_FALSE(CheckDeployment(run.deployment, run.model, run.cluster));
    ServingCosts costs(run);
    const ServingOutcome outcome = Simulate(run, costs);
    run_again += outcome.run_again;
    int64_t asked = 0, prompts = 0, longest = 0;
    for (size_t i = 0; i < run.load.requests.size(); ++i) {
      const RequestOutcome& r = outcome.requests[i];
      const int64_t output = run.load.requests[i].output_tokens;
      EXPECT_GT(r.first_token, r.arrival);
      EXPECT_EQ(r.end > r.first_token, output > 1);
      asked += output - 1;
      prompts += run.load.requests[i].input_tokens;
      longest = std::max(longest, output - 1);
    }
    EXPECT_GE(outcome.counts.gaps.count(), asked) << seed;
    EXPECT_LE(outcome.counts.gaps.count(), asked + outcome.run_again * longest) << seed;
    EXPECT_GE(outcome.prefill->prompt_tokens, prompts) << seed;
  }
  EXPECT_GT(run_again, 500);
}

// Both pools follow the load, each paid for while its replicas are there.
TEST(PoolScalingTest, BothPoolsComeAndGoWithTheirRequests) {
  ServingRun run = Pools(3000, 1);
  for (size_t i = 2000; i < 3000; ++i)  // then at a thirtieth of the rate
    run.load.requests[i].arrival =
        run.load.requests[2000].arrival +
        (run.load.requests[i].arrival - run.load.requests[2000].arrival) * 30;
  const Autoscaling policy{.min_replicas = 1,
                           .target_requests = 4,
                           .startup = Seconds(2),
                           .interval = Seconds(1),
                           .stabilization = Seconds(5)};
  run.deployment.autoscaling = run.deployment.prefill->autoscaling = policy;
  run.deployment.failures = {
      {.replica = 0, .at = Seconds(9), .recovery = Seconds(3)},
      {.pool = PoolKind::kPrefill, .replica = 0, .at = Seconds(15), .recovery = Seconds(3)}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  EXPECT_GT(outcome.run_again, 0);
  for (const auto& scaling : {outcome.scaling, outcome.prefill_scaling}) {
    double paid = 0;
    int most = 0;
    const std::vector<ReplicaCount>& counts = scaling->counts;
    for (size_t i = 0; i < counts.size(); ++i) {
      const Time to = i + 1 < counts.size() ? counts[i + 1].at : outcome.end;
      paid += counts[i].replicas * (to - counts[i].at).seconds().value;
      most = std::max(most, counts[i].replicas);
    }
    EXPECT_EQ(counts.front().replicas, 1);
    EXPECT_EQ(most, 3);
    EXPECT_LT(counts.back().replicas, 3);
    EXPECT_NEAR(scaling->paid.value / paid, 1, 1e-6);
  }
  for (const RequestOutcome& request : outcome.requests) EXPECT_LT(request.arrival, request.end);
}

// Where caches take longer than answers, replicas are asked to go that have nothing but caches on
// their way to them or from them. They wait for these, which the simulator holds itself to.
TEST(PoolScalingTest, NoReplicaGoesBeforeTheCachesOnTheirWay) {
  size_t changes = 0;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    ServingRun run = Pools(60, seed);
    run.cluster.nic_usable = run.cluster.nic_usable / 2000;
    run.deployment.autoscaling =
        Autoscaling{.target_requests = 4, .interval = Seconds(0.2), .stabilization = Seconds(0)};
    run.deployment.prefill->autoscaling = run.deployment.autoscaling;
    ServingCosts costs(run);
    const ServingOutcome outcome = Simulate(run, costs);
    changes += outcome.scaling->counts.size();
    for (const RequestOutcome& request : outcome.requests) EXPECT_LT(request.arrival, request.end);
  }
  EXPECT_GT(changes, 12u);
}

// Requests of one token never come to the pool that decodes, and those of short prompts and long
// answers are hardly in the other.
TEST(PoolScalingTest, EachPoolFollowsItsOwnRequests) {
  const auto most = [](int64_t input, int64_t output) {
    ServingRun run = Pools(300, 1);
    for (Request& request : run.load.requests) {
      request.input_tokens = input;
      request.output_tokens = output;
    }
    run.deployment.autoscaling = Autoscaling{.target_requests = 4, .interval = Seconds(1)};
    run.deployment.prefill->autoscaling = run.deployment.autoscaling;
    ServingCosts costs(run);
    const ServingOutcome outcome = Simulate(run, costs);
    int replicas[] = {0, 0};
    for (const ReplicaCount& count : outcome.scaling->counts)
      replicas[0] = std::max(replicas[0], count.replicas);
    for (const ReplicaCount& count : outcome.prefill_scaling->counts)
      replicas[1] = std::max(replicas[1], count.replicas);
    return std::pair(replicas[0], replicas[1]);
  };
  EXPECT_EQ(most(8000, 1), std::pair(1, 3));
  EXPECT_EQ(most(100, 800), std::pair(3, 1));
}

// Where both always have all their replicas scaling changes nothing.
TEST(PoolScalingTest, WithAsManyAlwaysThereItChangesNothing) {
  ServingRun run = Pools(300, 2);
  ServingCosts costs(run);
  const ServingOutcome fixed = Simulate(run, costs);
  run.deployment.autoscaling = Autoscaling{.min_replicas = 3, .target_requests = 4};
  run.deployment.prefill->autoscaling = run.deployment.autoscaling;
  const ServingOutcome scaled = Simulate(run, costs);
  for (size_t i = 0; i < fixed.requests.size(); ++i)
    ASSERT_EQ(fixed.requests[i].end, scaled.requests[i].end);
}

}  // namespace
}  // namespace moecast
