// Replicas alike, the router before them, and what says how many of them there are.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "sim/serving/autoscaler.h"
#include "sim/serving/replica.h"
#include "sim/serving/router.h"

namespace moecast {

class Pool {
 public:
  // So many replicas of `deployment`; the rest is as of a Replica.
  Pool(const ServingRun& run, const Deployment& deployment, int replicas, IterationCosts& costs,
       double slower, std::vector<RequestOutcome>& outcomes);

  // The rank that the next request goes to, in one of its lanes: those of the first replica, then
  // those of the next. REQUIRES: up().
  int Choose(const SequenceAsked& asked);
  // Whether any replica takes requests.
  bool up() const { return !up_.empty(); }
  // The replica takes none from now on; what it had.
  std::vector<int32_t> Fail(int replica, Time now);
  // It has recovered.
  void Recover(int replica) { Open(replica); }

  // From `begin` on replicas come and go, where the deployment says so.
  void BeginScaling(Time begin);
  const std::optional<Autoscaler>& scaler() const { return scaler_; }
  // With so many requests in flight in the pool. REQUIRES: there is a scaler; now <= its next().
  void Scale(Time now, int64_t in_flight);
  // Those that are to go and have nothing left do, but where requests are expected(replica).
  template <class Expected>
  void Release(Time now, Expected expected) {
    for (size_t i = 0; scaler_ && i < scaler_->closing().size();) {
      const int replica = scaler_->closing()[i];
      if (Empty(replica) && !expected(replica))
        scaler_->Release(replica, now);
      else
        ++i;
    }
  }

  int ReplicaOf(int rank) const { return rank / each_; }
  Replica& replica_of(int rank) { return replicas_[static_cast<size_t>(ReplicaOf(rank))]; }
  Scheduler& rank(int number) {
    return replica_of(number).ranks()[static_cast<size_t>(number % each_)];
  }
  // Whether its replica is paid for.
  bool there(int rank) const { return !scaler_ || scaler_->there(ReplicaOf(rank)); }
  std::deque<Replica>& replicas() { return replicas_; }
  // When the first of the replicas has anything to do (Replica::next).
  Time next() const;
  void Start(Time now);
  // In the queues of replicas that take requests.
  int64_t waiting() const;
  ServingCounts Finish();

 private:
  // It takes none until it was opened as often as it was closed.
  void Close(int replica);
  void Open(int replica);
  // Nothing waits or runs, and no cache is read by others.
  bool Empty(int replica);
  void Route();

  const RouterPolicy& router_;
  std::optional<Autoscaling> scaling_;
  int each_;  // schedulers of a replica
  std::deque<Replica> replicas_;
  std::vector<int> down_;          // by replica: closed and not opened
  std::vector<int> up_;            // replicas that take requests
  std::vector<Scheduler*> ranks_;  // of those the first of each, then the second
  int64_t turn_ = 0;
  std::optional<Autoscaler> scaler_;
};

}  // namespace moecast
