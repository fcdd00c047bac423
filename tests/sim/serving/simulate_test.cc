#include "sim/serving/simulate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "costmodel/collectives/collectives.h"
#include "sim/serving/prepare.h"
#include "sim/serving/router.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/serving_report.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

void AddRequests(ServingRun& run, int count, double rate, int64_t input, int64_t output,
                 uint64_t seed = 1) {
  Random random(seed);
  double at = 0;
  for (int i = 0; i < count; ++i) {
    at += -std::log1p(-random.Uniform()) / rate;
    run.load.requests.push_back(
        {.arrival = Time::From(Seconds(at)), .input_tokens = input, .output_tokens = output});
  }
}

// One request in an idle engine: its prompt in one iteration, then a decode for each further token,
// each with one more token of context.
TEST(SimulateTest, AnUnloadedRequestTakesWhatTheCostModelSays) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.engine.iteration_overhead = Milliseconds(1);
  run.deployment.engine.sequence_overhead = Microseconds(10);
  run.load.requests = {
      {.arrival = Time::From(Seconds(3)), .input_tokens = 1000, .output_tokens = 5}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  const Prompt prompt{1000, 1000};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = 1000;
  const Seconds overhead = Milliseconds(1) + Microseconds(10);
  double expected = (costs.iterations().Direct(work).total + overhead).value;
  const RequestOutcome& request = outcome.requests[0];
  EXPECT_NEAR((request.first_token - request.arrival).seconds().value, expected, 0.005 * expected);
  double rest = 0;
  for (int64_t context = 1001; context <= 1004; ++context) {
    IterationWork decode;
    decode.decode = DecodeOf({&context, 1});
    decode.mean_tokens = 1;
    rest += (costs.iterations().Direct(decode).total + overhead).value;
  }
  EXPECT_NEAR((request.end - request.first_token).seconds().value, rest, 0.005 * rest);
  EXPECT_EQ(outcome.counts.iterations, 5);
}

// Without graphs the host launches all kernels of an iteration one after another, and the GPU waits
// for it: with a millisecond each it takes that, and with none what the kernels take.
TEST(SimulateTest, WithoutGraphsAnIterationTakesAtLeastItsLaunches) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.engine.iteration_overhead = Milliseconds(1);
  run.load.requests = {{.input_tokens = 1000, .output_tokens = 1}};
  ServingCosts costs(run);
  const auto first_token = [&](bool eager, Seconds launch) {
    run.deployment.engine.enforce_eager = eager;
    run.deployment.engine.kernel_launch = launch;
    return Simulate(run, costs).requests[0].first_token.seconds().value;
  };
  const Prompt prompt{1000, 1000};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = 1000;
  const int kernels = costs.iterations().KernelsOf(work);
  EXPECT_GT(kernels, 27 * 20);
  EXPECT_NEAR(first_token(true, Milliseconds(1)), 1e-3 + 1e-3 * kernels, 1e-9);
  EXPECT_EQ(first_token(true, Seconds(0)), first_token(false, Milliseconds(1)));
}

// An interval is as wide as the errors of the costs and those between engines together.
TEST(SimulateTest, EnginesErrBesideTheirKernels) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.load.requests = {{.input_tokens = 1000, .output_tokens = 10}};
  ServingCosts costs(run);
  const auto sigma = [&](double of_engine) {
    run.deployment.engine.sigma = of_engine;
    return Serve(run, costs).report.pool.sigma;
  };
  const double of_costs = sigma(0);
  EXPECT_GT(of_costs, 0.01);
  EXPECT_NEAR(sigma(0.3), std::hypot(of_costs, 0.3), 1e-12);
}

