#include "costmodel/model.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace moecast {
namespace {

// hidden 8, 2 heads of 4, 1 KV head, MLP 16: small enough to count on fingers.
Model SmallDense() {
  Model m;
  m.hidden = 8;
  m.vocab = 100;
  m.attention = {.kind = &kGqaAttention, .heads = 2, .kv_heads = 1, .head_dim = 4};
  m.runs = {{LayerKind::kDense, 3}};
  m.dense_inter = 16;
  return m;
}

Model SmallMla() {
  Model m = SmallDense();
  m.attention = {.kind = &kMlaAttention,
                 .heads = 2,
                 .kv_heads = 2,
                 .q_lora_rank = 6,
                 .kv_lora_rank = 5,
                 .qk_nope_head_dim = 4,
                 .qk_rope_head_dim = 2,
                 .v_head_dim = 3};
  m.runs = {{LayerKind::kDense, 1}, {LayerKind::kMoe, 2}};
  m.moe = {.experts = 4, .shared_experts = 1, .top_k = 2, .inter = 10};
  return m;
}

TEST(ModelTest, GqaAttentionIsQueryKeyValueAndOutputMatrices) {
  Model m = SmallDense();
  EXPECT_EQ(AttentionParameters(m), 8 * 8 + 2 * (8 * 4) + 8 * 8);
  m.attention.qkv_bias = true;  // 2 + 1 + 1 heads of 4
  EXPECT_EQ(AttentionParameters(m), 192 + 16);
  m.attention.output_bias = true;
  EXPECT_EQ(AttentionParameters(m), 192 + 16 + 8);
}

TEST(ModelTest, MlaAttentionIsDownAndUpProjectionsOutputAndTheLatentsNorms) {
  Model m = SmallMla();
  const int64_t q = 8 * 6 + 6 * (2 * 6);
  const int64_t kv_down = 8 * (5 + 2);
  const int64_t kv_up = 5 * 2 * (4 + 3);
  const int64_t output = 2 * 3 * 8;
  EXPECT_EQ(AttentionParameters(m), q + kv_down + kv_up + output + 6 + 5);
  m.attention.qkv_bias = true;  // on the down-projections: 6 and 5 + 2
  EXPECT_EQ(AttentionParameters(m), q + kv_down + kv_up + output + 11 + 13);
}

TEST(ModelTest, MlaWithoutAQueryRankHasOneQueryMatrixAndNoQueryNorm) {
  Model m = SmallMla();
  m.attention.q_lora_rank = 0;
  EXPECT_EQ(AttentionParameters(m), 8 * (2 * 6) + 56 + 70 + 48 + 5);
}

TEST(ModelTest, MlpHasThreeMatricesAsSwigluAndTwoAsGelu) {
  Model m = SmallDense();
  EXPECT_EQ(MlpParameters(m, 16), 3 * 8 * 16);
  m.mlp_bias = true;
  EXPECT_EQ(MlpParameters(m, 16), 384 + 2 * 16 + 8);
  m.mlp = MlpKind::kGelu;
  EXPECT_EQ(MlpParameters(m, 16), 2 * 8 * 16 + 16 + 8);
}

TEST(ModelTest, LayerPartsSumToTheLayer) {
  const Model m = SmallMla();
  const LayerParts moe = LayerParameters(m, LayerKind::kMoe);
  EXPECT_EQ(moe.router, 4 * 8);
  EXPECT_EQ(moe.shared_experts, 3 * 8 * 10);
  EXPECT_EQ(moe.routed_experts, 4 * 3 * 8 * 10);
  EXPECT_EQ(moe.dense_mlp, 0);
  EXPECT_EQ(moe.norms, 16);
  EXPECT_EQ(moe.total(), AttentionParameters(m) + 16 + 32 + 240 + 960);
  const LayerParts dense = LayerParameters(m, LayerKind::kDense);
  EXPECT_EQ(dense.dense_mlp, 384);
  EXPECT_EQ(dense.router + dense.shared_experts + dense.routed_experts, 0);
  EXPECT_EQ(ActivatedLayerParameters(m, LayerKind::kMoe).routed_experts, 2 * 240);
}

TEST(ModelTest, RouterBiasIsOneNumberAnExpert) {
  Model m = SmallMla();
  m.moe.method = &kNoAuxTopK;
  EXPECT_EQ(LayerParameters(m, LayerKind::kMoe).router, 32 + 4);
}

TEST(ModelTest, TotalIsEmbeddingHeadFinalNormAndLayers) {
  const Model m = SmallDense();
  EXPECT_EQ(TotalParameters(m), 800 + 800 + 8 + 3 * (192 + 16 + 384));
}

TEST(ModelTest, TiedEmbeddingsCountOnceAndStayActiveAsTheHead) {
  Model m = SmallDense();
  const int64_t untied = TotalParameters(m);
  m.tied_embeddings = true;
  EXPECT_EQ(TotalParameters(m), untied - 800);
  EXPECT_EQ(HeadParameters(m), 0);
  EXPECT_EQ(ActivatedParameters(m, InputEmbedding::kCounted),
            ActivatedParameters(m, InputEmbedding::kLeftOut));
}

TEST(ModelTest, DenseModelActivatesAllButTheInputEmbedding) {
  const Model m = SmallDense();
  EXPECT_EQ(ActivatedParameters(m, InputEmbedding::kCounted), TotalParameters(m));
  EXPECT_EQ(ActivatedParameters(m, InputEmbedding::kLeftOut), TotalParameters(m) - 800);
}

TEST(ModelTest, MtpModuleIsAProjectionThreeNormsAndALayerOfTheLastKind) {
  Model m = SmallMla();
  EXPECT_EQ(MtpParameters(m), 0);
  const int64_t total = TotalParameters(m);
  m.mtp_layers = 2;
  EXPECT_EQ(MtpParameters(m),
            2 * (2 * 8 * 8 + 3 * 8 + LayerParameters(m, LayerKind::kMoe).total()));
  EXPECT_EQ(TotalParameters(m), total);
}

TEST(ModelTest, LayersAreCountedByKind) {
  Model m = SmallDense();
  m.runs = {{LayerKind::kDense, 1}, {LayerKind::kMoe, 2}, {LayerKind::kDense, 1}};
  EXPECT_EQ(m.layers(), 4);
  EXPECT_EQ(m.layers(LayerKind::kDense), 2);
  EXPECT_EQ(m.layers(LayerKind::kMoe), 2);
}

TEST(ModelTest, KvCacheHoldsTheLatentOfMlaAndKeysAndValuesOfGqa) {
  EXPECT_EQ(KvElementsPerToken(SmallMla()), 3 * (5 + 2));
  EXPECT_EQ(KvElementsPerToken(SmallDense()), 3 * 2 * 4);
  EXPECT_EQ(KvBytesPerToken(SmallDense(), 4).value, 12);
}

TEST(ModelTest, SlidingWindowBoundsTheCacheAndTheContext) {
  Model m = SmallDense();  // 3 layers of 2 * 4 elements a token
  EXPECT_EQ(KvElements(m, 100), 3 * 8 * 100);
  EXPECT_EQ(MeanContext(m.attention, 100, 100), 50);
  m.attention.sliding_window = 40;  // (40 * 20 + 60 * 40) / 100
  EXPECT_EQ(KvElements(m, 100), 3 * 8 * 40);
  EXPECT_EQ(KvElements(m, 30), 3 * 8 * 30);
  EXPECT_EQ(MeanContext(m.attention, 100, 100), 32);
  EXPECT_EQ(MeanContext(m.attention, 40, 40), 20);
  EXPECT_EQ(MeanContext(m.attention, 20, 100), 40);  // a chunk behind the window
  EXPECT_EQ(MeanContext(m.attention, 40, 60),
            35);  // keys 20 ... 40 of 20 queries, 40 of the others
}

TEST(ModelTest, FlopsAreTwoAMultiplyAddWithCausalAttentionHalf) {
  const Model m = SmallDense();
  const LayerFlops flops = ForwardLayerFlops(m, LayerKind::kDense, 10);
  EXPECT_EQ(flops.attention_projections, 2 * 192);
  EXPECT_EQ(flops.attention_core,
            2 * (10 / 2) * 2 * (4 + 4));  // two heads; scores 4 deep, values 4 wide
  EXPECT_EQ(flops.dense_mlp, 2 * 384);
  EXPECT_EQ(HeadFlops(m), 2 * 8 * 100);
  EXPECT_EQ(ForwardFlopsPerToken(m, 10), 1600 + 3 * (384 + 160 + 768));
  EXPECT_EQ(TrainingFlopsPerToken(m, 10), 3 * ForwardFlopsPerToken(m, 10));
}

TEST(ModelTest, MoeFlopsAreRouterSharedAndTopKExperts) {
  const LayerFlops flops = ForwardLayerFlops(SmallMla(), LayerKind::kMoe, 10);
  EXPECT_EQ(flops.router, 2 * 8 * 4);
  EXPECT_EQ(flops.shared_experts, 2 * 240);
  EXPECT_EQ(flops.routed_experts, 2 * 480);
  EXPECT_EQ(flops.dense_mlp, 0);
  EXPECT_EQ(flops.attention_core, 2 * 5 * 2 * (6 + 3));
  EXPECT_EQ(flops.attention_projections, 2 * (120 + 56 + 70 + 48));  // norms are not multiplied by
}

TEST(ModelTest, BiasesAndNormsCostNoFlops) {
  Model m = SmallMla();
  const double before = ForwardFlopsPerToken(m, 64);
  m.attention.qkv_bias = m.attention.output_bias = m.mlp_bias = true;
  m.moe.method = &kNoAuxTopK;
  EXPECT_EQ(ForwardFlopsPerToken(m, 64), before);
}

TEST(ModelTest, MtpFlopsAreItsProjectionItsLayerAndTheHeadAgain) {
  Model m = SmallMla();
  m.mtp_layers = 1;
  EXPECT_EQ(MtpForwardFlopsPerToken(m, 10),
            2 * 16 * 8 + ForwardLayerFlops(m, LayerKind::kMoe, 10).total() + HeadFlops(m));
}

// Over random models: what a token uses is part of the whole, all of it where it chooses every
// expert, and as the sequence shrinks the forward flops come down to two for each activated matrix
// element.
TEST(ModelTest, ActivatedIsAtMostTotalAndFlopsAreTwiceTheActivatedMatrices) {
  Random rng(7);
  const auto draw = [&rng](int low, int high) {
    return low + static_cast<int>(rng.Below(high - low + 1));
  };
  for (int trial = 0; trial < 300; ++trial) {
    Model m = draw(0, 1) ? SmallMla() : SmallDense();
    m.hidden = draw(1, 300);
    m.vocab = draw(1, 5000);
    m.tied_embeddings = draw(0, 1);
    m.dense_inter = draw(1, 900);
    m.moe.experts = draw(1, 40);
    m.moe.top_k = draw(1, m.moe.experts);
    m.moe.shared_experts = draw(0, 3);
    m.moe.inter = draw(1, 200);
    m.runs = {{LayerKind::kDense, draw(1, 5)}, {LayerKind::kMoe, draw(1, 5)}};
    const int64_t total = TotalParameters(m),
                  activated = ActivatedParameters(m, InputEmbedding::kCounted);
    ASSERT_LE(activated, total);
    ASSERT_LE(ActivatedParameters(m, InputEmbedding::kLeftOut), activated);
    Model all = m;
    all.moe.top_k = all.moe.experts;
    ASSERT_EQ(ActivatedParameters(all, InputEmbedding::kCounted), TotalParameters(all));

    const int64_t latent_norms = m.attention.kind == &kMlaAttention ? 6 + 5 : 0;
    const int64_t norms = m.hidden + m.layers() * (2 * m.hidden + latent_norms);
    const int64_t matrices = ActivatedParameters(m, InputEmbedding::kLeftOut) - norms;
    ASSERT_EQ(ForwardFlopsPerToken(m, 0), 2.0 * static_cast<double>(matrices)) << trial;
  }
}

}  // namespace
}  // namespace moecast
