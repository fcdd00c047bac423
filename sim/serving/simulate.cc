#include "sim/serving/simulate.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "base/check.h"
#include "sim/serving/kv_transfers.h"
#include "sim/serving/router.h"

namespace moecast {
namespace {

// Replicas alike, and the router before them.
class Pool {
 public:
  Pool(const ServingRun& run, const Deployment& deployment, int replicas, IterationCosts& costs,
       double slower, std::vector<RequestOutcome>& outcomes)
      : router_(*FindRouterPolicy(deployment.router)), dp_(deployment.parallel.dp) {
    const ServingMemory memory = ServingMemoryOf(deployment, run.model, run.cluster);
    for (int r = 0; r < replicas; ++r)
      replicas_.emplace_back(run, deployment, memory, costs, slower, outcomes);
    down_.resize(replicas_.size());
    Route();
  }

  // The rank that the next request goes to: dp of the first replica, then those of the next.
  int Choose(const SequenceAsked& asked) {
    const size_t at = router_.choose(ranks_, turn_++, asked);
    return up_[at % up_.size()] * dp_ + static_cast<int>(at / up_.size());
  }
  // Whether any replica takes requests.
  bool up() const { return !up_.empty(); }
  // The replica takes none from now on; what it had.
  std::vector<int32_t> Fail(int replica, Time now) {
    Close(replica);
    return replicas_[static_cast<size_t>(replica)].Fail(now);
  }
  // It takes none until it was opened as often as it was closed.
  void Close(int replica) {
    ++down_[static_cast<size_t>(replica)];
    Route();
  }
  void Open(int replica) {
    --down_[static_cast<size_t>(replica)];
    Route();
  }
  bool idle(int replica) {
    const std::span<Scheduler> ranks = replicas_[static_cast<size_t>(replica)].ranks();
    return std::all_of(ranks.begin(), ranks.end(), [](const Scheduler& s) { return s.idle(); });
  }
  Replica& replica_of(int rank) { return replicas_[static_cast<size_t>(rank / dp_)]; }
  Scheduler& rank(int number) {
    return replica_of(number).ranks()[static_cast<size_t>(number % dp_)];
  }

  std::deque<Replica>& replicas() { return replicas_; }
  Time ends() const {
    Time first = kNever;
    for (const Replica& replica : replicas_) first = std::min(first, replica.ends());
    return first;
  }
  void Start(Time now) {
    for (Replica& replica : replicas_) replica.Start(now);
  }
  int64_t waiting() const {
    int64_t waiting = 0;
    for (const Scheduler* rank : ranks_) waiting += rank->waiting();
    return waiting;
  }
  ServingCounts Finish() {
    ServingCounts counts;
    for (Replica& replica : replicas_) counts.Add(replica.Finish());
    return counts;
  }

 private:
  void Route() {
    up_.clear();
    ranks_.clear();
    for (size_t r = 0; r < replicas_.size(); ++r)
      if (down_[r] == 0) up_.push_back(static_cast<int>(r));
    for (size_t k = 0; k < static_cast<size_t>(dp_); ++k)
      for (const int r : up_) ranks_.push_back(&replicas_[static_cast<size_t>(r)].ranks()[k]);
  }

  const RouterPolicy& router_;
  int dp_;
  std::deque<Replica> replicas_;
  std::vector<int> down_;          // by replica: closed and not opened
  std::vector<int> up_;            // replicas that take requests
  std::vector<Scheduler*> ranks_;  // of those the first of each, then the second
  int64_t turn_ = 0;
};

struct FleetResult {
  int64_t waiting_left = 0, run_again = 0;
  ServingCounts decode;
  std::optional<ServingCounts> prefill;
  std::optional<Scaling> scaling;
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
    for (const ReplicaFailure& failure : run.deployment.failures) {
      const int replica = failure.replica % replicas;
      changes_.push_back({Time::From(failure.at), replica, true});
      changes_.push_back({Time::From(failure.at + failure.recovery), replica, false});
    }
    std::stable_sort(changes_.begin(), changes_.end(),
                     [](const Change& a, const Change& b) { return a.at < b.at; });
    if (!prefill) return;
    const Deployment pool = PrefillPoolOf(run.deployment);
    pools_.emplace_back(run, pool, pool.replicas, *prefill, slower.prefill, outcomes);
    transfers_ = std::make_unique<KvTransfers>(run);
    moves_.resize(run.load.requests.size());
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
    if (const auto& scaling = run_.deployment.autoscaling; scaling && !requests.empty()) {
      const auto replicas = static_cast<int>(pools_.front().replicas().size());
      scaler_.emplace(*scaling, replicas, NextArrival());
      for (int r = scaler_->counts().front().replicas; r < replicas; ++r) pools_.front().Close(r);
    }
    int64_t events = 0;
    while (true) {
      const bool sends = pools_.back().up() && in_flight_ < at_once_;
      Time now = sends ? NextArrival() : kNever;
      for (const Pool& pool : pools_) now = std::min(now, pool.ends());
      if (transfers_) now = std::min(now, transfers_->Next());
      if (now == kNever && again_.empty() && next_ == requests.size()) break;
      if (changed_ < changes_.size()) now = std::min(now, changes_[changed_].at);
      if (scaler_) now = std::min(now, scaler_->next());
      Apply(now);
      if (scaler_) Scale(now);
      LetIn(now);
      if (transfers_) Receive(now);
      for (Pool& pool : pools_)
        for (Replica& replica : pool.replicas())
          if (replica.ends() == now) End(replica, &pool == &pools_.back(), now);
      if (scaler_) Release(now);
      ended_ = now;
      LetIn(now);
      for (Pool& pool : pools_) pool.Start(now);
      if (progress && ++events % 1024 == 0)
        progress(static_cast<double>(next_) / static_cast<double>(requests.size()));
    }
    MOECAST_CHECK(next_ == requests.size());
  }

