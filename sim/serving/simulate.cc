#include "sim/serving/simulate.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

// A replica's samples at even times, as many as fit; where there would be more, every second goes.
class Series {
 public:
  void Add(const ServingSample& sample) {
    latest_ = sample;
    if (sample.at < next_) return;
    if (samples_.size() == kMost) {
      for (size_t i = 0; i < kMost / 2; ++i) samples_[i] = samples_[2 * i];
      samples_.resize(kMost / 2);
      every_ = every_ * 2;
    }
    samples_.push_back(sample);
    next_ = sample.at + every_;
  }
  void Finish() { samples_.push_back(latest_); }
  const std::vector<ServingSample>& samples() const { return samples_; }

 private:
  static constexpr size_t kMost = 1024;
  std::vector<ServingSample> samples_;
  ServingSample latest_;
  Time every_ = Time::From(Milliseconds(1)), next_{};
};

// Mean work of the iterations, each weighted by its time.
class MeanWork {
 public:
  void Add(const Batch& batch, double mean_tokens, double weight) {
    weight_ += weight;
    mean_tokens_ += weight * mean_tokens;
    Add(batch.prefill, weight, prefill_);
    Add(batch.decode, weight, decode_);
  }
  IterationWork mean() const {
    IterationWork work;
    if (weight_ == 0) return work;
    Fill(prefill_, work.prefill);
    Fill(decode_, work.decode);
    work.decode.tokens = work.decode.sequences;
    // Of what is left: as many times a rank's own tokens as over all iterations.
    work.mean_tokens = std::max(
        1.0, static_cast<double>(work.tokens()) * mean_tokens_ / (prefill_[1] + decode_[1]));
    return work;
  }

 private:
  using Sums = std::array<double, 4>;
  static void Add(const Work& work, double weight, Sums& sums) {
    const int64_t of_work[] = {work.sequences, work.tokens, work.query_key_pairs, work.context_sum};
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += weight * static_cast<double>(of_work[i]);
  }
  // A mean below one sequence is none.
  void Fill(const Sums& sums, Work& work) const {
    const auto mean = [&](size_t i) { return std::llround(sums[i] / weight_); };
    if (mean(0) == 0) return;
    work.sequences = mean(0);
    work.tokens = std::max<int64_t>(work.sequences, mean(1));
    work.query_key_pairs = std::max<int64_t>(work.tokens, mean(2));
    work.context_sum = std::max<int64_t>(work.tokens, mean(3));
  }

  double weight_ = 0, mean_tokens_ = 0;
  Sums prefill_{}, decode_{};
};

// A replica: dp ranks in step.
class Replica {
 public:
  Replica(const ServingRun& run, const ServingMemory& memory, IterationCosts& costs, double slower,
          ServingOutcome& out, MeanWork& weights)
      : run_(run), costs_(costs), slower_(slower), out_(out), weights_(weights) {
    const EngineSpec& engine = run.deployment.engine;
    const BatchingPolicy* policy = FindBatchingPolicy(engine.policy);
    MOECAST_CHECK(policy != nullptr && memory.fits());
    const SchedulerLimits limits{.max_num_seqs = engine.max_num_seqs,
                                 .max_num_batched_tokens = engine.max_num_batched_tokens,
                                 .block_size = engine.block_size,
                                 .blocks = memory.blocks};
    for (int r = 0; r < run.deployment.parallel.dp; ++r)
      ranks_.push_back({Scheduler(limits, *policy)});
    batches_.resize(ranks_.size());
    longest_ = engine.max_model_len.value_or(run.model.max_position);
  }

  // Requests of this replica, in order of arrival; at most `at_once` of them in it at a time.
  void Run(const std::vector<int32_t>& requests, int64_t at_once) {
    requests_ = &requests;
    at_once_ = at_once;
    Time now{};
    while (true) {
      Admit(now);
      if (Iterate(now)) continue;
      if (next_ == requests.size()) break;
      now = ArrivalOf(next_);
    }
    series_.Finish();
    for (const Rank& rank : ranks_) {
      MOECAST_CHECK(rank.scheduler.idle() && rank.scheduler.blocks_used() == 0);
      out_.preemptions += rank.scheduler.preemptions();
    }
  }

