// Preemption by swapping, as requests and replicas see it.
#include <gtest/gtest.h>

#include "sim/serving/prepare.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/simulate.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

// Two requests of 160 + 100 tokens in a cache of 20 blocks of 16: both have stored all of 10 blocks
// when they need an eleventh each, after their prompts. The second gives way with its 160 tokens
// and comes back, each way 160 tokens at the rate of PCIe, when the first has ended; nothing else
// takes time but what runs.
TEST(SwapTest, OneSwapOutAndInTakesItsBytesTwiceOverThePcieLink) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.engine.preemption_mode = PreemptionMode::kSwap;
  LeaveTokens(run, 20.5 * 16);
  run.load.requests = {{.input_tokens = 160, .output_tokens = 100},
                       {.input_tokens = 160, .output_tokens = 100}};
  for (const double slower : {1.0, 100.0}) {
    run.cluster.device.pcie_usable = LoadCluster("h800-8").device.pcie_usable / slower;
    ServingCosts costs(run);
    const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
    ASSERT_EQ(memory.blocks, 20);
    const ServingOutcome outcome = Simulate(run, costs);
    const ServingCounts& counts = outcome.counts;
    EXPECT_EQ(counts.preemptions, 1);
    EXPECT_EQ(counts.swaps, 1);
    EXPECT_EQ(counts.swapped_tokens, 160);
    const Seconds one_way = memory.kv_per_token * 160.0 / run.cluster.device.pcie_usable;
    EXPECT_NEAR(counts.swapping / (one_way * 2), 1, 1e-9);
    EXPECT_EQ(counts.iterations, 1 + 2 * 99);
    EXPECT_EQ(counts.prompt_tokens, 320);
    EXPECT_NEAR(counts.total() / (outcome.end - outcome.begin).seconds(), 1, 1e-9);
    EXPECT_EQ(counts.gaps.count(), 2 * 99);
    const Seconds first_to_last = (outcome.requests[0].end - outcome.requests[0].first_token +
                                   (outcome.requests[1].end - outcome.requests[1].first_token))
                                      .seconds();
    EXPECT_NEAR(counts.gaps.sum() / first_to_last, 1, 1e-6);
  }
}

// Half a gigabyte is room for as many blocks of each rank, and without the mode there is none.
TEST(SwapTest, HostMemoryHoldsAsManyBlocksAsItHasRoomFor) {
  ServingRun run = ServingRunOf("llama-3.1-8b", "h100-8", {.tp = 2});
  const auto blocks = [&] {
    return ServingMemoryOf(run.deployment, run.model, run.cluster).host_blocks;
  };
  EXPECT_EQ(blocks(), 0);
  run.deployment.engine.preemption_mode = PreemptionMode::kSwap;
  EXPECT_EQ(blocks(), (int64_t{4} << 30) / (16 * 65536));
  run.deployment.engine.swap_space = MiB(512) + Bytes(1000);
  EXPECT_EQ(blocks(), (int64_t{512} << 20) / (16 * 65536));
}

// Whatever the policy, the pools and the host memory: every token once, and a gap for each behind
// the first.
TEST(SwapTest, TokensAreConserved) {
  int64_t swaps = 0, recomputed = 0, cached = 0;
  for (const char* policy : {"mixed", "prefill-first", "decode-first"})
    for (const bool apart : {false, true})
      for (const double space : {0.02, 4.0}) {
        ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {.tp = 1, .dp = 2, .ep = 2});
        if (apart) run.deployment.prefill = {.parallel = {.tp = 1, .dp = 2, .ep = 2}};
        EngineSpec& engine = run.deployment.engine;
        engine.policy = policy;
        engine.max_num_seqs = 64;
        engine.preemption_mode = PreemptionMode::kSwap;
        engine.swap_space = GiB(space);
        LeaveTokens(run, 8000);
        AddUnlikeRequests(run, 600, 60, 3);
        ASSERT_FALSE(CheckDeployment(run.deployment, run.model, run.cluster));
        ServingCosts costs(run);
        const ServingOutcome outcome = Simulate(run, costs);
        EXPECT_EQ(outcome.counts.gaps.count(), GapsAsked(run)) << policy;
        Seconds first_to_last;
        for (const RequestOutcome& r : outcome.requests) {
          EXPECT_EQ(r.how, RequestEnd::kCompleted);
          EXPECT_GT(r.first_token, r.arrival);
          EXPECT_GT(r.end, r.first_token);
          first_to_last += (r.end - r.first_token).seconds();
        }
        EXPECT_NEAR(outcome.counts.gaps.sum() / first_to_last, 1, 1e-6) << policy;
        swaps += outcome.counts.swaps;
        recomputed += outcome.counts.preemptions - outcome.counts.swaps;
        cached += outcome.counts.cached_tokens;
        EXPECT_EQ(outcome.counts.swaps > 0, outcome.counts.swapping.value > 0);
      }
  EXPECT_GT(swaps, 100);
  EXPECT_GT(recomputed, 100);
  EXPECT_GT(cached, 10000);
}

// What failed is run again, what it had in host memory among it.
TEST(SwapTest, AFailedReplicaLosesWhatItHadInHostMemory) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
  run.deployment.replicas = 2;
  run.deployment.engine.preemption_mode = PreemptionMode::kSwap;
  LeaveTokens(run, 8000);
  AddUnlikeRequests(run, 300, 30, 5);
  for (int i = 1; i < 6; ++i)
    run.deployment.failures.push_back(
        {.replica = i % 2, .at = Seconds(2.0 * i), .recovery = Seconds(1)});
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  EXPECT_GT(outcome.run_again, 20);
  EXPECT_GT(outcome.counts.swaps, 20);
  for (const RequestOutcome& r : outcome.requests) EXPECT_GT(r.end, r.first_token);
}

// Copies that take no time cost less than computing again: the last request never ends later.
// Without shared prompts, that is: who computes again shares its beginning with others once more,
// who was swapped is back in blocks of its own, so that fewer run at once.
TEST(SwapTest, WithAnInfiniteLinkSwappingIsNeverSlower) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {});
    run.cluster.device.pcie_usable = BytesPerSecond(1e30);
    LeaveTokens(run, 6000);
    AddUnlikeRequests(run, 200, 60, seed, false);
    ServingCosts costs(run);
    const ServingOutcome again = Simulate(run, costs);
    run.deployment.engine.preemption_mode = PreemptionMode::kSwap;
    const ServingOutcome swapped = Simulate(run, costs);
    EXPECT_GT(swapped.counts.swaps, 0) << seed;
    EXPECT_LE(swapped.end, again.end) << seed;
    EXPECT_LT(swapped.counts.busy.total, again.counts.busy.total) << seed;
  }
}

}  // namespace
}  // namespace moecast