// Three prompts of one run each, one at a time, in a cache that has room for one and its answer:
// the third begins as the first and loads it from the host. Its last token alone is computed; what
// takes longer than that at the link's rate is waited for.
TEST(SimulateTest, APromptThatTheCacheDroppedIsLoadedFromATierBelow) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.load.block_tokens = 1024;
  run.load.hash_ids = {1, 2, 1};
  for (uint32_t i = 0; i < 3; ++i)
    run.load.requests.push_back({.arrival = Time::From(Seconds(i)),
                                 .input_tokens = 1025,
                                 .output_tokens = 1,
                                 .first_block = i,
                                 .blocks = 1});
  EngineSpec& engine = run.deployment.engine;
  engine.block_size = 1024;
  const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
  const Bytes one_run = memory.kv_per_token * 1024.0;
  // Two blocks and a half.
  engine.gpu_memory_utilization *= (memory.usable - memory.kv + one_run * 2.5) / memory.usable;
  const auto waits = [&](std::vector<CacheTier> tiers) {
    engine.cache_tiers = std::move(tiers);
    ServingCosts costs(run);
    const ServingOutcome outcome = Simulate(run, costs);
    EXPECT_EQ(outcome.counts.loaded_tokens, engine.cache_tiers.empty() ? 0 : 1024);
    std::vector<double> times;
    for (const RequestOutcome& r : outcome.requests)
      times.push_back((r.first_token - r.arrival).seconds().value);
    EXPECT_NEAR(outcome.counts.loading.value + outcome.counts.busy.total.value,
                times[0] + times[1] + times[2], 1e-9);
    return times;
  };
  const std::vector<double> none = waits({});
  EXPECT_NEAR(none[2], none[0], 1e-9);
  const std::vector<double> slow = waits({{one_run * 2.0, BytesPerSecond(1e9)}});
  EXPECT_NEAR(slow[2], one_run.value / 1e9, 1e-9);
  EXPECT_NEAR(slow[0], none[0], 1e-9);
  // By PCIe the load ends before the layers have run.
  const std::vector<double> fast = waits({{one_run * 2.0, std::nullopt}});
  EXPECT_GT(fast[2], (one_run / run.cluster.device.pcie_usable).value);
  EXPECT_LT(fast[2], none[2]);
  // A tier too small for a run passes it on to the next.
  EXPECT_EQ(waits({{one_run * 0.5, std::nullopt}, {one_run * 2.0, BytesPerSecond(1e9)}}), slow);
}

// All drafts kept, each step makes three tokens; none kept, it makes one, and what is verified in
// vain takes its time.
TEST(SimulateTest, DraftsThatAreKeptSaveIterations) {
  ServingRun run = ServingRunOf("deepseek-v3", "h800-64", {.tp = 1, .dp = 32, .ep = 32});
  run.deployment.weights = Dtype::kFp8Block;
  run.load.requests = {{.arrival = Time{}, .input_tokens = 1000, .output_tokens = 13}};
  const auto simulated = [&](int drafts, double acceptance) {
    run.deployment.engine.num_speculative_tokens = drafts;
    run.deployment.engine.acceptance_rate = acceptance;
    ServingCosts costs(run);
    return Simulate(run, costs);
  };
  const ServingOutcome none = simulated(0, 0), all = simulated(2, 1), wrong = simulated(2, 0);
  EXPECT_EQ(none.counts.iterations, 1 + 12);
  EXPECT_EQ(all.counts.iterations, 1 + 4);
  EXPECT_EQ(wrong.counts.iterations, 1 + 12);
  EXPECT_LT(all.end, none.end);
  EXPECT_LT(none.end, wrong.end);
  // A step is one of three tokens of one sequence, with a pass of the module for each draft.
  ServingCosts costs(run);
  double expected = 0;
  for (const int64_t context : {1003, 1006, 1009, 1012}) {
    IterationWork step;
    step.decode = DecodeOf(1, context, 3);
    step.mean_tokens = 3.0 / 32;
    step.mean_tokens = std::max(1.0, step.mean_tokens);
    expected += costs.iterations().Direct(step).total.value;
  }
  const RequestOutcome& request = all.requests[0];
  EXPECT_NEAR((request.end - request.first_token).seconds().value, expected, 0.01 * expected);
}

// One long prompt among many decodes leaves less than half a sequence to the mean iteration:
// without it a rank alone has as many tokens as the mean over the ranks.
TEST(SimulateTest, TheTypicalIterationOfOneRankIsItsOwnMean) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.engine.policy = "prefill-first";
  run.load.requests = {{.arrival = Time{}, .input_tokens = 4000, .output_tokens = 200}};
  ServingCosts costs(run);
  const IterationWork typical = Simulate(run, costs).counts.work.mean();
  EXPECT_EQ(typical.prefill.tokens, 0);
  EXPECT_EQ(typical.decode.tokens, 1);
  EXPECT_DOUBLE_EQ(typical.mean_tokens, 1);
}

// Prompts of one length one at a time, one token each: a queue of Poisson arrivals and a fixed
// service S, whose mean wait is rho S / (2 (1 - rho)) (Pollaczek and Khinchine). 200,000 requests
// leave some 1.5% of chance at rho 0.7.
TEST(SimulateTest, PromptsOneAtATimeWaitAsInAnMD1Queue) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.engine.max_num_seqs = 1;
  run.deployment.engine.max_num_batched_tokens = 512;
  IterationWork work;
  const Prompt prompt{512, 512};
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = 512;
  ServingCosts costs(run);
  const double service = costs.iterations().Of(work).total.value, rho = 0.7;
  AddRequests(run, 200000, rho / service, 512, 1);
  const ServingOutcome outcome = Simulate(run, costs);
  double wait = 0;
  for (const RequestOutcome& r : outcome.requests)
    wait += (r.first_token - r.arrival).seconds().value - service;
  wait /= static_cast<double>(outcome.requests.size());
  EXPECT_NEAR(wait / (rho * service / (2 * (1 - rho))), 1, 0.05);
}

