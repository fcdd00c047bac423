#include "sim/serving/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "costmodel/causal_pairs.h"

namespace moecast {

std::shared_ptr<KvCache> Scheduler::CacheOf(const SchedulerLimits& limits) {
  return std::make_shared<KvCache>(limits.blocks, limits.block_size, limits.run_tokens,
                                   limits.tier_runs);
}

Scheduler::Scheduler(const SchedulerLimits& limits, const BatchingPolicy& policy,
                     std::shared_ptr<KvCache> cache)
    : limits_(limits),
      policy_(&policy),
      growing_(static_cast<size_t>(limits.block_size)),
      cache_(cache ? std::move(cache) : CacheOf(limits)) {
  MOECAST_CHECK(0 < limits.max_num_seqs && 0 <= limits.drafts);
  MOECAST_CHECK(limits.max_num_seqs * (1 + limits.drafts) <= limits.max_num_batched_tokens);
  MOECAST_CHECK(1 <= limits.tokens_per_step &&
                limits.tokens_per_step <= 1 + static_cast<double>(limits.drafts));
  MOECAST_CHECK(limits.block_size > 0 && limits.blocks > 0);
  step_ = static_cast<int64_t>(limits.tokens_per_step);
}

int64_t Scheduler::BlocksOf(int64_t input_tokens, int64_t output_tokens) const {
  return cache_->BlocksFor(input_tokens + output_tokens - 1 + limits_.drafts);
}

// Whole runs alone are kept.
std::span<const uint64_t> Scheduler::RunsOf(const SequenceAsked& asked) const {
  if (cache_->run_tokens() == 0) return {};
  return asked.hashes.first(std::min(
      asked.hashes.size(), static_cast<size_t>(asked.input_tokens / cache_->run_tokens())));
}

// The last token of a prompt is computed in any case: its output makes the next.
KvCache::Known Scheduler::KnownOf(std::span<const uint64_t> runs, int64_t prompt) const {
  if (runs.empty()) return {};
  const auto most = static_cast<size_t>((prompt - 1) / cache_->run_tokens());
  return cache_->Find(runs.first(std::min(runs.size(), most)));
}

int64_t Scheduler::CachedOf(const SequenceAsked& asked) const {
  return KnownOf(RunsOf(asked), asked.input_tokens).runs * cache_->run_tokens();
}

void Scheduler::Add(int32_t id, const SequenceAsked& asked) {
  MOECAST_CHECK(id >= 0 && asked.input_tokens > 0);
  MOECAST_CHECK(asked.output_tokens > (asked.prefilled ? 1 : 0));
  MOECAST_CHECK(!asked.hands_over || asked.output_tokens == 1);
  MOECAST_CHECK(BlocksOf(asked.input_tokens, asked.output_tokens) <= limits_.blocks);
  if (empty_.empty()) {
    empty_.push_back(static_cast<Slot>(sequences_.size()));
    sequences_.emplace_back();
  }
  const Slot slot = empty_.back();
  empty_.pop_back();
  Sequence& s = At(slot);
  s = {.id = id,
       .prompt = asked.input_tokens,
       .output = asked.output_tokens,
       .made = asked.prefilled ? 1 : 0,
       .runs = asked.prefilled ? std::span<const uint64_t>() : RunsOf(asked),
       .version = s.version + 1,
       .state = State::kWaiting,
       .began = asked.prefilled,
       .prefilled = asked.prefilled,
       .hands_over = asked.hands_over};
  waiting_.push_back(slot);
}

// Its slot is another's to use, where its cache is nobody's to read.
void Scheduler::Finish(Slot slot) {
  Sequence& s = At(slot);
  cache_->Leave(s.order);
  s.state = s.hands_over ? State::kHandedOver : State::kFinished;
  ++s.version;
  finished_.push_back(s.id);
  if (s.hands_over) {
    handed_over_.emplace(s.id, slot);
    return;
  }
  cache_->Promise(-PromiseOf(s));
  empty_.push_back(slot);
}

// A sequence that has stored n tokens needs a block for the next where n is a multiple of the
// block's size: first at since + (-n mod size) of the clock, then at every size-th.
int64_t Scheduler::PhaseOf(const Sequence& s) const {
  const int64_t size = limits_.block_size;
  return s.since + (size - s.stored % size) % size;
}

void Scheduler::BeginDecode(Slot slot) {
  Sequence& s = At(slot);
  s.state = State::kDecoding;
  s.since = clock_;
  ++decoding_;
  stored_sum_ += s.stored;
  ++GrowingAt(PhaseOf(s));
  ends_.push({clock_ + s.output - s.made, s.id, {slot, s.version}});
}

void Scheduler::GiveBack(Sequence& s, int64_t blocks) {
  cache_->Give(blocks);
  cache_->Release(s.runs.first(static_cast<size_t>(s.held)));
  s.held = 0;
}

void Scheduler::LeaveDecode(Sequence& s) {
  --decoding_;
  stored_sum_ -= StoredNow(s);
  --GrowingAt(PhaseOf(s));
  GiveBack(s, OwnBlocks(s, StoredNow(s)));
}

bool Scheduler::PreemptLast(Batch& batch) {
  while (!admitted_.empty()) {
    const Entry last = admitted_.back();
    if (IsNow(last) && !cache_->IsLast(At(last.slot).order)) return false;
    admitted_.pop_back();
    if (!IsNow(last)) continue;
    Sequence& s = At(last.slot);
    cache_->Leave(s.order);
    if (s.state == State::kDecoding) {
      LeaveDecode(s);
      s.made += clock_ - s.since;
      const int64_t stored = StoredNow(s), blocks = cache_->BlocksFor(stored);
      s.prefilled = host_used_ + blocks <= limits_.host_blocks;
      if (s.prefilled) {
        s.prompt = stored;
        s.on_host = blocks;
        host_used_ += blocks;
        batch.swapped += blocks;
        ++swaps_;
        swapped_tokens_ += stored;
      } else {
        // All it had is computed again in one prompt, whose end makes the next token.
        s.prompt = stored + 1;
      }
    } else {
      GiveBack(s, s.blocks);
      std::erase(prefilling_, last.slot);
    }
    if (s.began) preempted_.push_back(s.id);
    ++s.version;
    ++preemptions_;
    s.stored = s.blocks = 0;
    s.state = State::kWaiting;
    waiting_.push_front(last.slot);
    return true;
  }
  return false;
}

// Gives a prefilling sequence as many tokens of its prompt as the budget has, and their blocks.
bool Scheduler::TakeChunk(Slot slot, int64_t& budget, Batch& batch) {
  Sequence& s = At(slot);
  const int64_t tokens = std::min(budget, s.prompt - s.stored);
  const int64_t grow = OwnBlocks(s, s.stored + tokens) - s.blocks;
  if (grow > cache_->available()) return false;
  cache_->Take(grow);
  s.blocks += grow;
  budget -= tokens;
  const int64_t context = s.stored + tokens;
  ++batch.prefill.sequences;
  batch.prefill.tokens += tokens;
  batch.prefill.query_key_pairs += CausalPairs(tokens, context);
  batch.prefill.context_sum += context;
  chunks_.push_back({slot, tokens});
  return true;
}

// The head of the queue, where its first chunk behind what the cache has finds blocks.
bool Scheduler::Admit(Slot slot, int64_t& budget, Batch& batch) {
  Sequence& s = At(slot);
  const KvCache::Known known = KnownOf(s.runs, s.prompt);
  const int64_t cached = known.runs * cache_->run_tokens();
  const int64_t end = std::min(cached + budget, s.prompt);
  const int64_t own = cache_->BlocksFor(end) - known.runs * cache_->run_blocks();
  if (own + known.taking * cache_->run_blocks() > cache_->available()) return false;
  s.held = static_cast<int32_t>(known.runs);
  s.stored = cached;
  const std::span<const int64_t> loaded =
      cache_->Hold(s.runs.first(static_cast<size_t>(known.runs)));
  batch.loaded.resize(loaded.size());
  for (size_t tier = 0; tier < loaded.size(); ++tier) {
    batch.loaded[tier] += loaded[tier] * cache_->run_tokens();
    loaded_tokens_ += loaded[tier] * cache_->run_tokens();
  }
  prompt_tokens_ += s.prompt;
  cached_tokens_ += cached;
  return TakeChunk(slot, budget, batch);
}

void Scheduler::TakeChunks(int64_t budget, Batch& batch) {
  for (const Slot slot : prefilling_) {
    if (budget == 0) break;
    if (!TakeChunk(slot, budget, batch)) batch.blocked = Blocked::kKvCache;
  }
  while (!waiting_.empty() && batch.blocked == Blocked::kNothing) {
    const Slot slot = waiting_.front();
    Sequence& s = At(slot);
    if (s.prefilled) break;
    if (running() >= limits_.max_num_seqs)
      batch.blocked = Blocked::kSequences;
    else if (budget == 0)
      batch.blocked = Blocked::kTokens;
    else if (OthersStarve() || cache_->promised() + PromiseOf(s) > limits_.blocks ||
             !Admit(slot, budget, batch))
      batch.blocked = Blocked::kKvCache;
    if (batch.blocked != Blocked::kNothing) break;
    waiting_.pop_front();
    cache_->Promise(PromiseOf(s));
    s.state = State::kPrefilling;
    s.order = cache_->Enter();
    started_.push_back(s.id);
    prefilling_.push_back(slot);
    admitted_.push_back({slot, s.version});
  }
}

void Scheduler::JoinPrefilled(Batch& batch) {
  joined_.clear();
  while (!waiting_.empty()) {
    const Slot slot = waiting_.front();
    Sequence& s = At(slot);
    if (!s.prefilled) break;
    if (running() >= limits_.max_num_seqs)
      batch.blocked = Blocked::kSequences;
    else if (OthersStarve() || cache_->promised() + PromiseOf(s) > limits_.blocks ||
             cache_->BlocksFor(s.prompt + 1 + limits_.drafts) + (s.on_host > 0 ? Growing() : 0) >
                 cache_->available())
      batch.blocked = Blocked::kKvCache;
    if (batch.blocked != Blocked::kNothing) break;
    waiting_.pop_front();
    cache_->Promise(PromiseOf(s));
    cache_->Take(cache_->BlocksFor(s.prompt));
    host_used_ -= s.on_host;
    batch.swapped += s.on_host;
    s.on_host = 0;
    s.stored = s.prompt;
    s.order = cache_->Enter();
    BeginDecode(slot);
    admitted_.push_back({slot, s.version});
    joined_.push_back(s.id);
  }
}

Batch Scheduler::Next() {
  Batch batch = Taken();
  const bool starves = batch.empty() && running() > 0;
  cache_->Starve(starves - starves_);
  starves_ = starves;
  return batch;
}

Batch Scheduler::Taken() {
  MOECAST_CHECK(chunks_.empty() && !decodes_);
  Batch batch;
  preempted_.clear();
  started_.clear();
  JoinPrefilled(batch);
  const bool decodes_alone = !policy_->mixes && decoding_ > 0;
  // Who is back from host memory decodes at once.
  if (!policy_->mixes && batch.swapped == 0 && (decoding_ == 0 || policy_->starts_while_decoding))
    TakeChunks(limits_.max_num_batched_tokens, batch);
  if (batch.prefill.tokens > 0 && !policy_->mixes) return batch;
  if (decodes_alone && !policy_->starts_while_decoding && !waiting_.empty())
    batch.blocked = Blocked::kPolicy;

  // Who was preempted does not come back in the same iteration, nor does another take its place.
  while (decoding_ > 0 && Growing() > cache_->available()) {
    batch.blocked = Blocked::kKvCache;
    if (!PreemptLast(batch)) return batch;
  }
  if (decoding_ > 0) {
    decodes_ = true;
    cache_->Take(Growing());
    const int64_t queries = 1 + limits_.drafts;
    batch.decode = DecodeOf(decoding_, stored_sum_ + decoding_ * queries, queries);
  }
  // Prompts, and where all that decoded gave way those that had no room beside it.
  if (policy_->mixes || batch.empty())
    TakeChunks(limits_.max_num_batched_tokens - decoding_ * (1 + limits_.drafts), batch);
  // Prompts that hold the whole cache, none of which can go on: the last gives way.
  while (batch.empty() && !prefilling_.empty() && PreemptLast(batch)) {
    batch.blocked = Blocked::kKvCache;
    TakeChunks(limits_.max_num_batched_tokens, batch);
  }
  return batch;
}

std::vector<int32_t> Scheduler::Clear() {
  std::vector<int32_t> lost;
  for (const Sequence& s : sequences_)
    if (s.state != State::kFinished) lost.push_back(s.id);
  std::sort(lost.begin(), lost.end());
  *cache_ = std::move(*CacheOf(limits_));
  Scheduler empty(limits_, *policy_, cache_);
  empty.prompt_tokens_ = prompt_tokens_;
  empty.cached_tokens_ = cached_tokens_;
  empty.loaded_tokens_ = loaded_tokens_;
  empty.preemptions_ = preemptions_;
  empty.swaps_ = swaps_;
  empty.swapped_tokens_ = swapped_tokens_;
  *this = std::move(empty);
  return lost;
}

void Scheduler::Drop(int32_t id) {
  const auto handed = handed_over_.find(id);
  MOECAST_CHECK(handed != handed_over_.end());
  const Slot slot = handed->second;
  handed_over_.erase(handed);
  GiveBack(At(slot), At(slot).blocks);
  cache_->Promise(-PromiseOf(At(slot)));
  At(slot).state = State::kFinished;
  empty_.push_back(slot);
}

BatchEnd Scheduler::End() {
  first_token_.clear();
  finished_.clear();
  resumed_.clear();
  begun_.clear();
  BatchEnd end;
  if (decodes_) {
    end.tokens += decoding_ * step_;
    stored_sum_ += decoding_ * step_;
    clock_ += step_;
    ++iterations_;
    step_ = static_cast<int64_t>(static_cast<double>(iterations_ + 1) * limits_.tokens_per_step) -
            clock_;
    ending_.clear();
    for (; !ends_.empty() && ends_.top().at <= clock_; ends_.pop())
      if (IsNow(ends_.top().of)) ending_.push_back(ends_.top());
    // Whichever of a step's tokens was their last.
    std::sort(ending_.begin(), ending_.end(),
              [](const Ending& a, const Ending& b) { return a.id < b.id; });
    for (const Ending& ending : ending_) {
      end.tokens -= clock_ - ending.at;  // accepted behind its last
      LeaveDecode(At(ending.of.slot));
      Finish(ending.of.slot);
    }
    decodes_ = false;
  }
  for (const Chunk& chunk : chunks_) {
    Sequence& s = At(chunk.slot);
    s.stored += chunk.tokens;
    for (; static_cast<size_t>(s.held) < s.runs.size() &&
           (s.held + 1) * cache_->run_tokens() <= s.stored;
         ++s.held) {
      cache_->Keep(s.runs[static_cast<size_t>(s.held)]);
      s.blocks -= cache_->run_blocks();
    }
    if (s.stored < s.prompt) continue;
    std::erase(prefilling_, chunk.slot);
    ++s.made;
    ++end.tokens;
    (s.began ? resumed_ : first_token_).push_back(s.id);
    s.began = true;
    if (s.made == s.output) {
      if (!s.hands_over) GiveBack(s, s.blocks);
      Finish(chunk.slot);
    } else {
      BeginDecode(chunk.slot);
      begun_.push_back(s.id);
    }
  }
  chunks_.clear();
  // Those that have finished are dropped before they outnumber the others.
  if (admitted_.size() > 64 && admitted_.size() > 2 * static_cast<size_t>(running()))
    std::erase_if(admitted_, [&](const Entry& entry) { return !IsNow(entry); });
  end.first_token = first_token_;
  end.finished = finished_;
  end.resumed = resumed_;
  end.begun = begun_;
  return end;
}

}  // namespace moecast
