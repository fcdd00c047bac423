#include "costmodel/memory.h"

#include <gtest/gtest.h>

namespace moecast {
namespace {

// 1000 parameters on 8 data-parallel ranks; 800 of experts, on 4 expert-parallel ranks, so 2
// replicas. Each rank's share when cut: 1000/8 + 800/2 = 525. bf16 weights, fp32 gradients, fp32
// master and two moments: 2, 4 and 12 bytes.
constexpr BlockParameters kParameters{.data = 1000, .expert = 800};
ShardPlan Zero(int stage, int cp = 1) {
  return {.cp = cp, .ep = 4, .dp = 8, .zero = stage};
}

TEST(MemoryTest, ZeroCutsOptimizerStatesThenGradientsThenWeights) {
  const struct {
    int stage;
    double weights, gradients, optimizer;
  } cases[] = {{0, 1800 * 2, 1800 * 4, 1800 * 12},
               {1, 1800 * 2, 1800 * 4, 525 * 12},
               {2, 1800 * 2, 525 * 4, 525 * 12},
               {3, 525 * 2, 525 * 4, 525 * 12}};
  for (const auto& c : cases) {
    const StateBytes states = StatesOf(kParameters, Zero(c.stage));
    EXPECT_EQ(states.weights.value, c.weights) << c.stage;
    EXPECT_EQ(states.gradients.value, c.gradients) << c.stage;
    EXPECT_EQ(states.optimizer().value, c.optimizer) << c.stage;
  }
}

TEST(MemoryTest, ContextParallelRanksShareStatesToo) {
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(1, 2)), 1000.0 / 16 + 800.0 / 4);
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(1), 2),
            OptimizedParameters(kParameters, Zero(1, 2)));
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(0), 2),
            1800);  // two copies, each whole on its rank
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(0, 2)), 1800);
}

TEST(MemoryTest, Bf16WeightsAreTheirOwnBf16Master) {
  ShardPlan shard = Zero(0);
  shard.precision.master = shard.precision.moments = shard.precision.main_grad = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, shard).optimizer().value, 1800 * 2 * 2);  // two moments
  EXPECT_EQ(StatesOf(kParameters, shard).gradients.value, 1800 * 2);
  shard.precision.gemm = Dtype::kFp8;
  EXPECT_EQ(StatesOf(kParameters, shard).optimizer().value, 1800 * 3 * 2);
  EXPECT_EQ(StatesOf(kParameters, shard).weights.value, 1800);
}

// 525 parameters are updated; half of them on the host: 12 bytes of states each, 4 of gradient, 2
// of weight.
TEST(MemoryTest, OffloadedStatesAreOnTheHostWithTheirGradientsAndWeights) {
  ShardPlan shard = Zero(1);
  shard.optimizer_offload = 0.5;
  const StateBytes states = StatesOf(kParameters, shard);
  EXPECT_EQ(states.master.value, 262.5 * 4);
  EXPECT_EQ(states.moments.value, 262.5 * 8);
  EXPECT_EQ(states.host.value, 262.5 * 18);
  // bf16 weights that are their own master are held on the host, once.
  shard.precision.master = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, shard).host.value, 262.5 * (2 + 8 + 4));
}

// FP8 GEMMs on bf16 weights: 2 bytes and a copy of 1.
TEST(MemoryTest, WeightsHeldWiderThanTheGemmsTakeThemHaveCopies) {
  ShardPlan shard = Zero(0);
  shard.precision.gemm = Dtype::kFp8;
  EXPECT_EQ(StatesOf(kParameters, shard).weights.value, 1800);
  shard.precision.weights = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, shard).weights.value, 1800 * 3);
  EXPECT_EQ(AdamBytes(shard.precision), 30);
  shard.precision.gemm = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, shard).weights.value, 1800 * 2);
}

// Gradient 4, master read and written 8, two moments 16, the bf16 weight written 2. With bf16
// throughout: gradient 2, the weight read and written 4, moments 8.
TEST(MemoryTest, AdamReadsAndWritesItsStatesOnce) {
  Precision p;
  EXPECT_EQ(AdamBytes(p), 30);
  p.master = p.moments = p.main_grad = Dtype::kBf16;
  EXPECT_EQ(AdamBytes(p), 14);
}

}  // namespace
}  // namespace moecast
