// A deployment under a load, event by event: requests arrive and go to ranks by the router's
// policy, iterations of replicas end, and with a prefill pool caches move from replica to replica.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/progress.h"
#include "base/time.h"
#include "sim/serving/autoscaler.h"
#include "sim/serving/prepare.h"
#include "sim/serving/replica.h"
#include "sim/serving/serving_run.h"

namespace moecast {

// The replicas that there were, and the time of all of them together.
struct Scaling {
  std::vector<ReplicaCount> counts;
  Seconds paid;
};

struct ServingOutcome {
  std::vector<RequestOutcome> requests;  // as in the load
  Time begin{}, end{};                   // first arrival, last token
  int64_t waiting_left = 0;              // in the queues when the last request arrives
  int64_t run_again = 0;  // requests that a failed replica had, or that were on their way to it
  ServingCounts counts;   // of all replicas that decode
  std::optional<ServingCounts> prefill;  // of those that only prefill
  std::vector<ServingSample> series;     // of both together
  // Where replicas come and go: of those that decode, and of those that only prefill.
  std::optional<Scaling> scaling, prefill_scaling;
  // By replica, those that only prefill behind the others; where recorded.
  std::vector<ReplicaRecord> records;
};

// What multiplies the time of every iteration.
struct Slower {
  double decode = 1, prefill = 1;
};

// `progress` hears which part of the requests has been sent; `record` keeps all that happens.
// REQUIRES: the deployment fits.
ServingOutcome Simulate(const ServingRun& run, ServingCosts& costs, const Slower& slower = {},
                        const ProgressFn& progress = {}, bool record = false);

}  // namespace moecast
