#include "sim/serving/simulate.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "base/check.h"
#include "sim/serving/kv_transfers.h"
#include "sim/serving/pool.h"
#include "sim/serving/serving_memory.h"

namespace moecast {
namespace {

struct FleetResult {
  int64_t waiting_left = 0, run_again = 0;
  ServingCounts decode;
  std::optional<ServingCounts> prefill;
  std::optional<Scaling> scaling, prefill_scaling;
  std::vector<std::vector<ServingSample>> series;  // by replica
  std::vector<ReplicaRecord> records;              // by replica
};

// Replicas that influence each other, under the requests they get. What happens at one time happens
// in this order: replicas fail, recover, come and go, arrivals, caches that arrive, ends of
// iterations, what their ends let in, new iterations.
class Fleet {
 public:
  Fleet(const ServingRun& run, int replicas, IterationCosts& decode, IterationCosts* prefill,
        const Slower& slower, std::vector<RequestOutcome>& outcomes)
      : run_(run), outcomes_(outcomes) {
    pools_.emplace_back(run, run.deployment, replicas, decode, slower.decode, outcomes);
    if (prefill) {
      const Deployment pool = PrefillPoolOf(run.deployment);
      pools_.emplace_back(run, pool, pool.replicas, *prefill, slower.prefill, outcomes);
      transfers_ = std::make_unique<KvTransfers>(run);
      moves_.resize(run.load.requests.size());
    }
    for (const ReplicaFailure& failure : run.deployment.failures) {
      Pool& pool = failure.pool == PoolKind::kDecode ? pools_.front() : pools_.back();
      const int replica = failure.replica % static_cast<int>(pool.replicas().size());
      changes_.push_back({Time::From(failure.at), &pool, replica, true});
      changes_.push_back({Time::From(failure.at + failure.recovery), &pool, replica, false});
    }
    std::stable_sort(changes_.begin(), changes_.end(),
                     [](const Change& a, const Change& b) { return a.at < b.at; });
  }

  void Record() {
    for (Pool& pool : pools_)
      for (Replica& replica : pool.replicas()) replica.Record();
  }

  // `requests` in order of arrival, at most `at_once` of them in the fleet at a time.
  void Run(const std::vector<int32_t>& requests, int64_t at_once,
           const std::function<void(double part)>& progress) {
    requests_ = &requests;
    at_once_ = at_once;
    if (!requests.empty())
      for (Pool& pool : pools_) pool.BeginScaling(NextArrival());
    int64_t events = 0;
    while (true) {
      const bool sends = pools_.back().up() && in_flight_ < at_once_;
      Time now = sends ? NextArrival() : kNever;
      for (const Pool& pool : pools_) now = std::min(now, pool.next());
      if (transfers_) now = std::min(now, transfers_->Next());
      if (now == kNever && again_.empty() && kept_.empty() && next_ == requests.size()) break;
      if (changed_ < changes_.size()) now = std::min(now, changes_[changed_].at);
      for (const Pool& pool : pools_)
        if (pool.scaler()) now = std::min(now, pool.scaler()->next());
      Apply(now);
      for (Pool& pool : pools_)
        if (pool.scaler()) pool.Scale(now, InFlight(pool));
      LetIn(now);
      if (transfers_) Receive(now);
      for (Pool& pool : pools_)
        for (Replica& replica : pool.replicas())
          if (replica.next() == now) End(replica, &pool == &pools_.back(), now);
      for (Pool& pool : pools_)
        pool.Release(now, [&](int replica) { return Expects(pool, replica); });
      ended_ = now;
      LetIn(now);
      for (Pool& pool : pools_) pool.Start(now);
      if (progress && ++events % 1024 == 0)
        progress(static_cast<double>(next_) / static_cast<double>(requests.size()));
    }
    MOECAST_CHECK(next_ == requests.size() && in_flight_ == 0 && handed_over_ == 0);
  }

  // REQUIRES: it has run.
  FleetResult Finish() {
    const auto scaling_of = [&](const Pool& pool) {
      const std::optional<Autoscaler>& scaler = pool.scaler();
      return scaler ? std::optional(Scaling{scaler->counts(), scaler->Paid(ended_)}) : std::nullopt;
    };
    FleetResult result{.waiting_left = waiting_left_,
                       .run_again = run_again_,
                       .decode = pools_.front().Finish(),
                       .scaling = scaling_of(pools_.front())};
    if (transfers_) {
      result.prefill = pools_.back().Finish();
      result.prefill_scaling = scaling_of(pools_.back());
    }
    for (Pool& pool : pools_)
      for (const Replica& replica : pool.replicas()) {
        result.series.push_back(replica.series());
        result.records.push_back(replica.record());
      }
    return result;
  }

