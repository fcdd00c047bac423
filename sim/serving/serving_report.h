// What a serving owner asks of a simulated deployment, by vLLM's names of metrics: whether the load
// is held, throughput, latency, memory, price, and where the time goes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/serving/metrics.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/simulate.h"

namespace moecast {

struct ServingShare {
  std::string name;
  Seconds time;
  double fraction = 0;  // of the replicas' time
};

// Of replicas alike: all, or with a prefill pool those of one of the two.
struct PoolReport {
  ServingMemory memory;
  std::vector<ServingParallel> layouts_that_fit;  // where this one does not
  int64_t kv_capacity = 0;                        // tokens of all ranks together
  int64_t peak_tokens = 0;                        // of a dp rank's cache
  int64_t preemptions = 0, iterations = 0;
  // Of the prompts that ranks were sent, and those of them that their caches had.
  int64_t prompt_tokens = 0, cached_tokens = 0, loaded_tokens = 0;
  // Of the preemptions those to host memory, the tokens copied there, and the time of both ways.
  int64_t swaps = 0, swapped_tokens = 0;
  Seconds swapping;
  std::string limiting_resource;
  std::vector<ServingShare> breakdown;
  std::optional<Scaling> scaling;    // where its replicas come and go
  double busy = 0;                   // share of the replicas' time in which an iteration runs
  double sigma = 0;                  // of ln(iteration time)
  double extrapolated_fraction = 0;  // of the time of ops, that of costs beyond what was measured
};

struct ServingReport {
  std::string name, model, cluster;
  std::string source;  // of the scenario's values
  Deployment deployment;
  PoolReport pool;                    // of the replicas that decode
  std::optional<PoolReport> prefill;  // of those that only prefill
  Seconds duration;
  double mean_gpus = 0;  // over the duration
  int64_t completed = 0, too_long = 0, never_fits = 0;
  int64_t left_out = 0;  // requests of the trace without input or output
  bool stable = true;
  int64_t waiting_left = 0;  // when the last request arrives
  int64_t run_again = 0;     // requests that a failed replica had
  std::string limiting_resource;
  ServingRates rates;
  // The same where all costs err to one side: rates at the slow and at the fast end.
  ServingRates slow, fast;
  Slo slo;  // what was asked for
  bool meets_slo = true;
  double goodput = 0;  // requests a second that are each within the limits
  double usd_per_million_input = 0, usd_per_million_output = 0;
  std::vector<ServingSample> series;

  bool fits() const { return pool.memory.fits() && (!prefill || prefill->memory.fits()); }
  // The pool that prompts come to.
  const PoolReport& first() const { return prefill ? *prefill : pool; }
};

// Simulates the run three times, with all costs as they are and at both ends of 80% of their error.
// The outcome is of the first, with all that happened where `record` asks for it. A deployment that
// does not fit is a report with nothing but its memory, and no outcome.
struct Served {
  ServingReport report;
  ServingOutcome outcome;
};
Served Serve(const ServingRun& run, ServingCosts& costs, const Slo& slo = {},
             const ProgressFn& progress = {}, bool record = false);

// "tp 1, dp 8, ep 8, fp8_block weights, 8-bit KV, mixed batches of 256 sequences, ...".
std::string OneLine(const Deployment& deployment);
std::string OneLine(const ServingParallel& parallel);

}  // namespace moecast