// Whatever the policy and however scarce the cache: every token asked for is made, none before its
// prompt, gaps are as many as tokens after the first, and all that is in the system at a time is
// what arrives times how long it stays (Little).
TEST(SimulateTest, TokensAreConservedAndLittlesLawHolds) {
  int64_t preemptions = 0;
  for (const BatchingPolicy& policy : BatchingPolicies()) {
    for (const ServingParallel& parallel :
         {ServingParallel{}, ServingParallel{.tp = 1, .dp = 4, .ep = 4}}) {
      ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", parallel);
      run.deployment.engine.policy = policy.name;
      run.deployment.engine.max_num_seqs = 64;
      // A cache of some 8,000 tokens, which not 12 sequences fit into at their ends.
      const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
      const Bytes wanted = memory.usable - memory.kv + memory.kv_per_token * 8000;
      run.deployment.engine.gpu_memory_utilization = wanted / run.cluster.device.memory;
      run.deployment.replicas = parallel.dp > 1 ? 1 : 2;
      AddRequests(run, 1500, parallel.dp > 1 ? 30 : 10, 700, 150);
      ServingCosts costs(run);
      ASSERT_TRUE(ServingMemoryOf(run.deployment, run.model, run.cluster).fits());
      const ServingOutcome outcome = Simulate(run, costs);
      const TokenGaps& gaps = outcome.counts.gaps;
      double in_system = 0, first_to_last = 0;
      for (const RequestOutcome& r : outcome.requests) {
        EXPECT_EQ(r.how, RequestEnd::kCompleted);
        EXPECT_GT(r.first_token, r.arrival);
        EXPECT_GT(r.end, r.first_token);
        in_system += (r.end - r.arrival).seconds().value;
        first_to_last += (r.end - r.first_token).seconds().value;
      }
      preemptions += outcome.counts.preemptions;
      EXPECT_EQ(gaps.count(), 1500 * 149);
      EXPECT_NEAR(gaps.sum().value / first_to_last, 1, 1e-6) << policy.name;
      // All time is of prompts or of decodes, as all of it is of something.
      EXPECT_NEAR((outcome.counts.with_prompts + outcome.counts.decoding) / outcome.counts.total(),
                  1, 1e-9);
      const double duration = (outcome.end - outcome.begin).seconds().value;
      double sampled = 0;
      for (const ServingSample& s : outcome.series)
        sampled += static_cast<double>(s.waiting + s.running);
      sampled /= static_cast<double>(outcome.series.size());
      EXPECT_NEAR(sampled / (in_system / duration), 1, 0.1) << policy.name;
    }
  }
  EXPECT_GT(preemptions, 20);
}

// Two ranks in step, the second of which has the longer prompt: both first tokens come when that is
// done, at the mean of what both send to the experts.
TEST(SimulateTest, ARankWaitsForItsPeersLongerPrompt) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {.tp = 1, .dp = 2, .ep = 2});
  run.load.requests = {{.input_tokens = 100, .output_tokens = 1},
                       {.input_tokens = 8000, .output_tokens = 1}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  const Prompt prompt{8000, 8000};
  const IterationWork work{.prefill = PrefillOf({&prompt, 1}), .mean_tokens = 4050};
  const Time longest = Time::From(costs.iterations().Of(work).total);
  EXPECT_EQ(outcome.requests[0].first_token, longest);
  EXPECT_EQ(outcome.requests[1].first_token, longest);
}

// With all iterations twice as long a closed loop makes half as much, to the picosecond of
// rounding.
TEST(SimulateTest, AClosedLoopOfSlowerIterationsMakesLessInProportion) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  AddRequests(run, 200, 1e9, 300, 40);  // all at once
  run.load.concurrency = 16;
  ServingCosts costs(run);
  const ServingOutcome once = Simulate(run, costs);
  const ServingOutcome twice = Simulate(run, costs, {.decode = 2});
  EXPECT_NEAR((twice.end - twice.begin).seconds() / (once.end - once.begin).seconds(), 2, 1e-6);
  // Never more in the system than asked for, and all of them in the end.
  for (const ServingSample& s : once.series) EXPECT_LE(s.waiting + s.running, 16);
  for (const RequestOutcome& r : once.requests) EXPECT_GT(r.end, r.arrival);
}

