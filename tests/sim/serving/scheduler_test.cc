#include "sim/serving/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <optional>

#include "base/random.h"
#include "costmodel/causal_pairs.h"

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

// The same rules by looking at every sequence in every iteration, with a count of its own blocks.
class EachSequence {
 public:
  EachSequence(const SchedulerLimits& limits, const BatchingPolicy& policy)
      : limits_(limits), policy_(policy), free_(limits.blocks) {}

  void Add(int32_t id, int64_t input, int64_t output) {
    all_[id] = {.id = id, .prompt = input, .output = output};
    waiting_.push_back(id);
  }

  Batch Next() {
    Batch batch;
    const int64_t decoding = Count(true);
    if (!policy_.mixes && (decoding == 0 || policy_.starts_while_decoding))
      Prompts(limits_.max_num_batched_tokens, batch);
    if (!policy_.mixes && batch.prefill.tokens > 0) return batch;
    // In order of admission each takes a block where its next token needs one; where there is none
    // the last gives up its own.
    while (Needed() > free_) {
      GiveUpLast();
      batch.blocked = Blocked::kKvCache;
    }
    for (const int32_t id : running_) {
      Sequence& s = all_[id];
      if (!s.decoding) continue;
      Grow(s, s.stored + 1);
      s.step = 1;
      ++batch.decode.sequences;
      ++batch.decode.tokens;
      batch.decode.context_sum += s.stored + 1;
    }
    batch.decode.query_key_pairs = batch.decode.context_sum;
    if (policy_.mixes) Prompts(limits_.max_num_batched_tokens - Count(true), batch);
    while (batch.empty() && !running_.empty()) {
      GiveUpLast();
      batch.blocked = Blocked::kKvCache;
      Prompts(limits_.max_num_batched_tokens, batch);
    }
    return batch;
  }

  struct Ended {
    std::vector<int32_t> first, finished;
  };
  Ended End() {
    Ended ended;
    for (const int32_t id : std::vector<int32_t>(running_.begin(), running_.end())) {
      Sequence& s = all_[id];
      if (s.step == 0) continue;
      s.stored += s.step;
      s.step = 0;
      if (!s.decoding && s.stored < s.prompt) continue;
      s.decoding = true;
      if (s.made++ == 0) ended.first.push_back(id);
      if (s.made < s.output) continue;
      free_ += s.blocks;
      running_.remove(id);
      ended.finished.push_back(id);
    }
    return ended;
  }
  int64_t free() const { return free_; }
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Sequence {
    int32_t id = 0;
    int64_t prompt = 0, output = 0, made = 0, stored = 0, blocks = 0, step = 0;
    bool decoding = false;
  };
  int64_t Count(bool decoding) {
    return std::count_if(running_.begin(), running_.end(),
                         [&](int32_t id) { return all_[id].decoding == decoding; });
  }
  int64_t Blocks(int64_t tokens) const {
    return (tokens + limits_.block_size - 1) / limits_.block_size;
  }
  int64_t Needed() {
    int64_t needed = 0;
    for (const int32_t id : running_)
      if (all_[id].decoding) needed += Blocks(all_[id].stored + 1) - all_[id].blocks;
    return needed;
  }
  int64_t AtTheirEnds() {
    int64_t blocks = 0;
    for (const int32_t id : running_) blocks += Blocks(all_[id].prompt + all_[id].output - 1);
    return blocks;
  }
  void Grow(Sequence& s, int64_t tokens) {
    free_ -= Blocks(tokens) - s.blocks;
    s.blocks = Blocks(tokens);
  }
  void GiveUpLast() {
    Sequence& s = all_[running_.back()];
    running_.pop_back();
    free_ += s.blocks;
    if (s.decoding) s.prompt = s.stored + 1;
    s.decoding = false;
    s.stored = s.blocks = s.step = 0;
    waiting_.push_front(s.id);
  }
  bool Chunk(Sequence& s, int64_t& budget, Batch& batch) {
    const int64_t tokens = std::min(budget, s.prompt - s.stored);
    if (Blocks(s.stored + tokens) - s.blocks > free_) return false;
    Grow(s, s.stored + tokens);
    s.step = tokens;
    budget -= tokens;
    ++batch.prefill.sequences;
    batch.prefill.tokens += tokens;
    batch.prefill.context_sum += s.stored + tokens;
    batch.prefill.query_key_pairs += CausalPairs(tokens, s.stored + tokens);
    return true;
  }
  void Prompts(int64_t budget, Batch& batch) {
    for (const int32_t id : running_) {
      if (all_[id].decoding || budget == 0) continue;
      if (!Chunk(all_[id], budget, batch)) batch.blocked = Blocked::kKvCache;
    }
    while (!waiting_.empty() && batch.blocked == Blocked::kNothing) {
      Sequence& s = all_[waiting_.front()];
      if (static_cast<int64_t>(running_.size()) >= limits_.max_num_seqs || budget == 0 ||
          (policy_.reserves && AtTheirEnds() + Blocks(s.prompt + s.output - 1) > limits_.blocks) ||
          !Chunk(s, budget, batch))
        return;
      running_.push_back(s.id);
      waiting_.pop_front();
    }
  }

  SchedulerLimits limits_;
  BatchingPolicy policy_;
  std::map<int32_t, Sequence> all_;
  std::list<int32_t> waiting_, running_;  // running: in order of admission
  int64_t free_;
};

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
  int64_t preemptions = 0, iterations = 0;
  for (int run = 0; run < 300; ++run) {
    SchedulerLimits limits;
    limits.max_num_seqs = 1 + static_cast<int64_t>(random.Below(12));
    limits.max_num_batched_tokens = limits.max_num_seqs + static_cast<int64_t>(random.Below(60));
    limits.block_size = 1 + static_cast<int64_t>(random.Below(9));
    limits.blocks = 4 + static_cast<int64_t>(random.Below(60));
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
        fast.Add(added, input, output);
        slow.Add(added, input, output);
        to_make += output;
      }
      const Batch a = fast.Next(), b = slow.Next();
      ExpectEqual(a.prefill, b.prefill);
      ExpectEqual(a.decode, b.decode);
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
    preemptions += fast.preemptions();
  }
  EXPECT_GT(preemptions, 100);
  EXPECT_GT(iterations, 10000);
}

// 100 tokens in chunks of 32: 32, 32, 32 and 4, then 4 tokens more (the prompt's end makes the
// first of 5).
TEST(SchedulerTest, APromptGoesInChunksAndItsEndMakesTheFirstToken) {
  Scheduler s({.max_num_seqs = 4, .max_num_batched_tokens = 32, .block_size = 16, .blocks = 100},
              Policy("mixed"));
  s.Add(0, 100, 5);
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
    s.Add(0, 10, 10);
    s.Add(1, 10, 10);
    s.Next();
    s.End();
    ASSERT_EQ(s.decoding(), 2) << policy.name;
    s.Add(2, 40, 1);
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
  for (int32_t id = 0; id < 3; ++id) s.Add(id, 6, 5);
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
  s.Add(0, 6, 5);
  s.Add(1, 6, 5);
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

}  // namespace
}  // namespace moecast
