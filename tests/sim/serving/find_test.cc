#include "sim/serving/find.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "base/random.h"
#include "sim/serving/prepare.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

// Prompts of one length one at a time, one token each: a server that takes S a request, whose rate
// is at most 1 / S. Poisson arrivals at `load` / S.
struct OneAtATime {
  explicit OneAtATime(double load, int count = 20000)
      : run(ServingRunOf("deepseek-v2-lite", "h800-8", {})) {
    run.deployment.engine.max_num_seqs = 1;
    run.deployment.engine.max_num_batched_tokens = 512;
    const Prompt prompt{512, 512};
    const IterationWork work{.prefill = PrefillOf({&prompt, 1}), .mean_tokens = 512};
    ServingCosts costs(run);
    service = costs.iterations().Of(work).total.value;
    Random random(1);
    double at = 0;
    for (int i = 0; i < count; ++i) {
      at += -std::log1p(-random.Uniform()) * service / load;
      run.load.requests.push_back(
          {.arrival = Time::From(Seconds(at)), .input_tokens = 512, .output_tokens = 1});
    }
  }
  ServingRun run;
  double service;
};

SloTerm Limit(std::string_view name, Seconds limit) {
  for (const LatencyMetric& metric : LatencyMetrics())
    if (metric.name() == name) return {metric, limit};
  ADD_FAILURE() << name;
  return {};
}

// 2% of the requests and three deviations may wait at the end: with 20,000 of them the rate found
// is between 1 / S and some 5% more, wherever the search begins.
TEST(FindRateTest, AServerHoldsOneOverItsServiceTime) {
  for (const double load : {0.05, 0.9, 7.0}) {
    const OneAtATime setup(load);
    ServingCosts costs(setup.run);
    const ServingSearch search = FindRate(setup.run, costs, {});
    ASSERT_TRUE(search.best);
    const double rate = 20000 / search.best->load.requests.back().arrival.seconds().value;
    EXPECT_GT(rate * setup.service, 0.98) << load;
    EXPECT_LT(rate * setup.service, 1.06) << load;
    EXPECT_NEAR(*search.headroom * load / (rate * setup.service), 1, 0.02);
    EXPECT_FALSE(search.short_load);
  }
}

// The mean wait of an M/D/1 queue is rho S / (2 (1 - rho)) (Pollaczek and Khinchine): S at rho 2/3,
// so that a mean time to first token of 2 S is met up to there.
TEST(FindRateTest, ALimitOfLatencyLowersTheRateAsTheQueueSays) {
  const OneAtATime setup(0.5, 40000);
  ServingCosts costs(setup.run);
  const Slo slo = {Limit("mean_ttft_ms", Seconds(2 * setup.service))};
  const ServingSearch search = FindRate(setup.run, costs, slo);
  ASSERT_TRUE(search.best);
  const double rate = 40000 / search.best->load.requests.back().arrival.seconds().value;
  EXPECT_NEAR(rate * setup.service, 2.0 / 3, 0.02);
  // Not even a request alone is as fast as half its service time.
  const OneAtATime few(0.5, 500);
  const Slo hopeless = {Limit("mean_ttft_ms", Seconds(0.5 * few.service))};
  EXPECT_FALSE(FindRate(few.run, costs, hopeless).best);
}

// 3.5 times what one server does takes four; of at most three none is found.
TEST(FindReplicasTest, SoManyAsTheLoadIsLong) {
  OneAtATime setup(3.5);
  ServingCosts costs(setup.run);
  const ServingSearch search = FindReplicas(setup.run, costs, {});
  ASSERT_TRUE(search.best);
  EXPECT_EQ(search.best->deployment.replicas, 4);
  setup.run.cluster.gpus = 3;
  EXPECT_FALSE(FindReplicas(setup.run, costs, {}).best);
}

// Two pools: what every pair of numbers says, tried one by one.
TEST(FindReplicasTest, PoolsAreTheFewestGpusOfAllPairs) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 2, .ep = 2});
  run.cluster.gpus = 12;
  run.deployment.prefill = {.parallel = {}};
  run.deployment.engine.max_num_seqs = 8;
  Random random(5);
  double at = 0;
  for (int i = 0; i < 1500; ++i) {
    at += -std::log1p(-random.Uniform()) / 28;
    run.load.requests.push_back(
        {.arrival = Time::From(Seconds(at)), .input_tokens = 2000, .output_tokens = 100});
  }
  ServingCosts costs(run);
  const Slo slo = {Limit("p99_ttft_ms", Milliseconds(1000))};
  const ServingSearch search = FindReplicas(run, costs, slo);
  ASSERT_TRUE(search.best);
  int fewest = 100;
  for (int p = 1; p <= 10; ++p)
    for (int d = 1; p + 2 * d <= 12; ++d) {
      run.deployment.replicas = d;
      run.deployment.prefill->replicas = p;
      const ServingOutcome outcome = Simulate(run, costs);
      if (IsStable(run.load, outcome) && Meets(RatesOf(run.load, outcome), slo))
        fewest = std::min(fewest, p + 2 * d);
    }
  EXPECT_GT(fewest, 4);
  EXPECT_LT(fewest, 12);
  EXPECT_EQ(search.best->deployment.gpus(), fewest);
}