  // REQUIRES: it has run.
  FleetResult Finish() {
    FleetResult result{
        .waiting_left = waiting_left_, .run_again = run_again_, .decode = pools_.front().Finish()};
    if (transfers_) result.prefill = pools_.back().Finish();
    if (scaler_) result.scaling = {scaler_->counts(), scaler_->Paid(ended_)};
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

  // Replicas that fail and recover by `now`.
  void Apply(Time now) {
    for (; changed_ < changes_.size() && changes_[changed_].at <= now; ++changed_) {
      const Change& change = changes_[changed_];
      if (change.fails) {
        const std::vector<int32_t> lost = pools_.front().Fail(change.replica, now);
        again_.insert(again_.end(), lost.begin(), lost.end());
        run_again_ += static_cast<int64_t>(lost.size());
      } else {
        pools_.front().Open(change.replica);
      }
    }
  }

  void Scale(Time now) {
    const Autoscaler::Changes changes = scaler_->Advance(now, in_flight_);
    for (const int replica : changes.opened) pools_.front().Open(replica);
    for (const int replica : changes.closed) pools_.front().Close(replica);
  }
  void Release(Time now) {
    for (size_t i = 0; i < scaler_->closing().size();) {
      const int replica = scaler_->closing()[i];
      if (pools_.front().idle(replica))
        scaler_->Release(replica, now);
      else
        ++i;
    }
  }

  // All that have arrived by `now` and may be in the fleet, those that a failure hit first.
  void LetIn(Time now) {
    if (!pools_.back().up()) return;
    for (; !again_.empty(); again_.pop_front()) Send(again_.front());
    while (next_ < requests_->size() && in_flight_ < at_once_ && NextArrival() <= now) {
      const int32_t id = (*requests_)[next_++];
      RequestOutcome& outcome = Outcome(id);
      outcome.arrival = outcome.first_token = outcome.end =
          std::max(Asked(id).arrival, full_until_);
      Send(id);
      ++in_flight_;
      if (next_ == requests_->size())
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
    if (transfers_) moves_[static_cast<size_t>(id)].from = rank;
  }

  // Whether its cache goes to a rank that decodes.
  bool Moves(const Request& request) const { return transfers_ && request.output_tokens > 1; }
  static SequenceAsked Prefilled(const Request& request) {
    return {.input_tokens = request.input_tokens,
            .output_tokens = request.output_tokens,
            .prefilled = true};
  }

  void Receive(Time now) {
    arrived_.clear();
    transfers_->Advance(now, arrived_);
    for (const int64_t tag : arrived_) {
      const auto id = static_cast<int32_t>(tag);
      const Move& move = moves_[static_cast<size_t>(id)];
      pools_.back().rank(move.from).Drop(id);
      pools_.back().replica_of(move.from).Sample(now);
      pools_.front().rank(move.to).Add(id, Prefilled(Asked(id)));
    }
  }

  void End(Replica& replica, bool prefills, Time now) {
    for (const int32_t id : replica.End()) {
      const Request& request = Asked(id);
      if (prefills && Moves(request)) {
        Move& move = moves_[static_cast<size_t>(id)];
        move.to = pools_.front().Choose(Prefilled(request));
        transfers_->Start(now, move.from, move.to, request.input_tokens, id);
      } else if (in_flight_-- == at_once_) {
        full_until_ = now;
      }
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
  std::vector<Move> moves_;
  // A replica that fails or has recovered.
  struct Change {
    Time at;
    int replica;
    bool fails;
  };
  std::vector<Change> changes_;  // by time
  size_t changed_ = 0;
  std::optional<Autoscaler> scaler_;
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
