#include "sim/serving/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "costmodel/causal_pairs.h"

namespace moecast {

Scheduler::Scheduler(const SchedulerLimits& limits, const BatchingPolicy& policy)
    : limits_(limits),
      policy_(&policy),
      growing_(static_cast<size_t>(limits.block_size)),
      free_(limits.blocks) {
  MOECAST_CHECK(0 < limits.max_num_seqs && limits.max_num_seqs <= limits.max_num_batched_tokens);
  MOECAST_CHECK(limits.block_size > 0 && limits.blocks > 0);
}

int64_t Scheduler::BlocksOf(int64_t input_tokens, int64_t output_tokens) const {
  return BlocksFor(input_tokens + output_tokens - 1);
}

void Scheduler::Add(int32_t id, int64_t input_tokens, int64_t output_tokens) {
  MOECAST_CHECK(id >= 0 && input_tokens > 0 && output_tokens > 0);
  MOECAST_CHECK(BlocksOf(input_tokens, output_tokens) <= limits_.blocks);
  const auto at = static_cast<size_t>(id);
  if (at >= sequences_.size()) sequences_.resize(std::max(at + 1, sequences_.size() * 2));
  Sequence& s = sequences_[at];
  MOECAST_CHECK(s.state == State::kNone);
  s = {.prompt = input_tokens, .output = output_tokens, .state = State::kWaiting};
  waiting_.push_back(id);
}

// A sequence that has stored n tokens needs a block for the next where n is a multiple of the
// block's size: first at the decode iteration since + (-n mod size), then at every size-th.
int64_t Scheduler::PhaseOf(const Sequence& s) const {
  const int64_t size = limits_.block_size;
  return s.since + (size - s.stored % size) % size;
}

void Scheduler::BeginDecode(int32_t id) {
  Sequence& s = sequences_[static_cast<size_t>(id)];
  s.state = State::kDecoding;
  s.since = iterations_;
  ++decoding_;
  stored_sum_ += s.stored;
  ++GrowingAt(PhaseOf(s));
  ends_.push({iterations_ + s.output - s.made, id, s.version});
}

void Scheduler::LeaveDecode(Sequence& s) {
  --decoding_;
  stored_sum_ -= StoredNow(s);
  --GrowingAt(PhaseOf(s));
  free_ += BlocksFor(StoredNow(s));
}

void Scheduler::Finish(int32_t id) {
  Sequence& s = sequences_[static_cast<size_t>(id)];
  if (policy_->reserves) promised_ -= BlocksOf(s.prompt, s.output);
  s.state = State::kFinished;
  finished_.push_back(id);
}

bool Scheduler::PreemptLast() {
  while (!admitted_.empty()) {
    const int32_t id = admitted_.back();
    Sequence& s = sequences_[static_cast<size_t>(id)];
    admitted_.pop_back();
    if (s.state != State::kDecoding && s.state != State::kPrefilling) continue;
    if (s.state == State::kDecoding) {
      LeaveDecode(s);
      s.made += iterations_ - s.since;
      // All it had is computed again in one prompt, whose end makes the next token.
      s.prompt = StoredNow(s) + 1;
    } else {
      free_ += s.blocks;
      std::erase(prefilling_, id);
    }
    ++s.version;
    ++preemptions_;
    s.stored = s.blocks = 0;
    s.state = State::kWaiting;
    waiting_.push_front(id);
    return true;
  }
  return false;
}

// Gives a prefilling sequence as many tokens of its prompt as the budget has, and their blocks.
bool Scheduler::TakeChunk(int32_t id, int64_t& budget, Batch& batch) {
  Sequence& s = sequences_[static_cast<size_t>(id)];
  const int64_t tokens = std::min(budget, s.prompt - s.stored);
  const int64_t grow = BlocksFor(s.stored + tokens) - s.blocks;
  if (grow > free_) return false;
  free_ -= grow;
  s.blocks += grow;
  budget -= tokens;
  const int64_t context = s.stored + tokens;
  ++batch.prefill.sequences;
  batch.prefill.tokens += tokens;
  batch.prefill.query_key_pairs += CausalPairs(tokens, context);
  batch.prefill.context_sum += context;
  chunks_.push_back({id, tokens});
  return true;
}

void Scheduler::TakeChunks(int64_t budget, Batch& batch) {
  for (const int32_t id : prefilling_) {
    if (budget == 0) break;
    if (!TakeChunk(id, budget, batch)) batch.blocked = Blocked::kKvCache;
  }
  while (!waiting_.empty() && batch.blocked == Blocked::kNothing) {
    const int32_t id = waiting_.front();
    Sequence& s = sequences_[static_cast<size_t>(id)];
    const int64_t promise = policy_->reserves ? BlocksOf(s.prompt, s.output) : 0;
    if (running() >= limits_.max_num_seqs)
      batch.blocked = Blocked::kSequences;
    else if (budget == 0)
      batch.blocked = Blocked::kTokens;
    else if (promised_ + promise > limits_.blocks || !TakeChunk(id, budget, batch))
      batch.blocked = Blocked::kKvCache;
    if (batch.blocked != Blocked::kNothing) break;
    waiting_.pop_front();
    promised_ += promise;
    s.state = State::kPrefilling;
    prefilling_.push_back(id);
    admitted_.push_back(id);
  }
}

Batch Scheduler::Next() {
  MOECAST_CHECK(chunks_.empty() && !decodes_);
  Batch batch;
  const bool decodes_alone = !policy_->mixes && decoding_ > 0;
  if (!policy_->mixes && (decoding_ == 0 || policy_->starts_while_decoding))
    TakeChunks(limits_.max_num_batched_tokens, batch);
  if (batch.prefill.tokens > 0 && !policy_->mixes) return batch;
  if (decodes_alone && !policy_->starts_while_decoding && !waiting_.empty())
    batch.blocked = Blocked::kPolicy;

  // Who was preempted does not come back in the same iteration, nor does another take its place.
  while (decoding_ > 0 && GrowingAt(iterations_) > free_) {
    PreemptLast();
    batch.blocked = Blocked::kKvCache;
  }
  if (decoding_ > 0) {
    decodes_ = true;
    free_ -= GrowingAt(iterations_);
    batch.decode.sequences = batch.decode.tokens = decoding_;
    batch.decode.context_sum = stored_sum_ + decoding_;
    batch.decode.query_key_pairs = batch.decode.context_sum;
  }
  if (policy_->mixes) TakeChunks(limits_.max_num_batched_tokens - decoding_, batch);
  // Prompts that hold the whole cache, none of which can go on: the last gives way.
  while (batch.empty() && !prefilling_.empty() && PreemptLast()) {
    batch.blocked = Blocked::kKvCache;
    TakeChunks(limits_.max_num_batched_tokens, batch);
  }
  return batch;
}

BatchEnd Scheduler::End() {
  first_token_.clear();
  finished_.clear();
  BatchEnd end;
  if (decodes_) {
    end.tokens += decoding_;
    stored_sum_ += decoding_;
    ++iterations_;
    while (!ends_.empty() && ends_.top().at <= iterations_) {
      const Ending ending = ends_.top();
      ends_.pop();
      Sequence& s = sequences_[static_cast<size_t>(ending.id)];
      if (s.version != ending.version || s.state != State::kDecoding) continue;
      LeaveDecode(s);
      Finish(ending.id);
    }
    decodes_ = false;
  }
  for (const Chunk& chunk : chunks_) {
    Sequence& s = sequences_[static_cast<size_t>(chunk.id)];
    s.stored += chunk.tokens;
    if (s.stored < s.prompt) continue;
    std::erase(prefilling_, chunk.id);
    ++s.made;
    ++end.tokens;
    if (!s.began) first_token_.push_back(chunk.id);
    s.began = true;
    if (s.made == s.output) {
      free_ += s.blocks;
      Finish(chunk.id);
    } else {
      BeginDecode(chunk.id);
    }
  }
  chunks_.clear();
  // Those that have finished are dropped before they outnumber the others.
  if (admitted_.size() > 64 && admitted_.size() > 2 * static_cast<size_t>(running()))
    std::erase_if(admitted_, [&](int32_t id) {
      const State state = sequences_[static_cast<size_t>(id)].state;
      return state != State::kDecoding && state != State::kPrefilling;
    });
  end.first_token = first_token_;
  end.finished = finished_;
  return end;
}

}  // namespace moecast
