#include "sim/serving/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/random.h"
#include "tests/sim/serving/each_sequence.h"

namespace moecast {
namespace {

const BatchingPolicy& Policy(const char* name) {
  return *FindBatchingPolicy(name);
}

// Which ids an iteration's end names.
std::vector<int32_t> Ids(std::span<const int32_t> ids) {
  std::vector<int32_t> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

void ExpectEqual(const Work& a, const Work& b) {
  EXPECT_EQ(a.sequences, b.sequences);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.query_key_pairs, b.query_key_pairs);
  EXPECT_EQ(a.context_sum, b.context_sum);
}

// Sums and changes give what looking at every sequence does, preemptions included, until nothing is
// left: all tokens made, all blocks free.
TEST(SchedulerTest, AggregatesGiveWhatEachSequenceDoes) {
  Random random(7);
  int64_t preemptions = 0, iterations = 0, cached = 0, loaded = 0, swaps = 0, holding = 0;
  for (int run = 0; run < 600; ++run) {
    SchedulerLimits limits;
    limits.max_num_seqs = 1 + static_cast<int64_t>(random.Below(12));
    if (random.Below(2) == 0) {
      limits.drafts = 1 + static_cast<int64_t>(random.Below(3));
      limits.tokens_per_step = 1 + random.Uniform() * static_cast<double>(limits.drafts);
    }
    limits.max_num_batched_tokens =
        limits.max_num_seqs * (1 + limits.drafts) + static_cast<int64_t>(random.Below(60));
    limits.block_size = 1 + static_cast<int64_t>(random.Below(9));
    limits.blocks = 4 + static_cast<int64_t>(random.Below(60));
    limits.run_tokens = limits.block_size * static_cast<int64_t>(random.Below(4));
    for (size_t tiers = limits.run_tokens > 0 ? random.Below(3) : 0; tiers > 0; --tiers)
      limits.tier_runs.push_back(static_cast<int64_t>(random.Below(12)));
    if (random.Below(2) == 0) limits.host_blocks = static_cast<int64_t>(random.Below(40));
    const bool elsewhere = random.Below(4) == 0;  // some prompts are computed
    // Prompts that begin with one of few texts, as far as their hashes tell.
    std::vector<std::vector<uint64_t>> texts(1 + random.Below(4));
    for (std::vector<uint64_t>& text : texts)
      for (int i = 0; i < 12; ++i)
        text.push_back(i == 0 ? random.Below(3) : text.back() * 7 + 10 + random.Below(2));
    const BatchingPolicy& policy = BatchingPolicies()[random.Below(BatchingPolicies().size())];
    SCOPED_TRACE(std::string(policy.name) + " run " + std::to_string(run));
    Scheduler fast(limits, policy);
    EachSequence slow(limits, policy);
    int32_t added = 0;
    int64_t to_make = 0, made = 0;
    for (int step = 0; step < 400 || !fast.idle(); ++step) {
      ASSERT_LT(step, 100000);
      for (; step < 300 && added < 60 && random.Below(3) == 0; ++added) {
        const int64_t input = 1 + static_cast<int64_t>(random.Below(40));
        const int64_t output = 1 + static_cast<int64_t>(random.Below(30));
        if (fast.BlocksOf(input, output) > limits.blocks) continue;
        const SequenceAsked asked{.input_tokens = input,
                                  .output_tokens = output,
                                  .hashes = texts[random.Below(texts.size())],
                                  .prefilled = elsewhere && output > 1 && random.Below(2) == 0};
        fast.Add(added, asked);
        slow.Add(added, asked);
        to_make += output - asked.prefilled;
      }
      const Batch a = fast.Next(), b = slow.Next();
      ExpectEqual(a.prefill, b.prefill);
      ExpectEqual(a.decode, b.decode);
      EXPECT_EQ(a.loaded, b.loaded);
      EXPECT_EQ(a.swapped, b.swapped);
      EXPECT_EQ(limits.host_blocks - fast.host_blocks_used(), slow.host_free());
      ASSERT_EQ(limits.blocks - fast.blocks_used(), slow.free());
      EXPECT_LE(a.tokens(), limits.max_num_batched_tokens);
      EXPECT_LE(fast.running(), limits.max_num_seqs);
      if (a.empty()) {
        EXPECT_TRUE(fast.idle());
        continue;
      }
      ++iterations;
      const BatchEnd end = fast.End();
      const EachSequence::Ended ended = slow.End();
      made += end.tokens;
      EXPECT_EQ(Ids(end.first_token), Ids(ended.first));
      EXPECT_EQ(Ids(end.finished), Ids(ended.finished));
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_EQ(made, to_make);
    EXPECT_EQ(fast.blocks_used(), 0);
    EXPECT_EQ(fast.host_blocks_used(), 0);
    EXPECT_LE(fast.swaps(), fast.preemptions());
    preemptions += fast.preemptions();
    swaps += fast.swaps();
    if (fast.cached_tokens() > 0) holding += fast.swaps();
    cached += fast.cached_tokens();
    loaded += fast.loaded_tokens();
  }
  EXPECT_GT(loaded, 1000);
  EXPECT_GT(cached, 10000);
  EXPECT_GT(preemptions, 100);
  EXPECT_GT(swaps, 100);
  EXPECT_GT(holding, 100);
  EXPECT_GT(iterations, 10000);
}

// 100 tokens in chunks of 32: 32, 32, 32 and 4, then 4 tokens more (the prompt's end makes the
// first of 5).
TEST(SchedulerTest, APromptGoesInChunksAndItsEndMakesTheFirstToken) {
  Scheduler s({.max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 16, .blocks = 100},
              Policy("mixed"));
  s.Add(0, {.input_tokens = 100, .output_tokens = 5});
  for (const int64_t tokens : {32, 32, 32, 4}) {
    const Batch batch = s.Next();
    EXPECT_EQ(batch.prefill.tokens, tokens);
    EXPECT_EQ(s.End().tokens, tokens == 4 ? 1 : 0);
  }
  EXPECT_EQ(s.blocks_used(), 7);  // of 16
  for (int64_t context = 101; context <= 104; ++context) {
    const Batch batch = s.Next();
    EXPECT_EQ(batch.decode.context_sum, context);
    EXPECT_EQ(s.End().finished.size(), context == 104 ? 1u : 0u);
  }
  EXPECT_TRUE(s.idle());
}

// Two sequences decode when a prompt comes. Mixed: one iteration of 2 + 30 tokens. Prefill first:
// 40, then decodes. Decode first: nothing but decodes until both have ended.
TEST(SchedulerTest, PoliciesDifferInWhatAPromptMeets) {
  const SchedulerLimits limits{
      .max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 16, .blocks = 100};
  const std::map<std::string, std::pair<int64_t, int64_t>> expected = {{"mixed", {30, 2}},
                                                                       {"prefill-first", {32, 0}},
                                                                       {"decode-first", {0, 2}},
                                                                       {"reserving", {30, 2}}};
  for (const BatchingPolicy& policy : BatchingPolicies()) {
    Scheduler s(limits, policy);
    s.Add(0, {.input_tokens = 10, .output_tokens = 10});
    s.Add(1, {.input_tokens = 10, .output_tokens = 10});
    s.Next();
    s.End();
    ASSERT_EQ(s.decoding(), 2) << policy.name;
    s.Add(2, {.input_tokens = 40, .output_tokens = 1});
    const Batch batch = s.Next();
    const auto [prefill, decode] = expected.at(std::string(policy.name));
    EXPECT_EQ(batch.prefill.tokens, prefill) << policy.name;
    EXPECT_EQ(batch.decode.tokens, decode) << policy.name;
  }
}

// Sequences of 6 + 5 tokens store 10 at most, 3 blocks of 4. Of 8 blocks two have their 6 kept and
// a third none, though only 4 are used; it comes in when the two have ended, and nobody gave way.
TEST(SchedulerTest, ReservingAdmitsOnlyWhatFitsToItsEnd) {
  const SchedulerLimits limits{
      .max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 4, .blocks = 8};
  Scheduler s(limits, Policy("reserving"));
  for (int32_t id = 0; id < 3; ++id) s.Add(id, {.input_tokens = 6, .output_tokens = 5});
  const Batch first = s.Next();
  EXPECT_EQ(first.prefill.sequences, 2);
  EXPECT_EQ(first.blocked, Blocked::kKvCache);
  s.End();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(s.Next().decode.tokens, 2);
    s.End();
  }
  EXPECT_EQ(s.Next().prefill.sequences, 1);
  s.End();
  EXPECT_EQ(s.preemptions(), 0);
}

// 4 blocks of 4 tokens; two sequences of 6 + 5 tokens need 3 each at their end. The later one
// gives way when both need their third block, and computes its 6 + 2 stored and one made again.
TEST(SchedulerTest, ThoseAdmittedLastGiveWayAndComputeAgain) {
  Scheduler s({.max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 4, .blocks = 5},
              Policy("mixed"));
  s.Add(0, {.input_tokens = 6, .output_tokens = 5});
  s.Add(1, {.input_tokens = 6, .output_tokens = 5});
  s.Next();
  s.End();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(s.Next().decode.tokens, 2);
    s.End();
  }
  const Batch third = s.Next();  // 8 stored each, 4 blocks used, one free and two needed
  EXPECT_EQ(third.decode.tokens, 1);
  EXPECT_EQ(third.blocked, Blocked::kKvCache);
  EXPECT_EQ(s.preemptions(), 1);
  s.End();
  EXPECT_EQ(s.Next().decode.tokens, 1);
  EXPECT_EQ(s.End().finished.size(), 1u);
  const Batch again = s.Next();
  EXPECT_EQ(again.prefill.tokens, 9);
  EXPECT_EQ(s.End().first_token.size(), 0u);
}

// The same where host memory has room for its 2 blocks: they are copied out, and in again when the
// other has ended, with nothing computed but its next tokens. Without room for both it is as above.
TEST(SchedulerTest, ThoseSwappedToHostMemoryComeBackAndDecodeOn) {
  const SchedulerLimits limits{.max_num_seqs = 4,
                               .max_num_batched_tokens = 32,
                               .block_size = 4,
                               .blocks = 5,
                               .host_blocks = 2};
  Scheduler s(limits, Policy("mixed"));
  s.Add(0, {.input_tokens = 6, .output_tokens = 5});
  s.Add(1, {.input_tokens = 6, .output_tokens = 5});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(s.Next().swapped, 0);
    s.End();
  }
  const Batch out = s.Next();  // 8 stored each
  EXPECT_EQ(out.decode.tokens, 1);
  EXPECT_EQ(out.swapped, 2);
  EXPECT_EQ(Ids(s.preempted()), std::vector<int32_t>{1});
  EXPECT_EQ(s.host_blocks_used(), 2);
  s.End();
  EXPECT_EQ(s.Next().swapped, 0);
  EXPECT_EQ(s.End().finished.front(), 0);
  const Batch in = s.Next();
  EXPECT_EQ(in.prefill.tokens, 0);
  EXPECT_EQ(in.decode.context_sum, 9);
  EXPECT_EQ(in.swapped, 2);
  EXPECT_EQ(Ids(s.joined()), std::vector<int32_t>{1});
  EXPECT_EQ(s.host_blocks_used(), 0);
  s.End();
  s.Next();
  EXPECT_EQ(s.End().finished.front(), 1);
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(s.preemptions(), 1);
  EXPECT_EQ(s.swaps(), 1);
  EXPECT_EQ(s.swapped_tokens(), 8);
}

