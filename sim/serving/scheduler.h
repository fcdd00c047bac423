// The scheduler of one replica of attention: which sequences each iteration takes, in what chunks,
// and the blocks of the KV cache they hold. A state machine without a clock: whoever runs it asks
// for a batch, runs it, and says that it has ended.
//
// Continuous batching with paged KV (vLLM, arXiv 2309.06180): sequences wait in order of arrival;
// one is admitted when the cache has blocks for its next chunk, and holds a block for each
// `block_size` tokens it has stored. A token more for every decoding sequence may take more blocks
// than are free: then those admitted last are preempted, give up theirs, and come back to the head
// of the queue to be computed again (preemption by recomputation).
//
// Where there is host memory for it, all that a decoding sequence has stored is copied there
// instead, runs that it shared with others too, which it lets go. It comes back, to blocks of its
// own, when the cache has room for it, for its next tokens and for those of all that decode, and
// decodes in the same iteration (preemption by swapping, as vLLM's V0 engine did it:
// vllm/core/scheduler.py, _schedule_swapped).
//
// An iteration touches only sequences that change: those that prefill, begin or end decoding, or
// are preempted. Of the others there are sums: each decode iteration gives every decoding sequence
// one token, so one counter of such iterations says when each ends and when each needs a block.
//
// Where drafts are verified, an iteration gives every decoding sequence as many tokens as are
// accepted in the mean, in turn the whole numbers below and above; the counter counts tokens.
//
// A prompt whose first tokens the cache keeps of another is prefilled from there on (kv_cache.h). A
// sequence whose prompt was computed elsewhere (disaggregated prefill) waits for the blocks of all
// of it and goes on to decode.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <unordered_map>
#include <vector>

#include "costmodel/work.h"
#include "sim/serving/batching.h"
#include "sim/serving/kv_cache.h"

namespace moecast {

struct SchedulerLimits {
  int64_t max_num_seqs = 256;             // running at once
  int64_t max_num_batched_tokens = 8192;  // new tokens of an iteration
  int64_t block_size = 16;                // tokens
  int64_t blocks = 0;                     // of the KV cache
  int64_t run_tokens = 0;      // of the runs that prompts' hashes are of; 0 without prefix caching
  int64_t drafts = 0;          // verified with the next token of each sequence
  double tokens_per_step = 1;  // that a decoding sequence makes, 1 to 1 + drafts
  std::vector<int64_t> tier_runs = {};  // that tiers below the cache keep
  int64_t host_blocks = 0;  // of host memory, that sequences which give way are copied to
};

// A request as an engine has it. `hashes` are of its prompt's runs, from the first on, and outlive
// the scheduler.
struct SequenceAsked {
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  std::span<const uint64_t> hashes = {};
  bool prefilled = false;  // its prompt and first token were computed elsewhere
  // Its cache is read by others after its end, until Drop. REQUIRES: one token of output.
  bool hands_over = false;
};

// What kept the head of the queue from being admitted.
enum class Blocked : uint8_t { kNothing, kSequences, kTokens, kKvCache, kPolicy };

// What an iteration does.
struct Batch {
  Work prefill{.pass = Pass::kPrefill};
  Work decode{.pass = Pass::kDecode};
  Blocked blocked = Blocked::kNothing;
  std::vector<int64_t> loaded = {};  // tokens from each tier below the cache; none: empty
  int64_t swapped = 0;  // blocks copied to host memory and back, before anything is computed
  bool empty() const { return prefill.tokens + decode.tokens == 0; }
  int64_t tokens() const { return prefill.tokens + decode.tokens; }
};

// What its end changed. Spans are valid until the next call.
struct BatchEnd {
  std::span<const int32_t> first_token;  // sequences whose first token it made
  std::span<const int32_t> finished;     // whose last; a sequence may be in both
  std::span<const int32_t> resumed;      // whose next after a preemption
  std::span<const int32_t> begun;        // that decode from now on
  int64_t tokens = 0;                    // made in all
};

class Scheduler {
 public:
  // Schedulers that share a cache take their turns at it (batches of a pipeline): of all their
  // sequences those admitted last give way, and where another's would have to, an iteration is
  // empty though sequences run. Alone it has a cache of its own. REQUIRES: limits are positive, and
  // an iteration has a token for each sequence; the cache was made with them.
  Scheduler(const SchedulerLimits& limits, const BatchingPolicy& policy,
            std::shared_ptr<KvCache> cache = nullptr);
  static std::shared_ptr<KvCache> CacheOf(const SchedulerLimits& limits);

