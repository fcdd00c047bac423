#include "sim/serving/replica.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {

void MeanWork::Add(const IterationWork& iteration, double weight) {
  const auto add = [&](const Work& work, Sums& sums) {
    const int64_t of_work[] = {work.sequences, work.tokens, work.query_key_pairs, work.context_sum};
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += weight * static_cast<double>(of_work[i]);
  };
  weight_ += weight;
  mean_tokens_ += weight * iteration.mean_tokens;
  halved_ += iteration.halved ? weight : 0;
  add(iteration.prefill, prefill_);
  add(iteration.decode, decode_);
}

void MeanWork::Add(const MeanWork& other) {
  weight_ += other.weight_;
  mean_tokens_ += other.mean_tokens_;
  halved_ += other.halved_;
  for (size_t i = 0; i < prefill_.size(); ++i) {
    prefill_[i] += other.prefill_[i];
    decode_[i] += other.decode_[i];
  }
}

IterationWork MeanWork::mean() const {
  IterationWork work;
  if (weight_ == 0) return work;
  const auto fill = [&](const Sums& sums, Work& part) {
    const auto mean = [&](size_t i) { return std::llround(sums[i] / weight_); };
    if (mean(0) == 0) return;
    part.sequences = mean(0);
    part.tokens = std::max<int64_t>(part.sequences, mean(1));
    part.query_key_pairs = std::max<int64_t>(part.tokens, mean(2));
    part.context_sum = std::max<int64_t>(part.tokens, mean(3));
  };
  fill(prefill_, work.prefill);
  fill(decode_, work.decode);
  if (work.decode.sequences > 0)
    work.decode = DecodeOf(work.decode.sequences, work.decode.context_sum,
                           std::llround(decode_[1] / decode_[0]));
  work.halved = 2 * halved_ > weight_;
  // Of what is left: as many times a rank's own tokens as over all iterations.
  work.mean_tokens =
      std::max(1.0, static_cast<double>(work.tokens()) * mean_tokens_ / (prefill_[1] + decode_[1]));
  return work;
}

void ServingCounts::Add(const ServingCounts& o) {
  iterations += o.iterations;
  preemptions += o.preemptions;
  peak_blocks = std::max(peak_blocks, o.peak_blocks);
  prompt_tokens += o.prompt_tokens;
  cached_tokens += o.cached_tokens;
  loaded_tokens += o.loaded_tokens;
  swaps += o.swaps;
  swapped_tokens += o.swapped_tokens;
  busy += o.busy;
  overhead += o.overhead;
  loading += o.loading;
  swapping += o.swapping;
  with_prompts += o.with_prompts;
  decoding += o.decoding;
  for (size_t i = 0; i < blocked.size(); ++i) blocked[i] += o.blocked[i];
  gaps.Add(o.gaps);
  work.Add(o.work);
}