// What a failed replica had in host memory is lost with all else.
TEST(SchedulerTest, WhatIsInHostMemoryIsLostWithTheRest) {
  Scheduler s({.max_num_seqs = 4,
               .max_num_batched_tokens = 32,
               .block_size = 4,
               .blocks = 5,
               .host_blocks = 2},
              Policy("mixed"));
  s.Add(4, {.input_tokens = 6, .output_tokens = 5});
  s.Add(7, {.input_tokens = 6, .output_tokens = 5});
  for (int i = 0; i < 4; ++i) {
    s.Next();
    s.End();
  }
  EXPECT_EQ(s.host_blocks_used(), 2);
  EXPECT_EQ(s.Clear(), (std::vector<int32_t>{4, 7}));
  EXPECT_EQ(s.host_blocks_used(), 0);
  EXPECT_EQ(s.swapped_tokens(), 8);
}

// Runs of 8 tokens, two blocks each. The second prompt begins as the first, 16 tokens of 20: it
// computes 4. A prompt that is all in the cache still computes its last run. When blocks miss, the
// run let go first goes first, the end of a prompt before its beginning.
TEST(SchedulerTest, PromptsThatBeginAlikeAreComputedFromWhereTheyDiffer) {
  Scheduler s({.max_num_seqs = 4,
               .max_num_batched_tokens = 32,
               .block_size = 4,
               .blocks = 8,
               .run_tokens = 8},
              Policy("mixed"));
  const std::vector<uint64_t> text = {11, 12, 13}, other = {21, 22, 23};
  const auto alone = [&](int32_t id, int64_t input, std::span<const uint64_t> hashes) {
    s.Add(id, {.input_tokens = input, .output_tokens = 1, .hashes = hashes});
    const Batch batch = s.Next();
    EXPECT_EQ(batch.prefill.context_sum, input);
    EXPECT_EQ(s.End().finished.size(), 1u);
    return batch.prefill.tokens;
  };
  EXPECT_EQ(alone(0, 20, text), 20);
  EXPECT_EQ(s.blocks_used(), 0);
  EXPECT_EQ(alone(1, 20, text), 4);    // the third run is not whole, so never kept
  EXPECT_EQ(alone(2, 16, text), 8);    // its last token makes the answer
  EXPECT_EQ(alone(3, 20, other), 20);  // 5 blocks of 8, 4 idle: drops the run of 12
  EXPECT_EQ(s.CachedOf({.input_tokens = 20, .hashes = text}), 8);
  EXPECT_EQ(alone(4, 20, text), 12);
  EXPECT_EQ(s.prompt_tokens(), 20 * 4 + 16);
  EXPECT_EQ(s.cached_tokens(), 16 + 8 + 8);
}