  // The most blocks that a sequence holds: before its last token is made, with the drafts that are
  // verified with it.
  int64_t BlocksOf(int64_t input_tokens, int64_t output_tokens) const;
  // Puts a sequence at the end of the queue; `id` is its caller's, who gets it back. REQUIRES:
  // tokens are positive (with the prompt prefilled two of output) and BlocksOf(...) <=
  // limits.blocks.
  void Add(int32_t id, const SequenceAsked& asked);

  // The next iteration; empty where nothing waits or runs, or another that shares the cache is to
  // give way. REQUIRES: the one before has ended.
  Batch Next();
  // The iteration that Next gave has run.
  BatchEnd End();
  // Loses all it has, the iteration that runs and the cache among it: the ids of the sequences that
  // waited, ran or were handed over and not dropped, ascending. REQUIRES: who shares the cache
  // loses all too.
  std::vector<int32_t> Clear();
  // The cache of a finished sequence that hands it over has been read.
  void Drop(int32_t id);

  const SchedulerLimits& limits() const { return limits_; }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t running() const { return static_cast<int64_t>(prefilling_.size()) + decoding_; }
  int64_t decoding() const { return decoding_; }
  int64_t blocks_used() const { return cache_->used(); }  // by sequences
  int64_t host_blocks_used() const { return host_used_; }
  // Tokens of the prompts that were admitted, and those of them that the cache had.
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t cached_tokens() const { return cached_tokens_; }
  int64_t loaded_tokens() const { return loaded_tokens_; }  // of these from tiers below
  // How many first tokens of a prompt the cache has now.
  int64_t CachedOf(const SequenceAsked& asked) const;
  // Of the last Next, valid until the next: sequences that left the queue for their prompt,
  // prefilled ones that begin to decode or are back from host memory, and after these sequences
  // with tokens made that were preempted.
  std::span<const int32_t> started() const { return started_; }
  std::span<const int32_t> joined() const { return joined_; }
  std::span<const int32_t> preempted() const { return preempted_; }
  int64_t preemptions() const { return preemptions_; }
  // Of these the ones by swapping, and the tokens that they had stored.
  int64_t swaps() const { return swaps_; }
  int64_t swapped_tokens() const { return swapped_tokens_; }
  bool idle() const { return waiting_.empty() && running() == 0; }

 private:
  enum class State : uint8_t { kWaiting, kPrefilling, kDecoding, kHandedOver, kFinished };
  // A place for a sequence, used again when it has ended.
  using Slot = int32_t;
  struct Sequence {
    int32_t id = 0;
    int64_t prompt = 0;   // tokens to prefill: the input, after a preemption with what was made
    int64_t output = 0;   // tokens to make
    int64_t made = 0;     // tokens made; while it decodes, those made when it began to
    int64_t stored = 0;   // tokens in the cache; while it decodes, those when it began to
    int64_t since = 0;    // the clock when it began to decode
    int64_t blocks = 0;   // its own while it prefills
    int64_t on_host = 0;  // blocks of host memory that it waits in
    std::span<const uint64_t> runs;  // of its input that may be kept
    int32_t held = 0;                // runs of the cache it holds
    int64_t order = 0;               // of its admission, among all that share the cache
    int32_t version = 0;             // tells entries of ends_ and admitted_ that are of the past
    State state = State::kFinished;
    bool began = false;      // has made its first token
    bool prefilled = false;  // and computes nothing before it decodes
    bool hands_over = false;
  };
  struct Entry {
    Slot slot;
    int32_t version;
  };
  struct Ending {
    int64_t at;  // by the clock
    int32_t id;
    Entry of;
    bool operator>(const Ending& o) const { return at != o.at ? at > o.at : id > o.id; }
  };
  Sequence& At(Slot slot) { return sequences_[static_cast<size_t>(slot)]; }
  bool IsNow(const Entry& entry) { return At(entry.slot).version == entry.version; }