 private:
  const Request& Asked(int32_t id) const { return run_.load.requests[static_cast<size_t>(id)]; }
  RequestOutcome& Outcome(int32_t id) { return outcomes_[static_cast<size_t>(id)]; }
  Time NextArrival() const {
    return next_ < requests_->size() ? Asked((*requests_)[next_]).arrival : kNever;
  }
  // Requests in a pool: of two that which decodes has those whose prompts are done.
  int64_t InFlight(const Pool& pool) const {
    if (!transfers_) return in_flight_;
    return &pool == &pools_.front() ? handed_over_ : in_flight_ - handed_over_;
  }
  // Whether a cache is on its way to the replica.
  bool Expects(Pool& pool, int replica) {
    return transfers_ && &pool == &pools_.front() &&
           std::any_of(moving_.begin(), moving_.end(),
                       [&](int32_t id) { return pool.ReplicaOf(MoveOf(id).to) == replica; });
  }

  // Replicas that fail and recover by `now`.
  void Apply(Time now) {
    for (; changed_ < changes_.size() && changes_[changed_].at <= now; ++changed_) {
      const Change& change = changes_[changed_];
      if (change.fails)
        Fail(*change.pool, change.replica, now);
      else
        change.pool->Recover(change.replica);
    }
  }

  // All it had is run again from the prompt.
  void Fail(Pool& pool, int replica, Time now) {
    std::vector<int32_t> lost = pool.Fail(replica, now);
    if (transfers_ && &pool == &pools_.back())
      LoseHandedOver(lost, now);
    else if (transfers_)
      LoseExpected(replica, lost, now);
    again_.insert(again_.end(), lost.begin(), lost.end());
    run_again_ += static_cast<int64_t>(lost.size());
  }
  // Of what a replica lost that prefills: the caches that it kept for a receiver, or was sending.
  void LoseHandedOver(const std::vector<int32_t>& lost, Time now) {
    for (const int32_t id : lost) {
      const bool moved = moving_.erase(id) > 0;
      if (moved) transfers_->Cancel(now, id);
      handed_over_ -= moved || std::erase(kept_, id) > 0;
    }
  }
  // With what a replica lost that decodes: the caches on their way to it, whose senders are free.
  void LoseExpected(int replica, std::vector<int32_t>& lost, Time now) {
    for (auto id = moving_.begin(); id != moving_.end();) {
      if (pools_.front().ReplicaOf(MoveOf(*id).to) != replica) {
        ++id;
        continue;
      }
      transfers_->Cancel(now, *id);
      Drop(*id, now);
      lost.push_back(*id);
      id = moving_.erase(id);
    }
    handed_over_ -= static_cast<int64_t>(lost.size());
  }

  // All that have arrived by `now` and may be in the fleet, those that a failure hit first; caches
  // that were kept while none took them.
  void LetIn(Time now) {
    for (; pools_.front().up() && !kept_.empty(); kept_.pop_front()) SendCache(kept_.front(), now);
    if (!pools_.back().up()) return;
    for (; !again_.empty(); again_.pop_front()) Send(again_.front());
    while (next_ < requests_->size() && in_flight_ < at_once_ && NextArrival() <= now) {
      const int32_t id = (*requests_)[next_++];
      RequestOutcome& outcome = Outcome(id);
      outcome.arrival = outcome.first_token = outcome.end =
          std::max(Asked(id).arrival, full_until_);
      Send(id);
      ++in_flight_;
      if (next_ < requests_->size()) continue;
      waiting_left_ = static_cast<int64_t>(kept_.size());
      for (const Pool& pool : pools_) waiting_left_ += pool.waiting();
    }
  }

  void Send(int32_t id) {
    const Request& request = Asked(id);
    const SequenceAsked asked{.input_tokens = request.input_tokens,
                              .output_tokens = transfers_ ? 1 : request.output_tokens,
                              .hashes = run_.load.BlocksOf(request),
                              .hands_over = Moves(request)};
    const int rank = pools_.back().Choose(asked);
    pools_.back().rank(rank).Add(id, asked);
    if (transfers_) MoveOf(id).from = rank;
  }

