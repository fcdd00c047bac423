// A deployment under a load, iteration by iteration. Each replica is simulated by itself: requests
// go to replicas, and in a replica to its dp ranks, in turn.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "sim/serving/iteration_costs.h"
#include "sim/serving/scheduler.h"
#include "sim/serving/serving_run.h"

namespace moecast {

enum class RequestEnd : uint8_t { kCompleted, kTooLong, kNeverFits };

struct RequestOutcome {
  Time arrival{};
  Time first_token{};
  Time end{};
  RequestEnd how = RequestEnd::kCompleted;
};

// Gaps between tokens of a sequence, and how many there were.
struct TokenGap {
  Time gap{};
  int64_t count = 0;
};

// Of the replicas together, at one time.
struct ServingSample {
  Time at{};
  int64_t waiting = 0;
  int64_t running = 0;
  int64_t kv_blocks = 0;
};

struct ServingOutcome {
  std::vector<RequestOutcome> requests;  // as in the load
  Time begin{}, end{};                   // first arrival, last token
  int64_t iterations = 0;                // of replicas
  int64_t preemptions = 0;
  int64_t peak_blocks = 0;           // of a dp rank
  int64_t waiting_left = 0;          // in the queues when the last request arrives
  BlockTime busy;                    // of iterations, summed over the replicas
  Seconds overhead;                  // of the engine, likewise
  Seconds with_prompts;              // what prompts add to iterations with decodes, or take alone
  Seconds decoding;                  // the rest
  std::array<Seconds, 5> blocked{};  // by Blocked: iterations whose queue had to wait, and why
  std::vector<TokenGap> gaps;        // ascending
  std::vector<ServingSample> series;
  IterationWork typical;  // means over iterations, weighted by their time
  Seconds total() const { return busy.total + overhead; }
};

// `slower` multiplies the time of every iteration. REQUIRES: the deployment fits.
ServingOutcome Simulate(const ServingRun& run, IterationCosts& costs, double slower = 1);

}  // namespace moecast