// Of one draft half is kept: 1.5 tokens a step, in turn 1 and 2. The prompt makes the first of 7,
// four steps the others; each step has two queries, of 11 tokens, then 12, 14 and 15.
TEST(SchedulerTest, DraftsThatAreKeptMakeMoreTokensAStep) {
  Scheduler s({.max_num_seqs = 4,
               .max_num_batched_tokens = 32,
               .block_size = 4,
               .blocks = 100,
               .drafts = 1,
               .tokens_per_step = 1.5},
              Policy("mixed"));
  s.Add(0, {.input_tokens = 10, .output_tokens = 7});
  s.Next();
  EXPECT_EQ(s.End().tokens, 1);
  int64_t stored = 10;
  for (const int64_t made : {1, 2, 1, 2}) {
    const Batch batch = s.Next();
    EXPECT_EQ(batch.decode.tokens, 2);
    EXPECT_EQ(batch.decode.context_sum, stored + 2);
    EXPECT_EQ(batch.decode.query_key_pairs, (stored + 1) + (stored + 2));
    EXPECT_EQ(s.End().tokens, made);
    stored += made;
  }
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(s.blocks_used(), 0);
}

// A prompt prefilled elsewhere takes the blocks of its 10 tokens, and waits where a token more has
// none; its first iteration decodes.
TEST(SchedulerTest, PrefilledSequencesWaitForBlocksAndDecode) {
  Scheduler s({.max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 4, .blocks = 5},
              Policy("mixed"));
  s.Add(0, {.input_tokens = 10, .output_tokens = 3, .prefilled = true});
  s.Add(1, {.input_tokens = 10, .output_tokens = 2, .prefilled = true});
  for (int i = 0; i < 2; ++i) {
    const Batch batch = s.Next();
    EXPECT_EQ(batch.prefill.tokens, 0);
    EXPECT_EQ(batch.decode.context_sum, 11 + i);
    EXPECT_EQ(batch.blocked, Blocked::kKvCache);
    EXPECT_EQ(s.joined().size(), i == 0 ? 1u : 0u);
    EXPECT_EQ(s.End().first_token.size(), 0u);
  }
  EXPECT_EQ(s.Next().decode.context_sum, 11);
  EXPECT_EQ(s.End().finished.front(), 1);
  EXPECT_EQ(s.blocks_used(), 0);
}

