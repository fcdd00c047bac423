#include "sim/serving/pool.h"

#include <algorithm>
#include <span>

#include "sim/serving/serving_memory.h"

namespace moecast {

Pool::Pool(const ServingRun& run, const Deployment& deployment, int replicas, IterationCosts& costs,
           double slower, std::vector<RequestOutcome>& outcomes)
    : router_(*FindRouterPolicy(deployment.router)),
      scaling_(deployment.autoscaling),
      each_(deployment.parallel.dp * deployment.parallel.pp) {
  const ServingMemory memory = ServingMemoryOf(deployment, run.model, run.cluster);
  for (int r = 0; r < replicas; ++r)
    replicas_.emplace_back(run, deployment, memory, costs, slower, outcomes);
  down_.resize(replicas_.size());
  Route();
}

int Pool::Choose(const SequenceAsked& asked) {
  const size_t at = router_.choose(ranks_, turn_++, asked);
  return up_[at % up_.size()] * each_ + static_cast<int>(at / up_.size());
}

std::vector<int32_t> Pool::Fail(int replica, Time now) {
  Close(replica);
  return replicas_[static_cast<size_t>(replica)].Fail(now);
}

void Pool::BeginScaling(Time begin) {
  if (!scaling_) return;
  const auto replicas = static_cast<int>(replicas_.size());
  scaler_.emplace(*scaling_, replicas, begin);
  for (int r = scaler_->counts().front().replicas; r < replicas; ++r) Close(r);
}

void Pool::Scale(Time now, int64_t in_flight) {
  const Autoscaler::Changes changes = scaler_->Advance(now, in_flight);
  for (const int replica : changes.opened) Open(replica);
  for (const int replica : changes.closed) Close(replica);
}

Time Pool::next() const {
  Time first = kNever;
  for (const Replica& replica : replicas_) first = std::min(first, replica.next());
  return first;
}

void Pool::Start(Time now) {
  for (Replica& replica : replicas_) replica.Start(now);
}

int64_t Pool::waiting() const {
  int64_t waiting = 0;
  for (const Scheduler* rank : ranks_) waiting += rank->waiting();
  return waiting;
}

ServingCounts Pool::Finish() {
  ServingCounts counts;
  for (Replica& replica : replicas_) counts.Add(replica.Finish());
  return counts;
}

void Pool::Close(int replica) {
  ++down_[static_cast<size_t>(replica)];
  Route();
}

void Pool::Open(int replica) {
  --down_[static_cast<size_t>(replica)];
  Route();
}

bool Pool::Empty(int replica) {
  const std::span<Scheduler> ranks = replicas_[static_cast<size_t>(replica)].ranks();
  return std::all_of(ranks.begin(), ranks.end(),
                     [](const Scheduler& s) { return s.idle() && s.blocks_used() == 0; });
}

void Pool::Route() {
  up_.clear();
  ranks_.clear();
  for (size_t r = 0; r < replicas_.size(); ++r)
    if (down_[r] == 0) up_.push_back(static_cast<int>(r));
  for (size_t k = 0; k < static_cast<size_t>(each_); ++k)
    for (const int r : up_) ranks_.push_back(&replicas_[static_cast<size_t>(r)].ranks()[k]);
}

}  // namespace moecast
