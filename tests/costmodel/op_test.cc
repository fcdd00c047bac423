#include "costmodel/op.h"

#include <gtest/gtest.h>

namespace moecast {
namespace {

// y[4,6] = x[4,8] w[6,8]^T in bf16; the main gradient is fp32, read and written.
TEST(OpTest, AProductReadsItsOperandsAndWritesItsResult) {
  GemmQuery q{4, 6, 8};
  EXPECT_EQ(FlopsOf(q).value, 2 * 4 * 6 * 8);
  EXPECT_EQ(BytesOf(q).value, 2 * (4 * 8 + 6 * 8 + 4 * 6));
  q.pass = GemmPass::kDgrad;
  EXPECT_EQ(FlopsOf(q).value, 2 * 4 * 6 * 8);
  EXPECT_EQ(BytesOf(q).value, 2 * (4 * 6 + 6 * 8 + 4 * 8));
  q.pass = GemmPass::kWgrad;
  EXPECT_EQ(FlopsOf(q).value, 2 * 4 * 6 * 8);
  EXPECT_EQ(BytesOf(q).value, 2 * (4 * 6 + 4 * 8) + 2 * 4 * (6 * 8));
}

// Three experts' weights and twelve rows.
TEST(OpTest, GroupedProductsReadEveryExpertsWeightsOnce) {
  GroupedGemmQuery q{3, 12, 6, 8};
  EXPECT_EQ(FlopsOf(q).value, 2 * 12 * 6 * 8);
  EXPECT_EQ(BytesOf(q).value, 2 * (3 * 6 * 8 + 12 * 8 + 12 * 6));
  q.pass = GemmPass::kDgrad;
  EXPECT_EQ(BytesOf(q).value, 2 * (3 * 6 * 8 + 12 * 6 + 12 * 8));
  q.pass = GemmPass::kWgrad;
  EXPECT_EQ(FlopsOf(q).value, 2 * 12 * 6 * 8);
  EXPECT_EQ(BytesOf(q).value, 2 * (12 * 6 + 12 * 8) + 2 * 4 * (3 * 6 * 8));
}

// Two sequences of 16 tokens, 4 heads: 16 * 16 / 2 pairs a head where a token attends to those
// before it, of which each takes 2 * (192 + 128) flops; the backward pass five such products for
// two.
TEST(OpTest, CausalAttentionMeetsHalfOfTheSquare) {
  AttentionQuery q{AttentionPhase::kTrainForward, 4, 4, 192, 128, 2, 16, 16};
  EXPECT_EQ(FlopsOf(q).value, 2 * 4 * (16 * 16 / 2) * 2 * (192 + 128));
  q.phase = AttentionPhase::kTrainBackward;
  EXPECT_EQ(FlopsOf(q).value, 2.5 * 2 * 4 * (16 * 16 / 2) * 2 * (192 + 128));
  q.causal = false;
  q.phase = AttentionPhase::kPrefill;
  EXPECT_EQ(FlopsOf(q).value, 2 * 4 * (16 * 16) * 2 * (192 + 128));
  // One new token of a context of 100.
  q = {AttentionPhase::kDecode, 4, 4, 128, 128, 1, 1, 100, false};
  EXPECT_EQ(FlopsOf(q).value, 4 * 100 * 2 * (128 + 128));
}

}  // namespace
}  // namespace moecast
