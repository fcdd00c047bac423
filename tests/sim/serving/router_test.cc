#include "sim/serving/router.h"

#include <gtest/gtest.h>

#include <vector>

namespace moecast {
namespace {

struct Ranks {
  Ranks() {
    const SchedulerLimits limits{.max_num_seqs = 200,
                                 .max_num_batched_tokens = 8192,
                                 .block_size = 16,
                                 .blocks = 10000,
                                 .run_tokens = 16};
    for (int i = 0; i < 3; ++i) ranks.emplace_back(limits, *FindBatchingPolicy("mixed"));
    for (Scheduler& rank : ranks) pointers.push_back(&rank);
  }
  void Queue(int rank, int requests) {
    for (int i = 0; i < requests; ++i)
      ranks[static_cast<size_t>(rank)].Add(next++, {.input_tokens = 16, .output_tokens = 2});
  }
  size_t Choose(const char* policy, const SequenceAsked& asked, int64_t turn = 0) {
    return FindRouterPolicy(policy)->choose(pointers, turn, asked);
  }

  std::vector<Scheduler> ranks;
  std::vector<Scheduler*> pointers;
  int32_t next = 0;
};

TEST(RouterTest, InTurnOrWhereFewestAre) {
  Ranks r;
  r.Queue(0, 2);
  r.Queue(1, 1);
  r.Queue(2, 3);
  const SequenceAsked asked{.input_tokens = 100, .output_tokens = 1};
  for (int64_t turn = 0; turn < 6; ++turn)
    EXPECT_EQ(r.Choose("round-robin", asked, turn), static_cast<size_t>(turn % 3));
  EXPECT_EQ(r.Choose("least-loaded", asked), 1u);
}

// Rank 2 has 32 tokens of the prompt. That is over 30% of 100 tokens, not of 110. Requests ahead of
// the least loaded keep a prompt away where they are both more than 64 and more than half as many
// again.
TEST(RouterTest, ToItsPrefixUnlessItIsShortOrLoadsAreUneven) {
  Ranks r;
  const std::vector<uint64_t> text = {1, 2, 3, 4, 5, 6};
  r.ranks[2].Add(1000, {.input_tokens = 40, .output_tokens = 1, .hashes = text});
  r.ranks[2].Next();
  r.ranks[2].End();
  const auto chosen = [&](int64_t input) {
    return r.Choose("prefix-affinity", {.input_tokens = input, .output_tokens = 1, .hashes = text});
  };
  EXPECT_EQ(chosen(100), 2u);
  EXPECT_EQ(chosen(110), 0u);
  r.Queue(0, 10);
  r.Queue(1, 10);
  r.Queue(2, 74);
  EXPECT_EQ(chosen(100), 2u);
  r.Queue(2, 1);
  EXPECT_EQ(chosen(100), 0u);
  r.Queue(0, 40);
  r.Queue(1, 41);
  r.Queue(2, 1);  // 76 beside 50: 26 more, half as many again
  EXPECT_EQ(chosen(100), 2u);
}

}  // namespace
}  // namespace moecast
