#include "costmodel/work.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/mixer.h"
#include "costmodel/causal_pairs.h"
#include "tests/each_change.h"

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
  EXPECT_EQ(Mixer()(DecodeOf(a)), Mixer()(DecodeOf(b)));
  EXPECT_NE(DecodeOf(a), DecodeOf(c));
  EXPECT_NE(Mixer()(DecodeOf(a)), Mixer()(DecodeOf(c)));
  Work loaded = DecodeOf(a);
  loaded.load.bytes.most = 1.5;
  EXPECT_NE(loaded, DecodeOf(a));
  EXPECT_NE(Mixer()(loaded), Mixer()(DecodeOf(a)));
}

// Five numbers and the mean and most of three shares.
TEST(WorkTest, AnyMemberMakesAnotherKey) {
  const Changes changes = ChangesOf(MicroBatchOf(3, 5));
  EXPECT_EQ(changes.all, 5 + 4 * 2);
  EXPECT_EQ(changes.same_value, 0);
  EXPECT_EQ(changes.same_hash, 0);
}

}  // namespace
}  // namespace moecast