Replica::Replica(const ServingRun& run, const Deployment& pool, const ServingMemory& memory,
                 IterationCosts& costs, double slower, std::vector<RequestOutcome>& outcomes)
    : run_(run),
      engine_(pool.engine),
      costs_(costs),
      slower_(slower),
      swap_block_(memory.kv_per_token * static_cast<double>(engine_.block_size) /
                  run.cluster.device.pcie_usable),
      outcomes_(outcomes),
      every_(Time::From(Milliseconds(1))) {
  const BatchingPolicy* policy = FindBatchingPolicy(engine_.policy);
  MOECAST_CHECK(policy != nullptr && memory.fits());
  const int64_t run_tokens = engine_.enable_prefix_caching ? run.load.block_tokens : 0;
  std::vector<int64_t> tier_runs;
  for (const CacheTier& tier : engine_.cache_tiers) {
    load_token_.push_back(memory.kv_per_token /
                          tier.bandwidth.value_or(run.cluster.device.pcie_usable));
    if (run_tokens > 0)
      tier_runs.push_back(static_cast<int64_t>(
          tier.capacity / (memory.kv_per_token * static_cast<double>(run_tokens))));
  }
  const int pp = pool.parallel.pp;
  const SchedulerLimits limits{.max_num_seqs = engine_.max_num_seqs / pp,
                               .max_num_batched_tokens = engine_.max_num_batched_tokens,
                               .block_size = engine_.block_size,
                               .blocks = memory.blocks,
                               .run_tokens = run_tokens,
                               .drafts = engine_.num_speculative_tokens,
                               .tokens_per_step = engine_.TokensPerStep(),
                               .tier_runs = std::move(tier_runs),
                               .host_blocks = memory.host_blocks};
  std::vector<std::shared_ptr<KvCache>> caches;
  for (int r = 0; r < pool.parallel.dp; ++r) caches.push_back(Scheduler::CacheOf(limits));
  for (int lane = 0; lane < pp; ++lane)
    for (const std::shared_ptr<KvCache>& cache : caches)
      schedulers_.emplace_back(limits, *policy, cache);
  ticks_.resize(schedulers_.size());
  lanes_.resize(static_cast<size_t>(pp));
  for (Lane& lane : lanes_) lane.batches.resize(caches.size());
  free_.resize(static_cast<size_t>(pp) + 1);
}

Seconds Replica::LoadingOf(const Batch& batch) const {
  Seconds time;
  for (size_t tier = 0; tier < batch.loaded.size(); ++tier)
    time += load_token_[tier] * static_cast<double>(batch.loaded[tier]);
  return time;
}

Time Replica::next() const {
  Time next = kNever;
  bool waits = false;
  for (const Lane& lane : lanes_) {
    next = std::min(next, lane.ends);
    waits |= lane.ends == kNever;
  }
  return waits && next != kNever && free_.front() > now_ ? std::min(next, free_.front()) : next;
}

void Replica::Start(Time now) {
  now_ = now;
  while (free_.front() <= now) {
    const int64_t preemptions = Preemptions();
    bool began = false;
    for (size_t tried = 0; tried < lanes_.size() && !began; ++tried) {
      const size_t lane = turn_++ % lanes_.size();
      began = lanes_[lane].ends == kNever && Begin(lane, now);
    }
    // What one lane gave up may be what another waits for.
    if (!began && (lanes_.size() == 1 || Preemptions() == preemptions)) return;
  }
}

int64_t Replica::Preemptions() const {
  int64_t all = 0;
  for (const Scheduler& rank : schedulers_) all += rank.preemptions();
  return all;
}

