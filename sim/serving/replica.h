// One replica under the requests that it is sent: dp ranks, each with a scheduler, that go through
// the layers in step. It runs an iteration at a time and keeps count of what it does; when things
// happen is its caller's.
//
// Of several stages as many iterations are under way, each of a lane: a part of every rank's
// sequences, that has a scheduler of its own and shares the rank's cache (as SGLang's pipeline
// does; vLLM takes for each the sequences that are in no other). A lane goes through the stages
// behind those before it, and begins its next iteration when the last has ended; the host's part of
// one is a stage too. Lanes that could begin take turns.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "sim/serving/iteration_costs.h"
#include "sim/serving/scheduler.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/serving_run.h"
#include "sim/serving/token_gaps.h"

namespace moecast {

enum class RequestEnd : uint8_t { kCompleted, kTooLong, kNeverFits };

struct RequestOutcome {
  Time arrival{};
  Time started = kNever;  // first out of the queue
  Time first_token{};
  Time end{};
  RequestEnd how = RequestEnd::kCompleted;
};

struct ServingSample {
  Time at{};
  int64_t waiting = 0;
  int64_t running = 0;
  int64_t kv_blocks = 0;
};

struct IterationSpan {
  Time start, end;
  Time overhead;  // of it the engine's, its end
  int64_t prompt_tokens = 0, decodes = 0;
  int lane = 0;
};

// All that a replica did, and how it stood after each change.
struct ReplicaRecord {
  std::vector<IterationSpan> iterations;
  std::vector<ServingSample> samples;
};

// Mean work of iterations, each weighted by its time; in halves where most of it is.
class MeanWork {
 public:
  void Add(const IterationWork& iteration, double weight);
  void Add(const MeanWork& other);
  // Nothing where there was none. A mean below one sequence is none.
  IterationWork mean() const;

 private:
  using Sums = std::array<double, 4>;
  double weight_ = 0, mean_tokens_ = 0, halved_ = 0;
  Sums prefill_{}, decode_{};
};

// Sums over the iterations of replicas; of pp lanes, times are a pp-th of what their iterations
// take: the mean over the stages' GPUs.
struct ServingCounts {
  int64_t iterations = 0;
  int64_t preemptions = 0;
  int64_t peak_blocks = 0;  // of a dp rank
  // Of prompts that were admitted, and those of them that the prefix cache had.
  int64_t prompt_tokens = 0, cached_tokens = 0;
  int64_t loaded_tokens = 0;  // of these from tiers below
  // Preemptions by swapping, and the tokens that were copied out, and in again.
  int64_t swaps = 0, swapped_tokens = 0;
  BlockTime busy;
  Seconds overhead;                  // of the engine
  Seconds loading;                   // from tiers below, beyond what an iteration takes anyway
  Seconds swapping;                  // sequences to host memory and back
  Seconds with_prompts;              // what prompts add to iterations with decodes, or take alone
  Seconds decoding;                  // the rest
  std::array<Seconds, 5> blocked{};  // by Blocked: iterations whose queue had to wait, and why
  TokenGaps gaps;
  MeanWork work;

  Seconds total() const { return busy.total + overhead + loading + swapping; }
  void Add(const ServingCounts& other);
};

class Replica {
 public:
  // Of the pool, whose iterations cost `costs` times `slower`. What happens to a request is written
  // to its place in `outcomes`. The run, the costs and these outlive it. REQUIRES: memory.fits().
  Replica(const ServingRun& run, const Deployment& pool, const ServingMemory& memory,
          IterationCosts& costs, double slower, std::vector<RequestOutcome>& outcomes);

  // Everything is kept, from here on.
  void Record() { records_ = true; }
  const ReplicaRecord& record() const { return record_; }

  // Those of the first lane, then of the next.
  std::span<Scheduler> ranks() { return schedulers_; }
  // Begins an iteration where one can.
  void Start(Time now);
  // When an iteration ends, or the first stage is free for another; kNever where nothing runs.
  Time next() const;
  // All it has is lost, what the iterations that run have done so far too, which counts for
  // nothing: the requests that it had, each rank's ascending.
  std::vector<int32_t> Fail(Time now);
  // Iterations that end now: the requests whose last tokens they made. Valid until the next.
  std::span<const int32_t> End(Time now);

  // Keeps how its ranks stand now: at the end of each iteration, and where its caller has changed
  // what they hold.
  void Sample(Time now);

  // REQUIRES: nothing waits or runs.
  ServingCounts Finish();
  // By time, thinned but for the last.
  std::vector<ServingSample> series() const;

 private:
  // Of a rank: when it last decoded, the sequences that have begun to decode since then with the
  // time of their last token, and when those had theirs that were preempted.
  struct Begun {
    int32_t id;
    Time last;
  };
  struct Ticks {
    Time last{};
    std::vector<Begun> begun = {};
    std::unordered_map<int32_t, Time> stopped = {};
  };

  // The iteration that runs: of the rank that takes longest.
  struct Running {
    IterationWork work;
    BlockTime time;
    Seconds overhead, loading, swapping;
    Seconds all() const { return time.total + overhead + loading + swapping; }
    Blocked blocked = Blocked::kNothing;
  };
  struct Lane {
    std::vector<Batch> batches;  // by rank
    Running running;
    Time ends = kNever;
    IterationSpan span;
  };

  size_t dp() const { return schedulers_.size() / lanes_.size(); }
  std::span<Scheduler> RanksOf(size_t lane) {
    return std::span(schedulers_).subspan(lane * dp(), dp());
  }
  int64_t Preemptions() const;
  // Whether it had anything to do.
  bool Begin(size_t lane, Time now);
  // Where it comes out behind those that are in the stages.
  Time EndOf(const Running& iteration, Time now);
  void Count(const Running& iteration);
  // What a batch loads from tiers below the cache takes.
  Seconds LoadingOf(const Batch& batch) const;
  void EndRank(size_t lane, size_t r, Time now);

  const ServingRun& run_;
  const EngineSpec engine_;
  IterationCosts& costs_;
  const double slower_;
  std::vector<Seconds> load_token_;  // from each tier
  const Seconds swap_block_;         // to host memory or from it
  std::vector<RequestOutcome>& outcomes_;
  std::vector<Scheduler> schedulers_;
  std::vector<Ticks> ticks_;  // by scheduler
  std::vector<Lane> lanes_;
  std::vector<Time> free_;  // by stage, then the host: when the last that has begun leaves it
  size_t turn_ = 0;         // of the lanes
  Time now_{};              // of the last Start
  std::vector<int32_t> finished_;
  ServingCounts counts_;
  bool records_ = false;
  ReplicaRecord record_;
  std::vector<ServingSample> series_;
  ServingSample last_;
  Time every_, next_sample_{};  // of series_
};

}  // namespace moecast