  const std::vector<ServingSample>& series() const { return series_.samples(); }

 private:
  struct Rank {
    Scheduler scheduler;
    Time last_tick{};
    // First tokens since the last decode, and when.
    std::vector<TokenGap> begun = {};
  };

  const Request& RequestAt(size_t i) const {
    return run_.load.requests[static_cast<size_t>((*requests_)[i])];
  }
  Time ArrivalOf(size_t i) const { return RequestAt(i).arrival; }

  // All that have arrived by `now` and may be in the system.
  void Admit(Time now) {
    while (next_ < requests_->size() && in_flight_ < at_once_ && ArrivalOf(next_) <= now) {
      AddNext(std::max(ArrivalOf(next_), full_until_));
      if (next_ == requests_->size())
        for (const Rank& rank : ranks_) out_.waiting_left += rank.scheduler.waiting();
    }
  }

  void AddNext(Time arrival) {
    const int32_t id = (*requests_)[next_];
    const Request& request = RequestAt(next_++);
    RequestOutcome& outcome = out_.requests[static_cast<size_t>(id)];
    outcome.arrival = outcome.first_token = outcome.end = arrival;
    Scheduler& rank = ranks_[turn_].scheduler;
    if (request.input_tokens + request.output_tokens > longest_) {
      outcome.how = RequestEnd::kTooLong;
    } else if (rank.BlocksOf(request.input_tokens, request.output_tokens) > BlocksEach()) {
      outcome.how = RequestEnd::kNeverFits;
    } else {
      rank.Add(id, request.input_tokens, request.output_tokens);
      turn_ = (turn_ + 1) % ranks_.size();
      ++in_flight_;
    }
  }
  int64_t BlocksEach() const { return ranks_.front().scheduler.limits().blocks; }

