// Pipelines of stages, as costs, memory and replicas see them.
#include <gtest/gtest.h>

#include "sim/serving/decode_curve.h"
#include "sim/serving/prepare.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/simulate.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

ServingRun Staged(const char* model, int tp, int pp) {
  ServingRun run = ServingRunOf(model, "h800-64", {.tp = tp, .pp = pp});
  run.deployment.engine.iteration_overhead = Milliseconds(1);
  run.deployment.engine.sequence_overhead = Microseconds(10);
  return run;
}

// V3's 61 layers, of which the first three are dense: 30 and one more for the stage before the
// last, 15 and one more for it (vLLM's get_pp_indices).
TEST(ServingStagesTest, WhatIsLeftOverGoesBeforeTheLast) {
  const Model v3 = LoadModel("deepseek-v3");
  const auto stages = [&](int pp) {
    std::vector<std::pair<int, int>> all;
    for (const ServingStage& stage : ServingStagesOf(v3, pp))
      all.push_back({stage.dense, stage.moe});
    return all;
  };
  using Stages = std::vector<std::pair<int, int>>;
  EXPECT_EQ(stages(1), (Stages{{3, 58}}));
  EXPECT_EQ(stages(2), (Stages{{3, 28}, {0, 30}}));
  EXPECT_EQ(stages(4), (Stages{{3, 12}, {0, 15}, {0, 16}, {0, 15}}));
  EXPECT_EQ(stages(31).front(), (std::pair{2, 0}));
  EXPECT_EQ(stages(31)[1], (std::pair{1, 1}));
}

// All stages together do what one does, and send between them: 80 layers of a model whose head and
// embedding are on two of them.
TEST(ServingStagesTest, StagesAddUpToOne) {
  for (const char* model : {"llama-3.1-70b", "deepseek-v2"}) {
    const ServingRun one = Staged(model, 8, 1);
    ServingCosts costs_of_one(one);
    for (const int pp : {2, 4}) {
      const ServingRun run = Staged(model, 8, pp);
      ServingCosts costs(run);
      const Prompt prompt{500, 900};
      IterationWork work;
      work.prefill = PrefillOf({&prompt, 1});
      work.decode = DecodeOf(20, 40000, 1);
      work.mean_tokens = 520;
      const Seconds send = costs.iterations().SendOf(work);
      EXPECT_GT(send.value, 0);
      Seconds stages;
      for (int s = 0; s < pp; ++s) stages += costs.iterations().OfStage(work, s).total;
      const BlockTime all = costs.iterations().Of(work);
      EXPECT_NEAR(all.total.value, (stages + send * (pp - 1)).value, 1e-12);
      EXPECT_NEAR(all.exposed[static_cast<size_t>(GroupKind::kPipelineNext)].value,
                  (send * (pp - 1)).value, 1e-12);
      EXPECT_NEAR(stages / costs_of_one.iterations().Of(work).total, 1, 1e-9);
      EXPECT_NEAR(all.total / costs.iterations().Direct(work).total, 1, 0.005);
    }
  }
}

// A GPU of four stages has a quarter of the layers; embedding and head are on the first and the
// last, of which the one with less room for a cache says how many tokens there are.
TEST(ServingStagesTest, AStageHoldsItsLayers) {
  const ServingRun one = Staged("llama-3.1-70b", 8, 1), four = Staged("llama-3.1-70b", 8, 4);
  const ServingMemory a = ServingMemoryOf(one.deployment, one.model, one.cluster);
  const ServingMemory b = ServingMemoryOf(four.deployment, four.model, four.cluster);
  const double embedding = static_cast<double>(EmbeddingParameters(one.model)) / 8 * 2;
  EXPECT_NEAR(b.weights.value, (a.weights.value - 2 * embedding) / 4 + embedding,
              1e-3 * a.weights.value);
  EXPECT_DOUBLE_EQ(b.kv_per_token.value, a.kv_per_token.value / 4);
  EXPECT_NEAR(static_cast<double>(b.tokens), b.kv / b.kv_per_token, 16);
}