// Blocks that are handed over are nobody else's before they are dropped.
TEST(SchedulerTest, WhatIsHandedOverStaysUntilItIsDropped) {
  Scheduler s({.max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 4, .blocks = 5},
              Policy("mixed"));
  s.Add(7, {.input_tokens = 10, .output_tokens = 1, .hands_over = true});
  s.Add(8, {.input_tokens = 10, .output_tokens = 1, .hands_over = true});
  EXPECT_EQ(s.Next().prefill.tokens, 10);
  EXPECT_EQ(s.End().finished.front(), 7);
  EXPECT_EQ(s.blocks_used(), 3);
  EXPECT_TRUE(s.Next().empty());
  s.Drop(7);
  EXPECT_EQ(s.Next().prefill.tokens, 10);
  s.End();
  s.Drop(8);
  EXPECT_EQ(s.blocks_used(), 0);
}

// What waits to be read by others is lost with what waits and runs; what was dropped is not.
TEST(SchedulerTest, WhatIsHandedOverIsLostWithTheRest) {
  Scheduler s({.max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 4, .blocks = 9},
              Policy("mixed"));
  for (const int32_t id : {9, 3, 5, 1})
    s.Add(id, {.input_tokens = 12, .output_tokens = 1, .hands_over = true});
  s.Next();
  s.End();
  EXPECT_EQ(s.blocks_used(), 8);  // of 9 and 3, and of the first 8 tokens of 5
  s.Drop(3);
  EXPECT_EQ(s.Clear(), (std::vector<int32_t>{1, 5, 9}));
  EXPECT_EQ(s.blocks_used(), 0);
  EXPECT_TRUE(s.idle());
  s.Add(9, {.input_tokens = 12, .output_tokens = 1, .hands_over = true});
  s.Next();
  EXPECT_EQ(s.End().finished.front(), 9);
}