  // Runs one iteration from `now`, which it moves on; false where there is nothing to run.
  bool Iterate(Time& now) {
    int64_t tokens = 0;
    Blocked blocked = Blocked::kNothing;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      batches_[r] = ranks_[r].scheduler.Next();
      tokens += batches_[r].tokens();
      blocked = std::max(blocked, batches_[r].blocked);
      out_.peak_blocks = std::max(out_.peak_blocks, ranks_[r].scheduler.blocks_used());
    }
    if (tokens == 0) return false;
    const double mean = static_cast<double>(tokens) / static_cast<double>(ranks_.size());
    const Batch* longest = nullptr;
    BlockTime time;
    for (const Batch& batch : batches_) {
      if (batch.empty()) continue;
      const BlockTime of_rank = costs_.Of({batch.prefill, batch.decode, mean});
      if (longest && of_rank.total <= time.total) continue;
      time = of_rank;
      longest = &batch;
    }
    const int64_t sequences = longest->prefill.sequences + longest->decode.sequences;
    const Seconds overhead = run_.deployment.engine.OverheadOf(sequences) * slower_;
    time = time * slower_;
    Count(*longest, mean, time, overhead, blocked);
    now += Time::From(time.total + overhead);
    Admit(now);  // before anything ends: what arrived meanwhile was sent when it arrived
    int64_t waiting = 0, running = 0, blocks = 0;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      End(r, now);
      waiting += ranks_[r].scheduler.waiting();
      running += ranks_[r].scheduler.running();
      blocks += ranks_[r].scheduler.blocks_used();
    }
    series_.Add({now, waiting, running, blocks});
    return true;
  }

  void Count(const Batch& batch, double mean, const BlockTime& time, Seconds overhead,
             Blocked blocked) {
    ++out_.iterations;
    out_.busy += time;
    out_.overhead += overhead;
    out_.blocked[static_cast<size_t>(blocked)] += time.total + overhead;
    weights_.Add(batch, mean, time.total.value);
    // What decodes alone would have taken is theirs.
    Seconds decode;
    if (batch.prefill.tokens == 0)
      decode = time.total + overhead;
    else if (batch.decode.tokens > 0)
      decode = costs_.Of({Work{.pass = Pass::kPrefill}, batch.decode,
                          std::min(mean, static_cast<double>(batch.decode.tokens))})
                       .total *
                   slower_ +
               overhead;
    out_.decoding += decode;
    out_.with_prompts += time.total + overhead - decode;
  }

  void End(size_t r, Time now) {
    Rank& rank = ranks_[r];
    const int64_t decodes = batches_[r].decode.tokens;
    if (batches_[r].empty()) return;
    if (decodes > 0) {
      int64_t others = decodes;
      for (const TokenGap& begun : rank.begun) {
        const int64_t count = std::min(begun.count, others);
        others -= count;
        if (count > 0) out_.gaps.push_back({now - begun.gap, count});
      }
      if (others > 0) out_.gaps.push_back({now - rank.last_tick, others});
      rank.begun.clear();
      rank.last_tick = now;
    }
    const BatchEnd end = rank.scheduler.End();
    int64_t begun = 0;
    for (const int32_t id : end.first_token) {
      out_.requests[static_cast<size_t>(id)].first_token = now;
      if (run_.load.requests[static_cast<size_t>(id)].output_tokens > 1) ++begun;
    }
    if (begun > 0) rank.begun.push_back({now, begun});
    for (const int32_t id : end.finished) out_.requests[static_cast<size_t>(id)].end = now;
    if (in_flight_ == at_once_ && !end.finished.empty()) full_until_ = now;
    in_flight_ -= static_cast<int64_t>(end.finished.size());
  }

  const ServingRun& run_;
  IterationCosts& costs_;
  const double slower_;
  ServingOutcome& out_;
  std::vector<Rank> ranks_;
  std::vector<Batch> batches_;
  Series series_;
  MeanWork& weights_;
  int64_t longest_ = 0;  // tokens a sequence may have
  const std::vector<int32_t>* requests_ = nullptr;
  size_t next_ = 0, turn_ = 0;
  int64_t at_once_ = 0, in_flight_ = 0;
  Time full_until_{};  // no request could be sent before
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

}  // namespace

ServingOutcome Simulate(const ServingRun& run, IterationCosts& costs, double slower) {
  const Deployment& d = run.deployment;
  const ServingMemory memory = ServingMemoryOf(d, run.model, run.cluster);
  // A closed loop's requests in flight are shared out too; replicas without any stay idle.
  const int64_t at_once = run.load.concurrency.value_or(INT64_MAX);
  const auto replicas = static_cast<size_t>(std::min<int64_t>(d.replicas, at_once));
  std::vector<std::vector<int32_t>> of_replica(replicas);
  for (size_t i = 0; i < run.load.requests.size(); ++i)
    of_replica[i % replicas].push_back(static_cast<int32_t>(i));

  ServingOutcome out;
  out.requests.resize(run.load.requests.size());
  MeanWork weights;
  std::vector<std::vector<ServingSample>> series;
  for (size_t r = 0; r < replicas; ++r) {
    Replica replica(run, memory, costs, slower, out, weights);
    replica.Run(of_replica[r], run.load.concurrency
                                   ? (at_once + static_cast<int64_t>(replicas - 1 - r)) /
                                         static_cast<int64_t>(replicas)
                                   : INT64_MAX);
    series.push_back(replica.series());
  }
  out.typical = weights.mean();
  std::sort(out.gaps.begin(), out.gaps.end(),
            [](const TokenGap& a, const TokenGap& b) { return a.gap < b.gap; });
  out.begin = kNever;
  for (const RequestOutcome& request : out.requests) {
    out.begin = std::min(out.begin, request.arrival);
    out.end = std::max(out.end, request.end);
  }
  out.series = Together(series, out.begin, out.end);
  return out;
}

}  // namespace moecast