// A request longer than the model takes, and one whose cache no rank has, are rejected and counted;
// the others are served.
TEST(SimulateTest, WhatCannotBeServedIsRejected) {
  ServingRun run = ServingRunOf("deepseek-67b", "h800-8", {.tp = 8});
  run.load.requests = {{.input_tokens = 10, .output_tokens = 10},
                       {.input_tokens = 4000, .output_tokens = 97},  // the model takes 4,096
                       {.input_tokens = 4000, .output_tokens = 96}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  EXPECT_EQ(outcome.requests[0].how, RequestEnd::kCompleted);
  EXPECT_EQ(outcome.requests[1].how, RequestEnd::kTooLong);
  EXPECT_EQ(outcome.requests[2].how, RequestEnd::kCompleted);
}

// One request through two pools that nothing else uses: its prompt as in the cost model, its cache
// at the rate of a NIC to another node, and decodes of one sequence.
TEST(SimulateTest, APrefilledPromptsCacheTakesItsWayOverTheNetwork) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 8, .ep = 8});
  run.deployment.prefill = {.parallel = {.tp = 1, .dp = 8, .ep = 8}};
  run.load.requests = {{.input_tokens = 4000, .output_tokens = 3}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  const RequestOutcome& request = outcome.requests[0];
  const Prompt prompt{4000, 4000};
  const IterationWork prefill{.prefill = PrefillOf({&prompt, 1}), .mean_tokens = 500};
  EXPECT_EQ(request.first_token, Time::From(costs.prefill_iterations().Of(prefill).total));
  double decodes = 0;
  for (int64_t context = 4001; context <= 4002; ++context) {
    const IterationWork work{.decode = DecodeOf({&context, 1}), .mean_tokens = 1. / 8};
    decodes += costs.iterations().Of(work).total.value;
  }
  const double moving = (request.end - request.first_token).seconds().value - decodes;
  // 27 layers of 512 + 64 elements of 16 bits.
  const Traffic alone = Send(std::vector<int>{0}, std::vector<int>{8}, Bytes(4000.0 * 27 * 576 * 2),
                             Routes(run.cluster));
  EXPECT_NEAR(moving / TimeAlone(alone, run.cluster).value, 1, 1e-6);
  EXPECT_EQ(outcome.counts.gaps.count(), 2);
}

// Replicas in turn do not influence each other: what three do together, on however many threads, is
// what each does with its third of the requests alone.
TEST(SimulateTest, ReplicasInTurnAreEachAlone) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.replicas = 3;
  AddRequests(run, 900, 40, 600, 80);
  ServingCosts costs(run);
  const ServingOutcome together = Simulate(run, costs);
  int64_t iterations = 0;
  for (size_t r = 0; r < 3; ++r) {
    ServingRun one = run;
    one.deployment.replicas = 1;
    one.load.requests.clear();
    for (size_t i = r; i < run.load.requests.size(); i += 3)
      one.load.requests.push_back(run.load.requests[i]);
    const ServingOutcome alone = Simulate(one, costs);
    iterations += alone.counts.iterations;
    for (size_t i = 0; i < alone.requests.size(); ++i) {
      EXPECT_EQ(alone.requests[i].first_token, together.requests[3 * i + r].first_token);
      EXPECT_EQ(alone.requests[i].end, together.requests[3 * i + r].end);
    }
  }
  EXPECT_EQ(iterations, together.counts.iterations);
}

// Through two pools short of memory, whatever the router: every token once, none before its prompt.
TEST(SimulateTest, PoolsConserveRequestsAndTokensWhateverTheRouter) {
  for (const RouterPolicy& router : RouterPolicies()) {
    ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 4, .ep = 4});
    run.deployment.prefill = {.parallel = {.tp = 1, .dp = 2, .ep = 2}, .replicas = 3};
    run.deployment.prefill->engine.gpu_memory_utilization = 0.3;
    run.deployment.engine.gpu_memory_utilization = 0.16;
    run.deployment.replicas = 2;
    run.deployment.router = router.name;
    AddRequests(run, 1500, 60, 1500, 120);
    run.load.requests[3].output_tokens = 1;  // made by the prompt: never moves
    ServingCosts costs(run);
    ASSERT_TRUE(Fits(run.deployment, run.model, run.cluster));
    const ServingOutcome outcome = Simulate(run, costs);
    EXPECT_EQ(outcome.counts.gaps.count(), 1499 * 119) << router.name;
    for (const RequestOutcome& r : outcome.requests) {
      EXPECT_GT(r.first_token, r.arrival);
      EXPECT_GE(r.end, r.first_token);
    }
    EXPECT_EQ(outcome.requests[3].end, outcome.requests[3].first_token);
    EXPECT_EQ(outcome.prefill->prompt_tokens, 1500 * 1500);
  }
}

