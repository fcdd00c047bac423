#include "sim/serving/iteration_costs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "sim/serving/prepare.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

Work RandomPrefill(Random& random, int64_t most) {
  std::vector<Prompt> prompts(1 + random.Below(4));
  for (Prompt& p : prompts) {
    p.tokens = 1 + static_cast<int64_t>(random.Below(static_cast<uint64_t>(most) / 4));
    p.context = p.tokens + (random.Below(2) ? static_cast<int64_t>(random.Below(8000)) : 0);
  }
  return PrefillOf(prompts);
}

Work RandomDecode(Random& random) {
  std::vector<int64_t> contexts(1 + random.Below(256));
  const double scale = std::exp2(4 + 10 * random.Uniform());
  for (int64_t& context : contexts)
    context = 1 + static_cast<int64_t>(scale * (0.5 + random.Uniform()));
  return DecodeOf(contexts);
}

// What is looked up is what all ops come to, to half a per cent: decodes, prompts and both, ranks
// in step and alone, with an MTP module's drafts and without; to one per cent in halves, where
// attention of prompts and of decodes hides what travels as that of prompts does.
TEST(IterationCostsTest, TheTableIsTheDirectCost) {
  struct Case {
    const char* model;
    ServingParallel parallel;
    Dtype weights;
    int drafts = 0;
    bool halved = false;
  };
  double most = 0;
  for (const Case& c :
       {Case{"deepseek-v2", {.tp = 1, .dp = 8, .ep = 8}, Dtype::kFp8Block},
        Case{"deepseek-v2", {.tp = 8, .dp = 1, .ep = 8}, Dtype::kFp8Block},
        Case{"deepseek-v2", {.tp = 2, .dp = 4, .ep = 8}, Dtype::kFp8Block},
        Case{"deepseek-v2-lite", {}, Dtype::kBf16}, Case{"deepseek-67b", {.tp = 8}, Dtype::kBf16},
        Case{"mixtral-8x22b", {.tp = 4}, Dtype::kBf16},
        Case{"deepseek-v3", {.tp = 1, .dp = 8, .ep = 8}, Dtype::kFp8Block},
        Case{"deepseek-v3", {.tp = 1, .dp = 8, .ep = 8}, Dtype::kFp8Block, 1},
        Case{"deepseek-v3", {.tp = 1, .dp = 8, .ep = 8}, Dtype::kFp8Block, 3},
        Case{"deepseek-v2", {.tp = 1, .dp = 8, .ep = 8}, Dtype::kFp8Block, 0, true},
        Case{"deepseek-v3", {.tp = 2, .dp = 4, .ep = 8}, Dtype::kFp8Block, 1, true}}) {
    ServingRun run = ServingRunOf(c.model, "h800-8", c.parallel);
    run.deployment.weights = c.weights;
    run.deployment.engine.num_speculative_tokens = c.drafts;
    ServingCosts costs(run);
    Random random(3);
    for (int i = 0; i < 60; ++i) {
      IterationWork work{.halved = c.halved};
      if (i % 3 != 0) work.prefill = RandomPrefill(random, 8000);
      if (i % 3 != 1) work.decode = RandomDecode(random);
      if (i % 3 != 1)
        work.decode = DecodeOf(work.decode.sequences, work.decode.context_sum, 1 + c.drafts);
      const double spread = c.parallel.dp > 1 ? 0.3 + 0.9 * random.Uniform() : 1;
      work.mean_tokens = std::max(1.0, spread * static_cast<double>(work.tokens()));
      const double table = costs.iterations().Of(work).total.value;
      const double direct = costs.iterations().Direct(work).total.value;
      EXPECT_NEAR(table / direct, 1, c.halved ? 0.01 : 0.005)
          << c.model << " " << work.prefill.tokens << " + " << work.decode.tokens;
      most = std::max(most, std::abs(table / direct - 1));
    }
  }
  RecordProperty("most_percent", std::to_string(100 * most));
}

