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
// An iteration touches only sequences that change: those that prefill, begin or end decoding, or
// are preempted. Of the others there are sums: each decode iteration gives every decoding sequence
// one token, so one counter of such iterations says when each ends and when each needs a block.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <span>
#include <vector>

#include "costmodel/work.h"
#include "sim/serving/batching.h"

namespace moecast {

struct SchedulerLimits {
  int64_t max_num_seqs = 256;             // running at once
  int64_t max_num_batched_tokens = 8192;  // new tokens of an iteration
  int64_t block_size = 16;                // tokens
  int64_t blocks = 0;                     // of the KV cache
};

// What kept the head of the queue from being admitted.
enum class Blocked : uint8_t { kNothing, kSequences, kTokens, kKvCache, kPolicy };

// What an iteration does.
struct Batch {
  Work prefill{.pass = Pass::kPrefill};
  Work decode{.pass = Pass::kDecode};
  Blocked blocked = Blocked::kNothing;
  bool empty() const { return prefill.tokens + decode.tokens == 0; }
  int64_t tokens() const { return prefill.tokens + decode.tokens; }
};

// What its end changed. Spans are valid until the next call.
struct BatchEnd {
  std::span<const int32_t> first_token;  // sequences whose first token it made
  std::span<const int32_t> finished;     // whose last; a sequence may be in both
  int64_t tokens = 0;                    // made in all
};

class Scheduler {
 public:
  // REQUIRES: limits are positive, and an iteration has a token for each sequence.
  Scheduler(const SchedulerLimits& limits, const BatchingPolicy& policy);

  // Blocks that a sequence holds before its last token is made.
  int64_t BlocksOf(int64_t input_tokens, int64_t output_tokens) const;
  // Puts a sequence at the end of the queue. REQUIRES: `id` is new, tokens are positive and
  // BlocksOf(...) <= limits.blocks.
  void Add(int32_t id, int64_t input_tokens, int64_t output_tokens);

  // The next iteration; empty where nothing waits or runs. REQUIRES: the one before has ended.
  Batch Next();
  // The iteration that Next gave has run.
  BatchEnd End();

  const SchedulerLimits& limits() const { return limits_; }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t running() const { return static_cast<int64_t>(prefilling_.size()) + decoding_; }
  int64_t decoding() const { return decoding_; }
  int64_t blocks_used() const { return limits_.blocks - free_; }
  int64_t preemptions() const { return preemptions_; }
  bool idle() const { return waiting_.empty() && running() == 0; }

 private:
  enum class State : uint8_t { kNone, kWaiting, kPrefilling, kDecoding, kFinished };
  struct Sequence {
    int64_t prompt = 0;   // tokens to prefill: the input, after a preemption with what was made
    int64_t output = 0;   // tokens to make
    int64_t made = 0;     // tokens made; while it decodes, those made when it began to
    int64_t stored = 0;   // tokens in the cache; while it decodes, those when it began to
    int64_t since = 0;    // decode iterations there had been when it began to decode
    int64_t blocks = 0;   // held while it prefills
    int32_t version = 0;  // tells entries of ends_ that a preemption made void
    State state = State::kNone;
    bool began = false;  // has made its first token
  };
  struct Ending {
    int64_t at;  // decode iterations
    int32_t id;
    int32_t version;
    bool operator>(const Ending& o) const { return at != o.at ? at > o.at : id > o.id; }
  };

  int64_t BlocksFor(int64_t tokens) const {
    return (tokens + limits_.block_size - 1) / limits_.block_size;
  }
  // Decoding sequences that need a block for the token of the decode iteration that comes next.
  int64_t& GrowingAt(int64_t iterations) {
    return growing_[static_cast<size_t>(iterations % limits_.block_size)];
  }
  int64_t StoredNow(const Sequence& s) const { return s.stored + iterations_ - s.since; }
  int64_t PhaseOf(const Sequence& s) const;
  void TakeChunks(int64_t budget, Batch& batch);
  bool TakeChunk(int32_t id, int64_t& budget, Batch& batch);
  void BeginDecode(int32_t id);
  void LeaveDecode(Sequence& s);
  void Finish(int32_t id);
  // Preempts the sequence that was admitted last; false where there is none.
  bool PreemptLast();

  SchedulerLimits limits_;
  const BatchingPolicy* policy_;
  std::vector<Sequence> sequences_;  // by id
  std::deque<int32_t> waiting_;
  std::vector<int32_t> prefilling_;  // admitted and not done with their prompt, in order
  std::vector<int32_t> admitted_;    // in order; those that have finished are dropped when met
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> ends_;
  std::vector<int64_t> growing_;  // by decode iteration modulo block_size
  int64_t free_;                  // blocks
  int64_t promised_ = 0;  // blocks that running sequences hold at their ends; where reserved
  int64_t decoding_ = 0;
  int64_t stored_sum_ = 0;  // of decoding sequences, now
  int64_t iterations_ = 0;  // with decodes
  int64_t preemptions_ = 0;
  // Of the iteration that runs.
  struct Chunk {
    int32_t id;
    int64_t tokens;
  };
  std::vector<Chunk> chunks_;
  bool decodes_ = false;
  std::vector<int32_t> first_token_, finished_;
};

}  // namespace moecast
