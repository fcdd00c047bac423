#include "costmodel/memory.h"

#include <gtest/gtest.h>

namespace moecast {
namespace {

// 1000 parameters on 8 data-parallel ranks; 800 of experts, on 4 expert-parallel ranks, so 2 replicas. Each
// rank's share when cut: 1000/8 + 800/2 = 525. bf16 weights, fp32 gradients, fp32 master and two moments: 2,
// 4 and 12 bytes.
constexpr BlockParameters kParameters{.data = 1000, .expert = 800};
Plan Zero(int stage, int cp = 1) {
  Plan plan;
  plan.parallel = {.ep = 4, .cp = cp, .dp = 8, .zero = stage};
  return plan;
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
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(1), 2), OptimizedParameters(kParameters, Zero(1, 2)));
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(0), 2), 1800);  // two copies, each whole on its rank
  EXPECT_EQ(OptimizedParameters(kParameters, Zero(0, 2)), 1800);
}

TEST(MemoryTest, Bf16WeightsAreTheirOwnBf16Master) {
  Plan plan = Zero(0);
  plan.precision.master = plan.precision.moments = plan.precision.main_grad = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, plan).optimizer().value, 1800 * 2 * 2);  // two moments
  EXPECT_EQ(StatesOf(kParameters, plan).gradients.value, 1800 * 2);
  plan.precision.gemm = Dtype::kFp8;
  EXPECT_EQ(StatesOf(kParameters, plan).optimizer().value, 1800 * 3 * 2);
  EXPECT_EQ(StatesOf(kParameters, plan).weights.value, 1800);
}

// 525 parameters are updated; half of them on the host: 12 bytes of states each, 4 of gradient, 2 of weight.
TEST(MemoryTest, OffloadedStatesAreOnTheHostWithTheirGradientsAndWeights) {
  Plan plan = Zero(1);
  plan.optimizer.offload = 0.5;
  const StateBytes states = StatesOf(kParameters, plan);
  EXPECT_EQ(states.master.value, 262.5 * 4);
  EXPECT_EQ(states.moments.value, 262.5 * 8);
  EXPECT_EQ(states.host.value, 262.5 * 18);
  // bf16 weights that are their own master are held on the host, once.
  plan.precision.master = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, plan).host.value, 262.5 * (2 + 8 + 4));
}

// FP8 GEMMs on bf16 weights: 2 bytes and a copy of 1.
TEST(MemoryTest, WeightsHeldWiderThanTheGemmsTakeThemHaveCopies) {
  Plan plan = Zero(0);
  plan.precision.gemm = Dtype::kFp8;
  EXPECT_EQ(StatesOf(kParameters, plan).weights.value, 1800);
  plan.precision.weights = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, plan).weights.value, 1800 * 3);
  EXPECT_EQ(AdamBytes(plan.precision), 30);
  plan.precision.gemm = Dtype::kBf16;
  EXPECT_EQ(StatesOf(kParameters, plan).weights.value, 1800 * 2);
}

// Gradient 4, master read and written 8, two moments 16, the bf16 weight written 2. With bf16 throughout:
// gradient 2, the weight read and written 4, moments 8.
TEST(MemoryTest, AdamReadsAndWritesItsStatesOnce) {
  Precision p;
  EXPECT_EQ(AdamBytes(p), 30);
  p.master = p.moments = p.main_grad = Dtype::kBf16;
  EXPECT_EQ(AdamBytes(p), 14);
}

}  // namespace
}  // namespace moecast
