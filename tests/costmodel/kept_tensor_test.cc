#include "costmodel/kept_tensor.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "tests/costmodel/step_ops.h"

namespace moecast {
namespace {

// DeepSeek-V2, one sequence of 4096 on EP 8, bf16. Per token, in elements of 2 bytes unless fp32.
TEST(KeptTensorTest, KeptBytesOfADeepSeekV2MoeLayer) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  const double until_backward =
      2 * 5120                   // inputs of the two norms
      + 1536 + 512 + 64          // latents before their norms, the shared RoPE key
      + 128 * (192 + 192 + 256)  // queries, keys, kv-up's output, of which values are a slice
      + 2 * 3072                 // shared experts' gate and up
      + 6 * 2 * 1536;            // experts' gate and up
  const double until_backward_fp32 = 128 + 160;  // log-sum-exp, scores
  const double until_weight = 5120 + 1536 + 512  // inputs of the down- and the two up-projections
                              + 128 * 128        // of the output projection
                              + 5120             // of router and shared experts
                              + 3072             // of the shared experts' down
                              + 6 * 5120 + 6 * 1536;  // of the experts
  const BlockMemory memory = StepOps(BlockKind::kMoe, m, plan).memory;
  EXPECT_NEAR(memory.until_backward.value, 4096 * (2 * until_backward + 4 * until_backward_fp32),
              1);
  EXPECT_NEAR(memory.until_weight.value, 4096 * 2 * until_weight, 1);
  EXPECT_NEAR(4096 * 6 * 5120 * 2, 252e6,
              1e6);  // the permuted tokens, the largest of all but queries, keys, values

  plan.recompute = {Recompute::kRmsNorm, Recompute::kMlaUp};
  const BlockMemory recomputed = StepOps(BlockKind::kMoe, m, plan).memory;
  const double norms = 5120 + 1536 + 512 + 5120;
  EXPECT_NEAR((memory.until_weight - recomputed.until_weight).value, 4096 * 2 * norms, 1);
  EXPECT_NEAR((recomputed.gradients - memory.gradients).value, 4096 * 2 * norms, 1);
  EXPECT_NEAR((memory.until_backward - recomputed.until_backward).value, 4096 * 2 * 128 * 640, 1);
}

TEST(KeptTensorTest, NoTwoKeptTensorsOfALayerHaveOneName) {
  EachBlockOfAnyPlan(4, [](const Model& m, BlockKind kind, Plan plan, Random& random) {
    if (kind == BlockKind::kMtp) return;  // a layer, an embedding and a head in one
    if (random.Below(2) == 0)
      plan.recompute = {Recompute::kRmsNorm, Recompute::kMlaUp, Recompute::kPermute};
    std::map<std::tuple<OpName, TensorName, Lifetime>, int> names;
    for (const KeptTensor& t : StepOps(kind, m, plan).tensors) {
      EXPECT_GT(t.bytes.value, 0);
      EXPECT_EQ((names[{t.op, t.tensor, t.lifetime}]++), 0)
          << NameOf(t.op) << " " << NameOf(t.tensor);
    }
    EXPECT_GE(names.size(), 1u);
  });
}

// Gate and up of the experts in FP8: 1 + 1/32 bytes in place of 2, for 12 x 1536 elements a token
// and 2 x 3072 of the shared experts. The copy is written by the forward pass and read by the
// backward pass.
TEST(KeptTensorTest, InputsOfTheActivationAreSavedInTheirOwnFormat) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  const BlockOps bf16 = StepOps(BlockKind::kMoe, m, plan);
  plan.precision.saved_swiglu = Dtype::kFp8Block;
  const BlockOps fp8 = StepOps(BlockKind::kMoe, m, plan);
  const double elements = 4096 * (6.0 * 2 * 1536 + 2 * 3072), less = 2 - (1 + 4.0 / 128);
  EXPECT_NEAR((bf16.memory.until_backward - fp8.memory.until_backward).value, elements * less, 1);
  const auto moved = [](const BlockOps& ops, Pass pass) {
    double bytes = 0;
    for (const Op& op : ops[pass])
      if (const auto* e = std::get_if<ElementwiseQuery>(&op.query)) bytes += e->bytes.value;
    return bytes;
  };
  EXPECT_NEAR(moved(fp8, Pass::kForward) - moved(bf16, Pass::kForward), elements * (2 - less), 1);
  EXPECT_NEAR(moved(bf16, Pass::kBackward) - moved(fp8, Pass::kBackward), elements * less, 1);
}

// The copies of a token for its experts are made again from the tokens received: each once for
// every device hit.
TEST(KeptTensorTest, PermutedTokensAreMadeAgainFromTheTokensReceived) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  const Bytes all = StepOps(BlockKind::kMoe, m, plan).memory.kept();
  plan.recompute = {Recompute::kPermute};
  const double devices = SpreadOf(m.moe, 8, 8).devices;  // 2.77
  EXPECT_NEAR((all - StepOps(BlockKind::kMoe, m, plan).memory.kept()).value,
              4096 * 5120 * 2 * (6 - devices), 1);
}

TEST(KeptTensorTest, OnOneDevicePermutedTokensAreMadeAgainFromTheLayersInputWhichIsKeptAnyway) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  const Bytes all = StepOps(BlockKind::kMoe, m, plan).memory.kept();
  plan.recompute = {Recompute::kPermute};
  EXPECT_NEAR((all - StepOps(BlockKind::kMoe, m, plan).memory.kept()).value, 4096.0 * 5120 * 2 * 6,
              1);
}

// DeepSeek-V2 over 160 ranks: each of a token's 6 experts is on a device of its own. What a rank
// sends is packed by destination and what it receives lies beside it, in the wider format of the
// two exchanges: bf16. Nothing else of the layer needs as much: the experts' up-projection reads
// 4096 * 6 rows of 5120 and writes 3072, 403 MB against 503.
TEST(KeptTensorTest, AnExchangeHoldsWhatItSendsAndWhatItReceives) {
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 160;
  plan.precision.dispatch = Dtype::kFp8Block;
  const BlockOps ops = StepOps(BlockKind::kMoe, LoadModel("deepseek-v2"), plan);
  const double sent = 4096.0 * 6 * 5120 * 2, received = sent;
  EXPECT_NEAR(ops.memory.transient.value, sent + received, 1);
  for (const KeptTensor& t : ops.tensors) {
    EXPECT_TRUE(t.lifetime != Lifetime::kWithinPass || t.tensor == TensorName::kSendAndReceive);
  }
}

}  // namespace
}  // namespace moecast