// In halves a layer takes at least what its kernels take, twice over, or its exchanges, and at most
// both one after the other; where tokens take long to travel it is worth it, with few it is not.
TEST(IterationCostsTest, HalvesHideWhatTravelsBehindWhatComputes) {
  ServingRun run = ServingRunOf("deepseek-v3", "h100-2048", {.tp = 1, .dp = 64, .ep = 64});
  run.deployment.weights = Dtype::kFp8Block;
  ServingCosts costs(run);
  const auto times = [&](int64_t sequences) {
    IterationWork work;
    work.decode = DecodeOf(sequences, sequences * 2000, 1);
    work.mean_tokens = static_cast<double>(sequences);
    IterationWork half = work;
    half.decode = DecodeOf(sequences / 2, sequences / 2 * 2000, 1);
    half.mean_tokens /= 2;
    const double whole = costs.iterations().Of(work).total.value;
    work.halved = true;
    const BlockTime halves = costs.iterations().Of(work), one = costs.iterations().Of(half);
    double compute = 0;
    for (size_t i = 0; i < halves.busy.size(); ++i)
      if (static_cast<OpClass>(i) != OpClass::kCollective) compute += halves.busy[i].value;
    EXPECT_GE(halves.total.value, compute);
    EXPECT_LT(halves.total.value, 2 * one.total.value);
    return whole / halves.total.value;
  };
  EXPECT_LT(times(32), 0.9);
  EXPECT_GT(times(256), 1.1);
}

// Of the halves' pieces, whose one block has the ops of both.
TEST(IterationCostsTest, HalvesRunTheLayersOfExpertsTwice) {
  ServingRun run = ServingRunOf("deepseek-v2", "h800-8", {.tp = 1, .dp = 8, .ep = 8});
  ServingCosts costs(run);
  IterationWork work;
  work.decode = DecodeOf(64, 64000, 1);
  work.mean_tokens = 64;
  const int whole = costs.iterations().KernelsOf(work);
  int experts = 0;
  for (const IterationCosts::Piece& piece : costs.iterations().pieces())
    if (piece.kind == BlockKind::kMoe)
      experts = piece.count * static_cast<int>(costs.iterations().OpsIn(piece, work).ops.size());
  work.halved = true;
  EXPECT_EQ(costs.iterations().KernelsOf(work), whole + experts);
}

// V3's experts get 32 rows each where ranks have 1,024 tokens in the mean, and with more a larger
// tile: 4% at once, and the table has the step where it is.
TEST(IterationCostsTest, TheTableHasTheStepsOfGroupedProducts) {
  ServingRun run = ServingRunOf("deepseek-v3", "h800-8", {.tp = 1, .dp = 8, .ep = 8});
  run.deployment.weights = Dtype::kFp8Block;
  ServingCosts costs(run);
  const Prompt prompt{1037, 1037};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  double before = 0, greatest = 0;
  for (double mean = 980; mean < 1100; mean += 0.125) {
    work.mean_tokens = mean;
    const double table = costs.iterations().Of(work).total.value;
    EXPECT_NEAR(table / costs.iterations().Direct(work).total.value, 1, 0.005) << mean;
    if (before > 0) greatest = std::max(greatest, table / before - 1);
    before = table;
  }
  EXPECT_GT(greatest, 0.03);
}

// A deployment's iteration of a prompt takes at least what its flops take at the device's peak, and
// one of a decode at least what reading the weights once takes.
TEST(IterationCostsTest, NoIterationBeatsThePeakOrTheMemory) {
  const ServingRun run = ServingRunOf("deepseek-67b", "h800-8", {.tp = 8});
  ServingCosts costs(run);
  const Prompt prompt{4096, 4096};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = 4096;
  const double flops = 4096 * (ForwardFlopsPerToken(run.model, 4096) - HeadFlops(run.model)) / 8;
  EXPECT_GT(costs.iterations().Of(work).total.value, flops / run.cluster.device.bf16_peak.value);
  IterationWork decode;
  const int64_t context = 1000;
  decode.decode = DecodeOf({&context, 1});
  decode.mean_tokens = 1;
  const double bytes =
      2.0 * static_cast<double>(TotalParameters(run.model) - EmbeddingParameters(run.model)) / 8;
  EXPECT_GT(costs.iterations().Of(decode).total.value, bytes / run.cluster.device.hbm.value);
}

// In step, the rank with more tokens sets the pace, its experts take the mean: between what all
// ranks with the mean and all with the most take.
TEST(IterationCostsTest, RanksInStepTakeBetweenTheMeanAndTheMost) {
  const ServingRun run = ServingRunOf("deepseek-v2", "h800-8", {.tp = 1, .dp = 8, .ep = 8});
  ServingCosts costs(run);
  const auto time = [&](int64_t tokens, double mean) {
    IterationWork work;
    work.decode = DecodeOf(std::vector<int64_t>(static_cast<size_t>(tokens), 1000));
    work.mean_tokens = mean;
    return costs.iterations().Of(work).total.value;
  };
  EXPECT_LT(time(64, 64), time(128, 64));
  EXPECT_LT(time(128, 64), time(128, 128));
}

}  // namespace
}  // namespace moecast