// A request alone goes through one stage after the other; the host comes last.
TEST(ServingStagesTest, AnUnloadedRequestTakesAllStages) {
  ServingRun run = Staged("llama-3.1-70b", 4, 4);
  run.load.requests = {{.input_tokens = 1000, .output_tokens = 2}};
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  const Prompt prompt{1000, 1000};
  IterationWork first, second;
  first.prefill = PrefillOf({&prompt, 1});
  first.mean_tokens = 1000;
  second.decode = DecodeOf(1, 1001, 1);
  second.mean_tokens = 1;
  const Seconds overhead = Milliseconds(1) + Microseconds(10);
  const Seconds a = costs.iterations().Of(first).total + overhead,
                b = costs.iterations().Of(second).total + overhead;
  EXPECT_NEAR(outcome.requests[0].first_token.seconds().value, a.value, 1e-9);
  EXPECT_NEAR(outcome.requests[0].end.seconds().value, (a + b).value, 1e-9);
  // Of its time a GPU of four stages is busy for a quarter.
  EXPECT_NEAR(outcome.counts.total().value, (a + b).value / 4, 1e-9);
}

// Sequences that all decode: where stages are long each batch comes round when all have had their
// turn in the longest, where the host is long when it has served all, where neither is when it has
// gone through all. The replica does event by event what the curve says at once.
TEST(ServingStagesTest, BatchesComeRoundAsTheLongestStageOrTheHostLets) {
  for (const double host : {1e-4, 0.05}) {
    for (const int64_t sequences : {4, 256}) {
      ServingRun run = Staged("llama-3.1-70b", 2, 4);
      run.deployment.engine.iteration_overhead = Seconds(host);
      run.deployment.engine.sequence_overhead = Seconds(0);
      const auto curve = [&](ServingCosts& costs) {
        for (const DecodePoint& p : DecodeCurve(run, costs.iterations(), 1050))
          if (p.sequences == sequences) return p.iteration.value;
        return 0.0;
      };
      for (int i = 0; i < sequences; ++i)
        run.load.requests.push_back({.input_tokens = 50, .output_tokens = 2000});
      ServingCosts costs(run);
      const ServingOutcome outcome = Simulate(run, costs);
      double tpot = 0;
      for (const RequestOutcome& r : outcome.requests)
        tpot += (r.end - r.first_token).seconds().value / 1999 / static_cast<double>(sequences);
      EXPECT_NEAR(tpot / curve(costs), 1, 0.05) << host << " " << sequences;
    }
  }
}

// Batches that share a cache too small for all: none is lost, every token is a gap, and what gave
// way was computed again or swapped; the cache is empty at the end (Replica::Finish).
TEST(ServingStagesTest, BatchesThatShareACacheAllEnd) {
  int64_t preemptions = 0, swaps = 0, cached = 0;
  for (const char* policy : {"mixed", "prefill-first", "decode-first", "reserving"})
    for (const PreemptionMode mode : {PreemptionMode::kRecompute, PreemptionMode::kSwap})
      for (const bool fails : {false, true}) {
        ServingRun run =
            ServingRunOf("deepseek-v2-lite", "h800-8", {.tp = 1, .dp = 2, .ep = 2, .pp = 2});
        run.deployment.engine.policy = policy;
        run.deployment.engine.preemption_mode = mode;
        LeaveTokens(run, 6000);
        AddUnlikeRequests(run, 300, 60, 7);
        if (fails) {
          run.deployment.replicas = 2;
          run.deployment.failures = {{.replica = 0, .at = Seconds(2), .recovery = Seconds(1)}};
        }
        if (FindBatchingPolicy(policy)->reserves && mode == PreemptionMode::kSwap) continue;
        ServingCosts costs(run);
        const ServingOutcome outcome = Simulate(run, costs);
        if (!fails) {
          EXPECT_EQ(outcome.counts.gaps.count(), GapsAsked(run)) << policy;
        }
        EXPECT_EQ(fails, outcome.run_again > 0);
        // Room to their last tokens is kept for the sequences of all batches.
        if (FindBatchingPolicy(policy)->reserves) {
          EXPECT_EQ(outcome.counts.preemptions, 0);
        }
        for (const RequestOutcome& r : outcome.requests) {
          EXPECT_EQ(r.how, RequestEnd::kCompleted);
          EXPECT_GT(r.first_token, r.arrival);
          EXPECT_GE(r.end, r.first_token);
        }
        preemptions += outcome.counts.preemptions;
        swaps += outcome.counts.swaps;
        cached += outcome.counts.cached_tokens;
      }
  EXPECT_GT(preemptions, 100);
  EXPECT_GT(swaps, 50);
  EXPECT_GT(cached, 10000);
}

