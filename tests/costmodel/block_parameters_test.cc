#include <gtest/gtest.h>

#include "costmodel/layer_ops.h"
#include "scenarios/builtin.h"
#include "scenarios/model_loader.h"

namespace moecast {
namespace {

double Sum(const BlockParameters& p) {
  return p.data + p.expert;
}

TEST(ParametersTest, BlocksSumToTheModel) {
  for (const std::string_view name : BuiltinNames("models")) {
    const Model m = LoadModel(std::string(name));
    const auto of = [&](BlockKind kind) { return Sum(ParametersOf(kind, m, {}, false)); };
    double sum = of(BlockKind::kEmbedding) + of(BlockKind::kHead);
    if (m.tied_embeddings) sum -= static_cast<double>(EmbeddingParameters(m));
    sum += m.layers(LayerKind::kDense) * of(BlockKind::kDense) +
           m.layers(LayerKind::kMoe) * of(BlockKind::kMoe);
    if (m.mtp_layers > 0) sum += m.mtp_layers * of(BlockKind::kMtp);
    EXPECT_EQ(sum, static_cast<double>(TotalParameters(m) + MtpParameters(m))) << name;
  }
}

// A LayerNorm has two vectors: of a layer's two norms, of the head's one, of a module's three.
TEST(ParametersTest, ABiasOfTheNormsIsAVectorMoreForEachOfThem) {
  Model m = LoadModel("deepseek-v3");
  Model biased = m;
  biased.norm_bias = true;
  const auto more = [&](BlockKind kind) {
    return Sum(ParametersOf(kind, biased, {}, false)) - Sum(ParametersOf(kind, m, {}, false));
  };
  EXPECT_EQ(more(BlockKind::kMoe), 2 * 7168);
  EXPECT_EQ(more(BlockKind::kHead), 7168);
  EXPECT_EQ(more(BlockKind::kMtp), (2 + 3) * 7168);
}

// 160 experts of 3 x 5120 x 1536 over tp 2 and ep 8; the rest over tp, but for norms, router and
// MLA's down-projections.
TEST(ParametersTest, ARankHoldsItsPartOfALayer) {
  const Model m = LoadModel("deepseek-v2");
  const ShardPlan shard{.tp = 2, .ep = 8, .dp = 8};
  const BlockParameters p = ParametersOf(BlockKind::kMoe, m, shard, true);
  EXPECT_EQ(p.expert, 160 / 8 * 3.0 * 5120 * 1536 / 2);
  const double whole = 2 * 5120 + 160 * 5120 + 5120 * (1536 + 512 + 64) + 1536 + 512;
  const double cut =
      1536.0 * 128 * 192 + 512.0 * 128 * 256 + 128.0 * 128 * 5120 + 2 * 3.0 * 5120 * 1536;
  EXPECT_EQ(p.data, whole + cut / 2);
}

}  // namespace
}  // namespace moecast