bool Replica::Begin(size_t at, Time now) {
  Lane& lane = lanes_[at];
  const std::span<Scheduler> ranks = RanksOf(at);
  int64_t tokens = 0;
  Blocked blocked = Blocked::kNothing;
  for (size_t r = 0; r < ranks.size(); ++r) {
    Ticks& ticks = ticks_[at * dp() + r];
    lane.batches[r] = ranks[r].Next();
    tokens += lane.batches[r].tokens();
    blocked = std::max(blocked, lane.batches[r].blocked);
    counts_.peak_blocks = std::max(counts_.peak_blocks, ranks[r].blocks_used());
    const auto first_of = [&](int32_t id) {
      return outcomes_[static_cast<size_t>(id)].first_token;
    };
    for (const int32_t id : ranks[r].started()) {
      Time& started = outcomes_[static_cast<size_t>(id)].started;
      started = std::min(started, now);
    }
    // Who is back from host memory goes on from its last token.
    for (const int32_t id : ranks[r].joined()) {
      const auto stopped = ticks.stopped.extract(id);
      ticks.begun.push_back({id, stopped ? stopped.mapped() : first_of(id)});
    }
    for (const int32_t id : ranks[r].preempted()) {
      const auto begun = std::find_if(ticks.begun.begin(), ticks.begun.end(),
                                      [&](const Begun& of) { return of.id == id; });
      ticks.stopped.try_emplace(id, begun == ticks.begun.end() ? ticks.last : begun->last);
      if (begun != ticks.begun.end()) ticks.begun.erase(begun);
    }
  }
  if (tokens == 0) return false;
  const double mean = static_cast<double>(tokens) / static_cast<double>(ranks.size());
  const bool halved = std::all_of(lane.batches.begin(), lane.batches.end(), [&](const Batch& b) {
    return engine_.Halves(b.tokens(), b.prefill.tokens > 0);
  });
  Running& longest = lane.running = {.blocked = blocked};
  for (const Batch& batch : lane.batches) {
    if (batch.empty()) continue;
    const IterationWork work{batch.prefill, batch.decode, mean, halved};
    const BlockTime of_rank = costs_.Of(work) * slower_;
    // A layer's part is loaded while those before it are computed.
    const Seconds loading = std::max(Seconds(), LoadingOf(batch) - of_rank.total);
    // Copies are on the model's stream, before it (vLLM V0: vllm/worker/worker_base.py,
    // execute_model calls execute_worker, which swaps, and then the model runner).
    const Seconds swapping = swap_block_ * static_cast<double>(batch.swapped);
    if (longest.work.tokens() > 0 && of_rank.total + loading + swapping <= longest.all()) continue;
    longest = {work, of_rank, Seconds(), loading, swapping, blocked};
  }
  const int kernels = engine_.enforce_eager ? costs_.KernelsOf(longest.work) : 0;
  longest.overhead =
      engine_.OverheadOf(longest.work.sequences(), longest.time.total / slower_, kernels) * slower_;
  lane.ends = EndOf(lane.running, now);
  if (!records_) return true;
  lane.span = {.start = now,
               .end = lane.ends,
               .overhead = Time::From(longest.overhead),
               .lane = static_cast<int>(at)};
  for (const Batch& batch : lane.batches) {
    lane.span.prompt_tokens += batch.prefill.tokens;
    lane.span.decodes += batch.decode.tokens;
  }
  return true;
}

Time Replica::EndOf(const Running& iteration, Time now) {
  Time from = now;  // the last wait's end, and what was done since
  Seconds since = iteration.swapping + iteration.loading;
  const auto through = [&](Time& free, Seconds takes) {
    if (from + Time::From(since) < free) {
      from = free;
      since = Seconds();
    }
    since += takes;
    free = from + Time::From(since);
  };
  if (lanes_.size() == 1) {
    through(free_.front(), iteration.time.total);
  } else {
    for (int s = 0; s < costs_.stages(); ++s) {
      if (s > 0) since += costs_.SendOf(iteration.work) * slower_;
      through(free_[static_cast<size_t>(s)], costs_.OfStage(iteration.work, s).total * slower_);
    }
  }
  through(free_.back(), iteration.overhead);
  return free_.back();
}

void Replica::Count(const Running& iteration) {
  const auto& [work, time, overhead, loading, swapping, blocked] = iteration;
  const double part = 1 / static_cast<double>(lanes_.size());
  const Seconds all = iteration.all() * part;
  ++counts_.iterations;
  counts_.busy += time * part;
  counts_.overhead += overhead * part;
  counts_.loading += loading * part;
  counts_.swapping += swapping * part;
  counts_.blocked[static_cast<size_t>(blocked)] += all;
  counts_.work.Add(work, time.total.value);
  // What decodes alone would have taken is theirs.
  Seconds decode;
  if (work.prefill.tokens == 0)
    decode = all;
  else if (work.decode.tokens > 0)
    decode = (costs_.Of({Work{.pass = Pass::kPrefill}, work.decode,
                         std::min(work.mean_tokens, static_cast<double>(work.decode.tokens)),
                         engine_.Halves(work.decode.tokens, false)})
                      .total *
                  slower_ +
              overhead + swapping) *
             part;
  counts_.decoding += decode;
  counts_.with_prompts += all - decode;
}