// A cache that holds one of the longest sequences and little more, of five batches: the first of
// all that were admitted goes on, and all end.
TEST(ServingStagesTest, TheFirstOfAllGoesOnWhereNoneElseCan) {
  for (const uint64_t seed : {2, 5, 8}) {
    ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {.pp = 5});
    run.deployment.engine.max_num_batched_tokens = 256;
    LeaveTokens(run, 1700 + 400 * static_cast<double>(seed % 7));
    AddUnlikeRequests(run, 150, 40 + 10 * static_cast<double>(seed), seed);
    ServingCosts costs(run);
    const ServingOutcome outcome = Simulate(run, costs);
    EXPECT_EQ(outcome.counts.gaps.count(), GapsAsked(run));
    EXPECT_GT(outcome.counts.preemptions, 10);
  }
}

// Three batches of a prompt of 300 tokens each, 64 at a time, in a cache of 20 blocks of 16, of
// which each needs 19. The third gives way and is not let in while the others find no blocks: else
// it was the last for ever, and the second never gave what the first needs.
TEST(ServingStagesTest, NothingIsAdmittedWhileAnotherBatchStarves) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-8", {.pp = 3});
  run.deployment.engine.max_num_batched_tokens = run.deployment.engine.max_num_seqs = 64;
  LeaveTokens(run, 20.5 * 16);
  run.load.requests.assign(3, {.input_tokens = 300, .output_tokens = 4});
  ServingCosts costs(run);
  const ServingOutcome outcome = Simulate(run, costs);
  EXPECT_GT(outcome.counts.preemptions, 1);
  EXPECT_LT(outcome.requests[0].end, outcome.requests[1].first_token);
  EXPECT_LT(outcome.requests[1].end, outcome.requests[2].first_token);
}

TEST(ServingStagesTest, WhatCannotBeCutIsRefused) {
  const auto pointer = [](const char* model, const auto& change) {
    ServingRun run = ServingRunOf(model, "h800-64", {.tp = 8, .pp = 2});
    change(run.deployment);
    const auto fault = CheckDeployment(run.deployment, run.model, run.cluster);
    return fault ? fault->pointer : "";
  };
  EXPECT_EQ(pointer("llama-3.1-70b", [](Deployment&) {}), "");
  EXPECT_EQ(pointer("llama-3.1-70b", [](Deployment& d) { d.parallel = {.pp = 81}; }),
            "/parallel/pp");
  EXPECT_EQ(pointer("llama-3.1-70b", [](Deployment& d) { d.engine.max_num_seqs = 1; }),
            "/engine/max_num_seqs");
  EXPECT_EQ(pointer("deepseek-v3", [](Deployment& d) { d.engine.num_speculative_tokens = 1; }),
            "/engine/num_speculative_tokens");
  EXPECT_EQ(pointer("llama-3.1-70b", [](Deployment& d) { d.prefill.emplace(); }), "/parallel/pp");
  EXPECT_EQ(pointer("llama-3.1-70b",
                    [](Deployment& d) {
                      d.parallel.pp = 1;
                      d.prefill = {.parallel = {.tp = 8, .pp = 2}};
                    }),
            "/prefill/parallel/pp");
}

}  // namespace
}  // namespace moecast