  // Whether its cache goes to a rank that decodes.
  bool Moves(const Request& request) const { return transfers_ && request.output_tokens > 1; }
  static SequenceAsked Prefilled(const Request& request) {
    return {.input_tokens = request.input_tokens,
            .output_tokens = request.output_tokens,
            .prefilled = true};
  }

  void SendCache(int32_t id, Time now) {
    const Request& request = Asked(id);
    Move& move = MoveOf(id);
    move.to = pools_.front().Choose(Prefilled(request));
    transfers_->Start(now, move.from, move.to, request.input_tokens, id);
    moving_.insert(id);
  }
  // The sender's blocks are free.
  void Drop(int32_t id, Time now) {
    const int from = MoveOf(id).from;
    MOECAST_CHECK(pools_.back().there(from));
    pools_.back().rank(from).Drop(id);
    pools_.back().replica_of(from).Sample(now);
  }

  void Receive(Time now) {
    arrived_.clear();
    transfers_->Advance(now, arrived_);
    for (const int64_t tag : arrived_) {
      const auto id = static_cast<int32_t>(tag);
      moving_.erase(id);
      Drop(id, now);
      const int to = MoveOf(id).to;
      MOECAST_CHECK(pools_.front().there(to));
      pools_.front().rank(to).Add(id, Prefilled(Asked(id)));
    }
  }

  void End(Replica& replica, bool prefills, Time now) {
    for (const int32_t id : replica.End(now)) {
      const bool moves = Moves(Asked(id));
      if (prefills && moves) {
        ++handed_over_;
        if (pools_.front().up())
          SendCache(id, now);
        else
          kept_.push_back(id);
        continue;
      }
      handed_over_ -= moves;
      if (in_flight_-- == at_once_) full_until_ = now;
    }
  }