std::span<const int32_t> Replica::End(Time now) {
  finished_.clear();
  for (size_t l = 0; l < lanes_.size(); ++l) {
    Lane& lane = lanes_[l];
    if (lane.ends != now) continue;
    Count(lane.running);
    if (records_) record_.iterations.push_back(lane.span);
    for (size_t r = 0; r < dp(); ++r)
      if (!lane.batches[r].empty()) EndRank(l, r, now);
    lane.ends = kNever;
    Sample(now);
  }
  return finished_;
}

std::vector<int32_t> Replica::Fail(Time now) {
  std::vector<int32_t> lost;
  for (Scheduler& rank : schedulers_) {
    const std::vector<int32_t> of_rank = rank.Clear();
    lost.insert(lost.end(), of_rank.begin(), of_rank.end());
  }
  ticks_.assign(ticks_.size(), {});
  for (Lane& lane : lanes_) {
    if (records_ && lane.ends != kNever) {
      lane.span.overhead = std::max(Time{}, now - (lane.span.end - lane.span.overhead));
      lane.span.end = now;
      record_.iterations.push_back(lane.span);
    }
    lane.ends = kNever;
  }
  free_.assign(free_.size(), now);
  Sample(now);
  return lost;
}

void Replica::EndRank(size_t l, size_t r, Time now) {
  const size_t at = l * dp() + r;
  Ticks& ticks = ticks_[at];
  const Batch& batch = lanes_[l].batches[r];
  if (int64_t others = batch.decode.sequences; others > 0) {
    others -= std::ssize(ticks.begun);
    for (const Begun& begun : ticks.begun) counts_.gaps.Add(now - begun.last, 1);
    if (others > 0) counts_.gaps.Add(now - ticks.last, others);
    ticks.begun.clear();
    ticks.last = now;
  }
  const BatchEnd end = schedulers_[at].End();
  for (const int32_t id : end.first_token) outcomes_[static_cast<size_t>(id)].first_token = now;
  for (const int32_t id : end.resumed) {
    const auto stopped = ticks.stopped.find(id);
    counts_.gaps.Add(now - stopped->second, 1);
    ticks.stopped.erase(stopped);
  }
  for (const int32_t id : end.finished) outcomes_[static_cast<size_t>(id)].end = now;
  for (const int32_t id : end.begun) ticks.begun.push_back({id, now});
  finished_.insert(finished_.end(), end.finished.begin(), end.finished.end());
}

// Of the series at even times, as many as fit; where there would be more, every second goes.
void Replica::Sample(Time now) {
  constexpr size_t kMost = 1024;
  last_ = {.at = now};
  for (size_t s = 0; s < schedulers_.size(); ++s) {
    last_.waiting += schedulers_[s].waiting();
    last_.running += schedulers_[s].running();
    if (s < dp()) last_.kv_blocks += schedulers_[s].blocks_used();  // lanes share them
  }
  if (records_) record_.samples.push_back(last_);
  if (now < next_sample_) return;
  if (series_.size() == kMost) {
    for (size_t i = 0; i < kMost / 2; ++i) series_[i] = series_[2 * i];
    series_.resize(kMost / 2);
    every_ = every_ * 2;
  }
  series_.push_back(last_);
  next_sample_ = now + every_;
}

std::vector<ServingSample> Replica::series() const {
  std::vector<ServingSample> series = series_;
  if (!series.empty()) series.push_back(last_);
  return series;
}

ServingCounts Replica::Finish() {
  for (const Scheduler& rank : schedulers_) {
    MOECAST_CHECK(rank.idle() && rank.blocks_used() == 0 && rank.host_blocks_used() == 0);
    counts_.preemptions += rank.preemptions();
    counts_.prompt_tokens += rank.prompt_tokens();
    counts_.cached_tokens += rank.cached_tokens();
    counts_.loaded_tokens += rank.loaded_tokens();
    counts_.swaps += rank.swaps();
    counts_.swapped_tokens += rank.swapped_tokens();
  }
  return std::move(counts_);
}

}  // namespace moecast
