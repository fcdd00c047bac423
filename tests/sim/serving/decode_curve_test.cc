#include "sim/serving/decode_curve.h"

#include <gtest/gtest.h>

#include "sim/serving/prepare.h"
#include "sim/serving/serving_memory.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

// Every point is its batch over its iteration: ranks times sequences, for each GPU and each user.
// The last is what the cache holds: with 2^20 tokens of context in all, half of that context twice
// as many.
TEST(DecodeCurveTest, APointIsItsBatchOverItsIteration) {
  ServingRun run = ServingRunOf("deepseek-v2", "h800-8", {.tp = 1, .dp = 8, .ep = 8});
  run.deployment.weights = Dtype::kFp8Block;
  run.deployment.engine.max_num_seqs = 4096;
  run.deployment.engine.iteration_overhead = Milliseconds(2);
  run.deployment.engine.sequence_overhead = Microseconds(3);
  ServingCosts costs(run);
  const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
  for (const int64_t context : {2048, 1024}) {
    const auto curve = DecodeCurve(run, costs.iterations(), context);
    ASSERT_FALSE(curve.empty());
    for (const DecodePoint& p : curve) {
      IterationWork work;
      work.decode = DecodeOf(std::vector<int64_t>(static_cast<size_t>(p.sequences), context));
      work.mean_tokens = static_cast<double>(p.sequences);
      const double n = static_cast<double>(p.sequences);
      const double iteration = costs.iterations().Of(work).total.value + 2e-3 + 3e-6 * n;
      EXPECT_NEAR(p.iteration.value, iteration, 1e-12);
      EXPECT_NEAR(p.output_throughput, 8 * n / iteration, 1e-6);
      EXPECT_NEAR(p.tokens_per_gpu, n / iteration, 1e-6);
      EXPECT_NEAR(p.tokens_per_user, 1 / iteration, 1e-9);
    }
    EXPECT_EQ(curve.back().sequences, memory.blocks / (context / 16));
  }
}

// At the context that is found it makes so much, at one more it does not; what one sequence of one
// token cannot make is never reached, and of what every context makes the model's own is the
// longest.
TEST(DecodeCurveTest, TheLongestContextIsTheLast) {
  ServingRun run = ServingRunOf("deepseek-67b", "h800-8", {.tp = 8});
  ServingCosts costs(run);
  const auto most = [&](int64_t context) {
    return DecodeCurve(run, costs.iterations(), context).back().output_throughput;
  };
  const double wanted = (most(1500) + most(3000)) / 2;
  const auto found = LongestContextFor(run, costs.iterations(), wanted);
  ASSERT_TRUE(found);
  EXPECT_GE(most(*found), wanted);
  EXPECT_LT(most(*found + 1), wanted);
  EXPECT_FALSE(LongestContextFor(run, costs.iterations(), 1e9));
  EXPECT_EQ(LongestContextFor(run, costs.iterations(), 1), run.model.max_position);
}

}  // namespace
}  // namespace moecast
