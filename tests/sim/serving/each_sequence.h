// What tests hold the scheduler to: its rules, by looking at every sequence in every iteration.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "costmodel/causal_pairs.h"
#include "sim/serving/scheduler.h"

namespace moecast {

// The same rules by looking at every sequence in every iteration, with a count of its own blocks.
class EachSequence {
 public:
  EachSequence(const SchedulerLimits& limits, const BatchingPolicy& policy)
      : limits_(limits),
        policy_(policy),
        free_(limits.blocks),
        host_free_(limits.host_blocks),
        below_(limits.tier_runs.size()) {}

  void Add(int32_t id, const SequenceAsked& asked) {
    all_[id] = {.id = id, .prompt = asked.input_tokens, .output = asked.output_tokens};
    if (asked.prefilled) {
      all_[id].elsewhere = true;
      all_[id].stored = asked.input_tokens;
      all_[id].made = 1;
    } else if (limits_.run_tokens > 0)
      for (const uint64_t hash : asked.hashes)
        if (static_cast<int64_t>(all_[id].runs.size() + 1) * limits_.run_tokens <=
            asked.input_tokens)
          all_[id].runs.push_back(hash);
    waiting_.push_back(id);
  }

  Batch Next() {
    Batch batch;
    const auto after = [&](int64_t steps) {
      return static_cast<int64_t>(static_cast<double>(steps) * limits_.tokens_per_step);
    };
    step_ = after(steps_ + 1) - after(steps_);
    const bool back = ComeIn(batch);
    const int64_t decoding = Count(true);
    if (!policy_.mixes && !back && (decoding == 0 || policy_.starts_while_decoding))
      Prompts(limits_.max_num_batched_tokens, batch);
    if (!policy_.mixes && batch.prefill.tokens > 0) return batch;
    // In order of admission each takes a block where its next token needs one; where there is none
    // the last gives up its own.
    const int64_t queries = 1 + limits_.drafts;
    while (Needed() > free()) {
      GiveUpLast(batch);
      batch.blocked = Blocked::kKvCache;
    }
    for (const int32_t id : running_) {
      Sequence& s = all_[id];
      if (!s.decoding) continue;
      Grow(s, s.stored + step_);
      s.step = step_;
      ++batch.decode.sequences;
      batch.decode.tokens += queries;
      batch.decode.context_sum += s.stored + queries;
      batch.decode.query_key_pairs += CausalPairs(queries, s.stored + queries);
    }
    steps_ += batch.decode.sequences > 0;
    if (policy_.mixes || batch.empty())
      Prompts(limits_.max_num_batched_tokens - Count(true) * queries, batch);
    while (batch.empty() && !running_.empty()) {
      GiveUpLast(batch);
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
      const int64_t made = s.decoding ? s.step : 1;
      s.step = 0;
      if (!s.decoding) Keep(s);
      if (!s.decoding && s.stored < s.prompt) continue;
      s.decoding = true;
      if (s.made == 0) ended.first.push_back(id);
      s.made += made;
      if (s.made < s.output) continue;
      Free(s);
      running_.remove(id);
      ended.finished.push_back(id);
    }
    return ended;
  }
  int64_t free() const { return free_ + Idle() * PerRun(); }
  int64_t host_free() const { return host_free_; }
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Sequence {
    int32_t id = 0;
    int64_t prompt = 0, output = 0, made = 0, stored = 0, blocks = 0, step = 0;
    bool decoding = false;
    bool elsewhere = false, on_host = false;  // where all that it has stored waits
    std::vector<uint64_t> runs;
    size_t held = 0;  // of them
  };
  // What the cache keeps: who holds it, and when it was last let go.
  struct Kept {
    int64_t users = 0, let_go = 0;
  };
  int64_t PerRun() const { return limits_.run_tokens / limits_.block_size; }
  int64_t Idle() const {
    return std::count_if(kept_.begin(), kept_.end(),
                         [](const auto& kept) { return kept.second.users == 0; });
  }
  void Keep(Sequence& s) {
    while (s.held < s.runs.size() &&
           static_cast<int64_t>(s.held + 1) * limits_.run_tokens <= s.stored) {
      const uint64_t hash = s.runs[s.held++];
      if (kept_.count(hash) > 0) free_ += PerRun();
      ++kept_[hash].users;
      s.blocks -= PerRun();
    }
  }
  void Free(Sequence& s) {
    free_ += s.blocks;
    for (; s.held > 0; --s.held) {
      Kept& kept = kept_[s.runs[s.held - 1]];
      --kept.users;
      kept.let_go = ++clock_;
    }
  }
  void MakeRoom(int64_t blocks) {
    while (free_ < blocks) {
      auto oldest = kept_.end();
      for (auto kept = kept_.begin(); kept != kept_.end(); ++kept)
        if (kept->second.users == 0 &&
            (oldest == kept_.end() || kept->second.let_go < oldest->second.let_go))
          oldest = kept;
      PutBelow(oldest->first, 0);
      kept_.erase(oldest);
      free_ += PerRun();
    }
  }
  // Last in the tier; what is too much there goes to the next.
  void PutBelow(uint64_t hash, size_t tier) {
    if (tier == below_.size()) return;
    std::vector<uint64_t>& runs = below_[tier];
    std::erase(runs, hash);
    runs.push_back(hash);
    if (static_cast<int64_t>(runs.size()) <= limits_.tier_runs[tier]) return;
    const uint64_t oldest = runs.front();
    runs.erase(runs.begin());
    PutBelow(oldest, tier + 1);
  }
  size_t TierOf(uint64_t hash) const {
    size_t tier = 0;
    while (tier < below_.size() &&
           std::find(below_[tier].begin(), below_[tier].end(), hash) == below_[tier].end())
      ++tier;
    return tier;
  }
  int64_t Own(const Sequence& s, int64_t tokens) const {
    return Blocks(tokens) - static_cast<int64_t>(s.held) * PerRun();
  }
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
      if (all_[id].decoding) needed += Own(all_[id], all_[id].stored + step_) - all_[id].blocks;
    return needed;
  }
  int64_t AtTheirEnds() {
    int64_t blocks = 0;
    for (const int32_t id : running_)
      blocks += Blocks(all_[id].prompt + all_[id].output - 1 + limits_.drafts);
    return blocks;
  }
  void Grow(Sequence& s, int64_t tokens) {
    const int64_t more = Own(s, tokens) - s.blocks;
    MakeRoom(more);
    free_ -= more;
    s.blocks += more;
  }
  void GiveUpLast(Batch& batch) {
    Sequence& s = all_[running_.back()];
    running_.pop_back();
    Free(s);
    s.on_host = s.decoding && Blocks(s.stored) <= host_free_;
    if (s.on_host) {
      host_free_ -= Blocks(s.stored);
      batch.swapped += Blocks(s.stored);
    } else {
      if (s.decoding) s.prompt = s.stored + 1;
      s.stored = 0;
    }
    s.decoding = false;
    s.blocks = s.step = 0;
    waiting_.push_front(s.id);
  }
  // Those at the head of the queue that have all they stored elsewhere, where they have room for
  // what they make next; who comes from host memory leaves all that decode theirs too. Whether any
  // came from there.
  bool ComeIn(Batch& batch) {
    bool back = false;
    while (!waiting_.empty()) {
      Sequence& s = all_[waiting_.front()];
      if (!s.on_host && !s.elsewhere) break;
      if (static_cast<int64_t>(running_.size()) >= limits_.max_num_seqs ||
          (policy_.reserves &&
           AtTheirEnds() + Blocks(s.prompt + s.output - 1 + limits_.drafts) > limits_.blocks) ||
          Blocks(s.stored + 1 + limits_.drafts) + (s.on_host ? Needed() : 0) > free())
        break;
      Grow(s, s.stored);
      if (s.on_host) {
        host_free_ += Blocks(s.stored);
        batch.swapped += Blocks(s.stored);
        back = true;
      }
      s.on_host = s.elsewhere = false;
      s.decoding = true;
      running_.push_back(s.id);
      waiting_.pop_front();
    }
    return back;
  }
  bool Chunk(Sequence& s, int64_t& budget, Batch& batch) {
    const int64_t tokens = std::min(budget, s.prompt - s.stored);
    if (Own(s, s.stored + tokens) - s.blocks > free()) return false;
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
      if (s.on_host || s.elsewhere ||
          static_cast<int64_t>(running_.size()) >= limits_.max_num_seqs || budget == 0 ||
          (policy_.reserves &&
           AtTheirEnds() + Blocks(s.prompt + s.output - 1 + limits_.drafts) > limits_.blocks))
        return;
      // Tried as if it were let in: what it would hold is no longer free for others.
      const auto before = kept_;
      const auto below_before = below_;
      std::vector<int64_t> loaded(below_.size());
      int64_t taken = 0;  // blocks, by what is loaded
      for (; s.held < s.runs.size() &&
             static_cast<int64_t>(s.held + 1) * limits_.run_tokens < s.prompt;
           ++s.held) {
        const uint64_t hash = s.runs[s.held];
        if (kept_.count(hash) == 0) {
          const size_t tier = TierOf(hash);
          if (tier == below_.size()) break;
          loaded[tier] += limits_.run_tokens;
          taken += PerRun();
          PutBelow(hash, tier);
        }
        ++kept_[hash].users;
      }
      s.stored = static_cast<int64_t>(s.held) * limits_.run_tokens;
      const int64_t own = Own(s, s.stored + std::min(budget, s.prompt - s.stored)) - s.blocks;
      if (own + taken > free()) {
        kept_ = before;
        below_ = below_before;
        s.held = 0;
        s.stored = 0;
        return;
      }
      MakeRoom(taken);
      free_ -= taken;
      batch.loaded.resize(loaded.size());
      for (size_t tier = 0; tier < loaded.size(); ++tier) batch.loaded[tier] += loaded[tier];
      ASSERT_TRUE(Chunk(s, budget, batch));
      running_.push_back(s.id);
      waiting_.pop_front();
    }
  }

  SchedulerLimits limits_;
  BatchingPolicy policy_;
  std::map<int32_t, Sequence> all_;
  std::list<int32_t> waiting_, running_;  // running: in order of admission
  int64_t free_, host_free_;
  std::map<uint64_t, Kept> kept_;
  std::vector<std::vector<uint64_t>> below_;  // by tier, least recently used first
  int64_t clock_ = 0;
  int64_t steps_ = 0, step_ = 1;  // iterations with decodes, and tokens of the next
};

}  // namespace moecast