  // Decoding sequences that need a block for their token at a time of the clock.
  int64_t& GrowingAt(int64_t clock) {
    return growing_[static_cast<size_t>(clock % limits_.block_size)];
  }
  // Blocks for the next `step_` tokens of all.
  int64_t Growing() {
    int64_t blocks = 0;
    for (int64_t i = 0; i < step_; ++i) blocks += GrowingAt(clock_ + i);
    return blocks;
  }
  int64_t StoredNow(const Sequence& s) const { return s.stored + clock_ - s.since; }
  int64_t PhaseOf(const Sequence& s) const;
  void JoinPrefilled(Batch& batch);
  std::span<const uint64_t> RunsOf(const SequenceAsked& asked) const;
  KvCache::Known KnownOf(std::span<const uint64_t> runs, int64_t prompt) const;
  void TakeChunks(int64_t budget, Batch& batch);
  bool TakeChunk(Slot slot, int64_t& budget, Batch& batch);
  bool Admit(Slot slot, int64_t& budget, Batch& batch);
  int64_t OwnBlocks(const Sequence& s, int64_t stored) const {
    return cache_->BlocksFor(stored) - s.held * cache_->run_blocks();
  }
  void GiveBack(Sequence& s, int64_t blocks);
  // Blocks to a sequence's end that are kept for it from the first on; none where none are.
  int64_t PromiseOf(const Sequence& s) const {
    return policy_->reserves ? BlocksOf(s.prompt, s.output) : 0;
  }
  void Finish(Slot slot);
  void BeginDecode(Slot slot);
  void LeaveDecode(Sequence& s);
  // Preempts the sequence that was admitted last; false where there is none, or another that shares
  // the cache has it.
  bool PreemptLast(Batch& batch);
  Batch Taken();
  // Whether another finds no blocks.
  bool OthersStarve() const { return cache_->starving() > (starves_ ? 1 : 0); }

  SchedulerLimits limits_;
  const BatchingPolicy* policy_;
  std::vector<Sequence> sequences_;  // by slot
  std::vector<Slot> empty_;
  std::deque<Slot> waiting_;
  std::vector<Slot> prefilling_;  // admitted and not done with their prompt, in order
  std::vector<Entry> admitted_;   // in order; those that have finished are dropped when met
  std::unordered_map<int32_t, Slot> handed_over_;  // by id: finished, their cache still read
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> ends_;
  std::vector<int64_t> growing_;  // by the clock modulo block_size
  std::shared_ptr<KvCache> cache_;
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0, loaded_tokens_ = 0;
  int64_t decoding_ = 0;
  int64_t stored_sum_ = 0;  // of decoding sequences, now
  int64_t iterations_ = 0;  // with decodes
  int64_t clock_ = 0;       // tokens that a sequence has made that decoded in all of them
  int64_t step_ = 1;        // what the next of them adds
  int64_t preemptions_ = 0, swaps_ = 0, swapped_tokens_ = 0;
  int64_t host_used_ = 0;
  bool starves_ = false;
  // Of the iteration that runs.
  struct Chunk {
    Slot slot;
    int64_t tokens;
  };
  std::vector<Chunk> chunks_;
  bool decodes_ = false;
  std::vector<Ending> ending_;
  std::vector<int32_t> first_token_, finished_, resumed_, begun_, started_, joined_, preempted_;
};

}  // namespace moecast
