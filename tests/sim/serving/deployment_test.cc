#include "sim/serving/deployment.h"

#include <gtest/gtest.h>

#include <vector>

#include "sim/serving/serving_memory.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

// Llama-3.1-8B in bf16 on one H100 of vLLM: 38.9 bytes for each of 1,024 x 128,256 logits, 0.13 GiB
// beside, and of the 71.26 GiB it asks for the cache has the rest. With two GPUs NCCL's 392 MiB are
// taken, and each rank caches 4 of the 8 heads.
TEST(DeploymentTest, TheCacheHasWhatWeightsActivationsAndRuntimeLeave) {
  ServingRun run = ServingRunOf("llama-3.1-8b", "h100-8", {});
  run.deployment.engine.max_num_seqs = 1024;
  const ServingMemory one = ServingMemoryOf(run.deployment, run.model, run.cluster);
  EXPECT_NEAR(one.weights.value, 2 * 8030261248.0, 2 * 4096);  // the last norm apart
  EXPECT_DOUBLE_EQ(one.activations.value, 38.9 * 1024 * 128256);
  EXPECT_DOUBLE_EQ(one.runtime / GiB(1), 0.13);
  EXPECT_DOUBLE_EQ(one.kv.value, (one.usable - one.weights - one.activations - one.runtime).value);
  EXPECT_EQ(one.kv_per_token.value, 65536 * 2);
  EXPECT_EQ(one.tokens, 16 * static_cast<int64_t>(one.kv.value / (16 * 131072)));

  run.deployment.parallel.tp = 2;
  const ServingMemory two = ServingMemoryOf(run.deployment, run.model, run.cluster);
  EXPECT_DOUBLE_EQ((two.runtime - one.runtime) / MiB(1), 392);
  EXPECT_EQ(two.kv_per_token.value, 65536);
}

TEST(DeploymentTest, ActivationsThatAreSaidTakeThePlaceOfTheProfilingRun) {
  ServingRun run = ServingRunOf("llama-3.1-8b", "h100-8", {});
  run.deployment.engine.activations = GiB(3);
  const ServingMemory said = ServingMemoryOf(run.deployment, run.model, run.cluster);
  EXPECT_EQ(said.activations, GiB(3));
  EXPECT_DOUBLE_EQ(said.kv.value, (said.usable - said.weights - GiB(3) - said.runtime).value);
}

// 67B in bf16 takes 135 GB, so one GPU of 80 GB has no room and two have; with tp alone, as it has
// no experts. Four would do as well and are not named.
TEST(DeploymentTest, LayoutsThatFitAreOfTheFewestGpus) {
  const ServingRun run = ServingRunOf("deepseek-67b", "h800-64", {});
  const ServingParallel two{.tp = 2};
  EXPECT_EQ(LayoutsThatFit(run.deployment, run.model, run.cluster), std::vector{two});
}

// DeepSeek-V3's module: a layer of the last kind, whose experts lie on 32 ranks as the others', and
// in front 2 x 7168 x 7168 and norms; it caches as one of 61 layers.
TEST(DeploymentTest, DraftingTakesTheModulesWeightsAndCache) {
  ServingRun run = ServingRunOf("deepseek-v3", "h800-64", {.tp = 1, .dp = 32, .ep = 32});
  run.deployment.weights = Dtype::kFp8Block;
  const ServingMemory without = ServingMemoryOf(run.deployment, run.model, run.cluster);
  run.deployment.engine.num_speculative_tokens = 1;
  const ServingMemory with = ServingMemoryOf(run.deployment, run.model, run.cluster);
  const double experts = 256 * 3.0 * 7168 * 2048;
  const double whole = static_cast<double>(MtpParameters(run.model)) - experts;
  const double bytes = (whole + experts / 32) * ElementBytes(Dtype::kFp8Block);
  EXPECT_NEAR((with.weights - without.weights).value / bytes, 1, 1e-3);
  EXPECT_DOUBLE_EQ(with.kv_per_token / without.kv_per_token, 62.0 / 61);
}

// 1 + a + a^2 + ...: each draft is kept where those before it are.
TEST(DeploymentTest, TokensAStepAreTheGeometricSum) {
  EngineSpec engine{.num_speculative_tokens = 3, .acceptance_rate = 0.5};
  EXPECT_DOUBLE_EQ(engine.TokensPerStep(), 1.875);
  engine.num_speculative_tokens = 0;
  EXPECT_EQ(engine.TokensPerStep(), 1);
}

// Of V2's 160 experts on 8 GPUs, 16 more slots are a tenth of their weights.
TEST(DeploymentTest, CopiesOfExpertsTakeMemory) {
  ServingRun run = ServingRunOf("deepseek-v2", "h800-8", {.tp = 1, .dp = 8, .ep = 8});
  const auto weights = [&] {
    return ServingMemoryOf(run.deployment, run.model, run.cluster).weights.value;
  };
  const double before = weights();
  run.deployment.engine.enable_eplb = true;
  run.deployment.engine.num_redundant_experts = 16;
  const auto experts =
      static_cast<double>(LayerParameters(run.model, LayerKind::kMoe).routed_experts *
                          run.model.layers(LayerKind::kMoe));
  EXPECT_NEAR((weights() - before) / (experts * 2 / 8 * 0.1), 1, 1e-9);
}

}  // namespace
}  // namespace moecast