  const ServingRun& run_;
  std::vector<RequestOutcome>& outcomes_;
  std::deque<Pool> pools_;  // that which decodes, then that which only prefills
  std::unique_ptr<KvTransfers> transfers_;
  // By request: the ranks of the two pools.
  struct Move {
    int from = 0, to = 0;
  };
  Move& MoveOf(int32_t id) { return moves_[static_cast<size_t>(id)]; }
  std::vector<Move> moves_;
  std::set<int32_t> moving_;  // whose caches are on their way
  std::deque<int32_t> kept_;  // whose caches wait for a replica that decodes
  int64_t handed_over_ = 0;   // these, and what decodes: in flight behind their prompts
  // A replica that fails or has recovered.
  struct Change {
    Time at;
    Pool* pool;
    int replica;
    bool fails;
  };
  std::vector<Change> changes_;  // by time
  size_t changed_ = 0;
  Time ended_{};               // the last event
  std::deque<int32_t> again_;  // what failed replicas had, not yet sent to another
  int64_t run_again_ = 0;
  const std::vector<int32_t>* requests_ = nullptr;
  size_t next_ = 0;
  int64_t at_once_ = 0, in_flight_ = 0, waiting_left_ = 0;
  Time full_until_{};  // no request could be sent before
  std::vector<int64_t> arrived_;
};

// Samples of all replicas at the same times: each as it was last.
std::vector<ServingSample> Together(const std::vector<std::vector<ServingSample>>& replicas,
                                    Time begin, Time end) {
  constexpr int kSamples = 100;
  std::vector<ServingSample> all;
  std::vector<size_t> at(replicas.size());
  for (int i = 1; i <= kSamples; ++i) {
    ServingSample sum{.at = Time{begin.ps + (end - begin).ps / kSamples * i}};
    if (i == kSamples) sum.at = end;
    for (size_t r = 0; r < replicas.size(); ++r) {
      const std::vector<ServingSample>& samples = replicas[r];
      while (at[r] < samples.size() && samples[at[r]].at <= sum.at) ++at[r];
      if (at[r] == 0) continue;
      const ServingSample& latest = samples[at[r] - 1];
      sum.waiting += latest.waiting;
      sum.running += latest.running;
      sum.kv_blocks += latest.kv_blocks;
    }
    all.push_back(sum);
  }
  return all;
}

// What the ranks of a pool take, in tokens.
struct Room {
  int64_t longest, stored;
  int64_t drafts;  // stored behind a last token
};
Room RoomOf(const ServingRun& run, const Deployment& pool) {
  return {pool.engine.max_model_len.value_or(run.model.max_position),
          ServingMemoryOf(pool, run.model, run.cluster).tokens, pool.engine.num_speculative_tokens};
}
RequestEnd EndOf(const Room& room, int64_t input_tokens, int64_t output_tokens) {
  if (input_tokens + output_tokens > room.longest) return RequestEnd::kTooLong;
  return input_tokens + output_tokens - 1 + room.drafts > room.stored ? RequestEnd::kNeverFits
                                                                      : RequestEnd::kCompleted;
}

}  // namespace

ServingOutcome Simulate(const ServingRun& run, ServingCosts& costs, const Slower& slower,
                        const ProgressFn& progress, bool record) {
  const Deployment& d = run.deployment;
  ServingOutcome out;
  out.requests.resize(run.load.requests.size());
  std::vector<int32_t> accepted;
  const Room room = RoomOf(run, d);
  const Room before = d.prefill ? RoomOf(run, PrefillPoolOf(d)) : room;
  for (size_t i = 0; i < out.requests.size(); ++i) {
    const Request& asked = run.load.requests[i];
    RequestOutcome& outcome = out.requests[i];
    outcome.arrival = outcome.first_token = outcome.end = asked.arrival;
    outcome.how = EndOf(room, asked.input_tokens, asked.output_tokens);
    if (outcome.how == RequestEnd::kCompleted) outcome.how = EndOf(before, asked.input_tokens, 1);
    if (outcome.how == RequestEnd::kCompleted) accepted.push_back(static_cast<int32_t>(i));
  }

  // Replicas that do not influence each other are fleets of their own.
  const bool apart = !d.prefill && d.failures.empty() && !d.autoscaling && !run.load.concurrency &&
                     !FindRouterPolicy(d.router)->looks;
  const size_t fleets = apart ? static_cast<size_t>(d.replicas) : 1;
  std::vector<std::vector<int32_t>> of_fleet(fleets);
  for (size_t i = 0; i < accepted.size(); ++i) of_fleet[i % fleets].push_back(accepted[i]);

  // Each by a thread, which needs costs of its own; summed in order, so that the number of threads
  // changes nothing.
  std::vector<FleetResult> results(fleets);
  const auto run_every = [&](size_t first, size_t every, IterationCosts& decode,
                             IterationCosts* prefill) {
    for (size_t f = first; f < fleets; f += every) {
      Fleet fleet(run, apart ? 1 : d.replicas, decode, prefill, slower, out.requests);
      if (record) fleet.Record();
      const auto of_all = [&, f](double part) {
        progress("simulating", (static_cast<double>(f) + part) / static_cast<double>(fleets));
      };
      fleet.Run(of_fleet[f], run.load.concurrency.value_or(INT64_MAX),
                first == 0 && progress ? of_all : std::function<void(double)>());
      results[f] = fleet.Finish();
    }
  };
  const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, fleets);
  {
    std::deque<IterationCosts> own(threads - 1, costs.iterations());
    std::vector<std::jthread> others;
    for (size_t t = 1; t < threads; ++t)
      others.emplace_back([&, t] { run_every(t, threads, own[t - 1], nullptr); });
    run_every(0, threads, costs.iterations(), d.prefill ? &costs.prefill_iterations() : nullptr);
  }
  std::vector<std::vector<ServingSample>> series;
  for (FleetResult& result : results) {
    out.waiting_left += result.waiting_left;
    out.run_again += result.run_again;
    out.counts.Add(result.decode);
    if (result.prefill) out.prefill = std::move(result.prefill);
    if (result.scaling) out.scaling = std::move(result.scaling);
    if (result.prefill_scaling) out.prefill_scaling = std::move(result.prefill_scaling);
    for (std::vector<ServingSample>& of_replica : result.series)
      series.push_back(std::move(of_replica));
    if (!record) continue;
    for (ReplicaRecord& of_replica : result.records) out.records.push_back(std::move(of_replica));
  }
  out.begin = kNever;
  for (const RequestOutcome& request : out.requests) {
    out.begin = std::min(out.begin, request.arrival);
    out.end = std::max(out.end, request.end);
  }
  out.series = Together(series, out.begin, out.end);
  return out;
}

}  // namespace moecast