// What a failure costs a request alone, to the picosecond: what was done is lost, and all of it is
// done once the replica is back.
TEST(ReplicaFailureTest, ARequestIsRunAgainFromItsBeginning) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.load.requests = {{.arrival = Time{}, .input_tokens = 3000, .output_tokens = 200}};
  ServingCosts costs(run);
  const RequestOutcome alone = Simulate(run, costs).requests[0];
  for (const double part : {0.001, 0.5, 0.999}) {
    run.deployment.failures = {
        {.replica = 0, .at = alone.end.seconds() * part, .recovery = Seconds(7)}};
    const Time back = Time::From(run.deployment.failures[0].at + Seconds(7));
    const ServingOutcome outcome = Simulate(run, costs);
    EXPECT_EQ(outcome.run_again, 1);
    EXPECT_EQ(outcome.requests[0].arrival, Time{});
    EXPECT_EQ(outcome.requests[0].started, Time{});
    EXPECT_EQ(outcome.requests[0].first_token, back + alone.first_token);
    EXPECT_EQ(outcome.requests[0].end, back + alone.end);
  }
}

// Requests are run by the others meanwhile, none is lost, and each makes its tokens once.
TEST(ReplicaFailureTest, OthersTakeWhatAFailedReplicaHad) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.replicas = 3;
  for (const char* router : {"round-robin", "least-loaded"}) {
    run.deployment.router = router;
    run.load.requests.clear();
    AddRequests(run, 600, 20, 1000, 100);
    ServingCosts costs(run);
    const Time at = Time::From(Seconds(10)), back = Time::From(Seconds(15));
    run.deployment.failures = {{.replica = 1, .at = Seconds(10), .recovery = Seconds(5)},
                               {.replica = 1, .at = Seconds(12), .recovery = Seconds(3)}};
    const ServingOutcome outcome = Simulate(run, costs, {}, {}, true);
    EXPECT_GT(outcome.run_again, 0);
    int64_t decodes = 0, while_down = 0, after = 0;
    for (size_t r = 0; r < outcome.records.size(); ++r)
      for (const IterationSpan& i : outcome.records[r].iterations) {
        decodes += i.decodes;
        if (r != 1) continue;
        EXPECT_TRUE(i.end <= at || i.start >= back);
        while_down += i.start >= at && i.start < back;
        after += i.start >= back;
      }
    EXPECT_EQ(while_down, 0);
    EXPECT_GT(after, 0);
    for (const RequestOutcome& request : outcome.requests) {
      EXPECT_LT(request.arrival, request.first_token);
      EXPECT_LT(request.first_token, request.end);
    }
    // Each decodes 99 tokens behind its first, some of those of failed replicas in vain.
    EXPECT_GE(decodes, 600 * 99);
    EXPECT_LE(decodes, 600 * 99 + outcome.run_again * 99);
    // One that comes after all has ended changes nothing.
    run.deployment.failures = {{.replica = 1, .at = outcome.end.seconds() * 2.0}};
    const ServingOutcome late = Simulate(run, costs);
    run.deployment.failures.clear();
    const ServingOutcome never = Simulate(run, costs);
    EXPECT_EQ(late.end, never.end);
    Time longer{};
    for (size_t i = 0; i < outcome.requests.size(); ++i)
      longer = longer + (outcome.requests[i].end - never.requests[i].end);
    EXPECT_GT(longer, Time{});
  }
}

// With nobody to take them requests wait, and the time in which nothing runs is idle.
TEST(ReplicaFailureTest, WhereNoReplicaIsLeftRequestsWait) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.replicas = 2;
  AddRequests(run, 200, 20, 500, 20);
  run.deployment.failures = {{.replica = 0, .at = Seconds(2), .recovery = Seconds(9)},
                             {.replica = 1, .at = Seconds(3), .recovery = Seconds(6)}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  const Time from = Time::From(Seconds(3)), to = Time::From(Seconds(9));
  for (const RequestOutcome& request : outcome.requests) {
    const bool meanwhile = from < request.arrival && request.arrival < to;
    EXPECT_GE(request.started, meanwhile ? to : Time{});
  }
  EXPECT_LE((outcome.counts.total() / 2).value, outcome.end.seconds().value - 6);
}

}  // namespace
}  // namespace moecast
