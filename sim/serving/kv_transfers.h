// The caches of prompts on their way from the replicas that prefill to those that decode: sends
// that share the cluster's links with all others under way (max-min fair).
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "sim/network/flows.h"
#include "sim/network/fluid_network.h"
#include "sim/serving/serving_run.h"
#include "topology/routes.h"

namespace moecast {

class KvTransfers {
 public:
  // Prefill replicas lie on the cluster's first GPUs, the others behind them. REQUIRES: the
  // deployment has a prefill pool. `run` outlives this.
  explicit KvTransfers(const ServingRun& run);

  // The cache of `tokens` tokens, from one dp rank to another, each counted over the replicas of
  // its pool. `tag` comes back when all has arrived. REQUIRES: now <= Next().
  void Start(Time now, int from_rank, int to_rank, int64_t tokens, int64_t tag);
  // The transfer of this tag ends where it is: its links are the others' from now on. REQUIRES: it
  // is under way; now <= Next().
  void Cancel(Time now, int64_t tag);
  // When something happens next; kNever where nothing is under way.
  Time Next();
  // Adds the tags of what has arrived by `to`, in order. REQUIRES: to <= Next().
  void Advance(Time to, std::vector<int64_t>& arrived);

 private:
  struct Transfer {
    int64_t tag = 0;
    int64_t left = 0;  // flows
  };
  struct Delayed {
    FlowTag transfer = 0;
    Flow flow;
  };

  const ServingRun& run_;
  Deployment prefill_;
  Routes routes_;
  FluidNetwork network_;
  std::multimap<Time, Delayed> delayed_;  // by when their latency has passed
  std::map<FlowTag, Transfer> transfers_;
  FlowTag next_ = 0;
  std::vector<FlowTag> done_;
};

}  // namespace moecast
