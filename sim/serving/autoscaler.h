// How many replicas there are while the load changes: as the Horizontal Pod Autoscaler of
// Kubernetes decides it with its defaults (kubernetes.io, "Horizontal Pod Autoscaling"), on the
// requests in flight. At each interval it wants
//   wanted = ceil(replicas * ratio),  ratio = requests in flight / (replicas * target),
// but as many as there are where the ratio is within a tenth of 1; at most twice as many or four
// more at a time; and fewer only by the most that was wanted in the last minutes (stabilization).
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "base/time.h"
#include "sim/serving/replica_changes.h"

namespace moecast {

// From when on there are so many replicas, those that start or come to their end included.
struct ReplicaCount {
  Time at;
  int replicas = 0;
};

class Autoscaler {
 public:
  // The first `min_replicas` of `most` take requests from `begin` on; the others are off.
  Autoscaler(const Autoscaling& policy, int most, Time begin);

  // When it decides next or a replica is ready.
  Time next() const;
  // Replicas that begin and those that cease to take requests. REQUIRES: to <= next().
  struct Changes {
    std::vector<int> opened, closed;
  };
  Changes Advance(Time to, int64_t in_flight);
  // Whether it is paid for: it starts, takes requests or ends those it has.
  bool there(int replica) const {
    return lives_[static_cast<size_t>(replica)].state != State::kOff;
  }
  // Those that take no more requests and are there until theirs have ended.
  std::span<const int> closing() const { return closing_; }
  // One of them has none left. REQUIRES: closing() has it.
  void Release(int replica, Time now);

  const std::vector<ReplicaCount>& counts() const { return counts_; }
  // What all replicas together were there for until `end`.
  Seconds Paid(Time end) const;

 private:
  enum class State : uint8_t { kOff, kStarting, kOpen, kClosing };
  struct Life {
    State state = State::kOff;
    Time since{};  // that it is there
    Time ready{};  // while it starts
  };
  int Wanted(Time now, int64_t in_flight);
  void Start(int replica, Time now);
  void SwitchOff(int replica, Time now);

  Autoscaling policy_;
  std::vector<Life> lives_;
  Time next_decision_;
  std::deque<std::pair<Time, int>> wanted_;  // within the stabilization window
  std::vector<int> closing_;
  std::vector<ReplicaCount> counts_;
  int there_ = 0;   // replicas that are not off
  int taking_ = 0;  // of those the ones that start or are open
  Seconds paid_;    // by replicas that are off again
};

}  // namespace moecast
