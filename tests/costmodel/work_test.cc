#include "costmodel/work.h"

#include <gtest/gtest.h>

#include <vector>

#include "costmodel/causal_pairs.h"

namespace moecast {
namespace {

// 4 new tokens behind 6 cached ones meet 7, 8, 9 and 10 keys.
TEST(CausalPairsTest, AQueryMeetsAllBeforeItAndItself) {
  EXPECT_EQ(CausalPairs<int64_t>(4, 10), 7 + 8 + 9 + 10);
  EXPECT_EQ(CausalPairs<int64_t>(4, 4), 1 + 2 + 3 + 4);
  EXPECT_EQ(CausalPairs<int64_t>(1, 10), 10);
  EXPECT_EQ(CausalPairs(4.0, 10.0), 34);
}

TEST(WorkTest, AMicroBatchsSequencesAttendToThemselves) {
  const Work work = MicroBatchOf(3, 5);
  EXPECT_EQ(work.sequences, 3);
  EXPECT_EQ(work.tokens, 15);
  EXPECT_EQ(work.query_key_pairs, 3 * (1 + 2 + 3 + 4 + 5));
  EXPECT_EQ(work.context_sum, 15);
  EXPECT_TRUE(IsTraining(work.pass));
}

TEST(WorkTest, DecodeReadsEachSequencesWholeContextForOneToken) {
  const std::vector<int64_t> contexts = {7, 100, 1};
  const Work work = DecodeOf(contexts);
  EXPECT_EQ(work.pass, Pass::kDecode);
  EXPECT_FALSE(IsTraining(work.pass));
  EXPECT_EQ(work.sequences, 3);
  EXPECT_EQ(work.tokens, 3);
  EXPECT_EQ(work.context_sum, 7 + 100 + 1);
  EXPECT_EQ(work.query_key_pairs, 7 + 100 + 1);
}

// A prompt of 4, and 2 more tokens of one of which 8 are cached: they meet 9 and 10 keys.
TEST(WorkTest, PrefillSumsPromptsAndChunks) {
  const std::vector<Prompt> prompts = {{.tokens = 4, .context = 4}, {.tokens = 2, .context = 10}};
  const Work work = PrefillOf(prompts);
  EXPECT_EQ(work.pass, Pass::kPrefill);
  EXPECT_EQ(work.sequences, 2);
  EXPECT_EQ(work.tokens, 6);
  EXPECT_EQ(work.query_key_pairs, (1 + 2 + 3 + 4) + (9 + 10));
  EXPECT_EQ(work.context_sum, 14);
}

// What costs the same is the same key, whatever sequences it is made of.
TEST(WorkTest, IsEqualAndHashesAlikeWhereAllItsSumsAre) {
  const std::vector<int64_t> a = {10, 30}, b = {20, 20}, c = {20, 21};
  EXPECT_EQ(DecodeOf(a), DecodeOf(b));
  EXPECT_EQ(HashOf(DecodeOf(a)), HashOf(DecodeOf(b)));
  EXPECT_NE(DecodeOf(a), DecodeOf(c));
  EXPECT_NE(HashOf(DecodeOf(a)), HashOf(DecodeOf(c)));
  Work loaded = DecodeOf(a);
  loaded.load.bytes.most = 1.5;
  EXPECT_NE(loaded, DecodeOf(a));
  EXPECT_NE(HashOf(loaded), HashOf(DecodeOf(a)));
}

}  // namespace
}  // namespace moecast