// Two that share four blocks of 16, with 32 tokens stored each, so that either needs a fifth for
// its next: the one whose sequence was admitted last gives way, the other waits for it, and until
// that goes on nothing is admitted though there is room for a chunk.
TEST(SchedulerTest, OfThoseThatShareACacheTheLastAdmittedGivesWay) {
  const SchedulerLimits limits{.max_num_seqs = 32, .max_num_batched_tokens = 32, .blocks = 4};
  const auto cache = Scheduler::CacheOf(limits);
  Scheduler first(limits, Policy("mixed"), cache), second(limits, Policy("mixed"), cache);
  for (Scheduler* scheduler : {&first, &second}) {
    scheduler->Add(0, {.input_tokens = 32, .output_tokens = 10});
    EXPECT_EQ(scheduler->Next().prefill.tokens, 32);
    scheduler->End();
  }
  EXPECT_EQ(cache->available(), 0);
  EXPECT_TRUE(first.Next().empty());
  EXPECT_EQ(first.running(), 1);
  EXPECT_TRUE(second.Next().empty());
  EXPECT_EQ(second.preemptions(), 1);
  EXPECT_EQ(cache->available(), 2);
  EXPECT_TRUE(second.Next().empty());
  EXPECT_EQ(cache->available(), 2);
  EXPECT_EQ(first.Next().decode.tokens, 1);
  first.End();
  EXPECT_EQ(first.preemptions(), 0);
}

}  // namespace
}  // namespace moecast