// Every way to share 4 GPUs: a model without experts has tp and replicas; the best is the one that
// a run of each says. All at once, the most tokens a second win; over time, the least latency.
TEST(FindLayoutTest, TheBestIsThatOfAllLayouts) {
  for (const bool at_once : {true, false}) {
    ServingRun run = ServingRunOf("deepseek-7b", "h800-8", {.tp = 4});
    for (int i = 0; i < 200; ++i)
      run.load.requests.push_back({.arrival = Time::From(Seconds(at_once ? 0 : i * 0.05)),
                                   .input_tokens = 1000,
                                   .output_tokens = 100});
    const ServingSearch search = FindLayout(run, {});
    ASSERT_EQ(search.trials.size(), 3u);
    EXPECT_FALSE(search.short_load);  // ten times as long as a request, or paced by what is served
    ASSERT_TRUE(search.best);
    double best = 0;
    int of_best = 0;
    for (const int tp : {1, 2, 4}) {
      run.deployment.parallel = {.tp = tp};
      run.deployment.replicas = 4 / tp;
      ServingCosts costs(run);
      const ServingRates rates = RatesOf(run.load, Simulate(run, costs));
      const double of = at_once ? rates.output_tokens : 1 / rates.e2el.mean.value;
      if (of > best) of_best = tp;
      best = std::max(best, of);
    }
    EXPECT_EQ(search.best->deployment.parallel.tp, of_best);
    EXPECT_EQ(search.best->deployment.replicas, 4 / of_best);
    EXPECT_EQ(of_best, at_once ? 1 : 4);
  }
}

// One long answer beside a hundred of a token: all is done soonest where the long one is made by
// four GPUs, and a request waits least where four replicas share the prompts. All come at once, so
// what is made a second counts.
TEST(FindLayoutTest, WhatIsMadeASecondCountsWhereAllComesAtOnce) {
  ServingRun run = ServingRunOf("deepseek-7b", "h800-8", {.tp = 4});
  run.load.requests = {{.arrival = Time{}, .input_tokens = 1000, .output_tokens = 1500}};
  for (int i = 0; i < 100; ++i)
    run.load.requests.push_back({.arrival = Time{}, .input_tokens = 2000, .output_tokens = 1});
  const ServingSearch search = FindLayout(run, {});
  ASSERT_EQ(search.trials.size(), 3u);
  EXPECT_EQ(search.best->deployment.parallel.tp, 4);
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_GT(search.trials[i - 1].rates.output_tokens, search.trials[i].rates.output_tokens);
    EXPECT_GT(search.trials[i - 1].rates.e2el.mean, search.trials[i].rates.e2el.mean);
  }
}

// 2 GPUs of a model with experts: alone, in step with half of the experts each, cut by tp, whole
// on the ranks of tp. What does not fit is not tried.
TEST(FindLayoutTest, ExpertsAreSpreadInEveryWay) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {.tp = 1, .dp = 2, .ep = 2});
  run.load.requests = {{.arrival = Time{}, .input_tokens = 100, .output_tokens = 10}};
  std::set<std::vector<int>> layouts;
  for (const ServingTrial& t : FindLayout(run, {}).trials)
    layouts.insert({t.replicas, t.parallel.tp, t.parallel.dp, t.parallel.ep});
  const std::set<std::vector<int>> all = {{2, 1, 1, 1}, {1, 1, 2, 2}, {1, 2, 1, 1}, {1, 2, 1, 2}};
  EXPECT_EQ(layouts, all);
  run.deployment.engine.gpu_memory_utilization = 0.3;  // of 80 GB, where the model has 31
  for (const ServingTrial& t : FindLayout(run, {}).trials) EXPECT_EQ(t.replicas, 1);
}

// Of requests whose own latency is within the limit, whatever the stat; a load whose mean is within
// it has some that are not.
TEST(GoodputTest, CountsRequestsByTheirOwnLatency) {
  const OneAtATime setup(0.5);
  ServingCosts costs(setup.run);
  const ServingOutcome outcome = Simulate(setup.run, costs);
  const Seconds limit(1.5 * setup.service);
  double within = 0;
  for (const RequestOutcome& r : outcome.requests)
    within += (r.first_token - r.arrival).seconds().value <= limit.value;
  const double duration = (outcome.end - outcome.begin).seconds().value;
  const Slo slo = {Limit("median_ttft_ms", limit)};
  EXPECT_TRUE(Meets(RatesOf(setup.run.load, outcome), slo));
  EXPECT_DOUBLE_EQ(GoodputOf(setup.run.load, outcome, slo), within / duration);
  EXPECT_LT(within, 20000);
  EXPECT_GT(within, 10000);
}

}  // namespace
}  // namespace moecast
