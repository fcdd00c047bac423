// The most load a deployment holds within service level objectives, the fewest replicas that hold a
// load, both found by bisection on the simulated system, and the layout of its GPUs that serves a
// load best, by trying all.
#pragma once

#include <optional>
#include <vector>

#include "sim/serving/metrics.h"
#include "sim/serving/prepare.h"
#include "sim/serving/serving_run.h"

namespace moecast {

// One load that was tried, one number of replicas of each pool, or one layout.
struct ServingTrial {
  double speedup = 1;  // of the load as it is given
  ServingParallel parallel;
  int replicas = 0, prefill_replicas = 0;
  int gpus = 0;
  double request_rate = 0;  // that arrive a second
  ServingRates rates;
  bool stable = false;
  bool holds = false;  // stable, and within all limits
};

struct ServingSearch {
  std::vector<ServingTrial> trials;  // by load, or by GPUs, ascending; layouts the best first
  std::optional<ServingRun> best;    // the run with the load, replicas or layout that were found
  // Headroom: how many times as fast as it is given, over all its hours, the load is held.
  std::optional<double> headroom;
  // The load lasts less than ten times as long as a request stays at what was found: what it says
  // is of the beginning and the end more than of a steady state.
  bool short_load = false;
};

// The highest rate, to 1%, at which the load is held: its arrivals sped up or slowed down. Nothing
// is found where not even requests one after another are within the limits. REQUIRES: the
// deployment fits; the load arrives over time and is no closed loop.
ServingSearch FindRate(const ServingRun& run, ServingCosts& costs, const Slo& slo,
                       const ProgressFn& progress = {});
// The fewest GPUs of the cluster that hold the load as it is: replicas, with a prefill pool those
// of both pools.
ServingSearch FindReplicas(const ServingRun& run, ServingCosts& costs, const Slo& slo,
                           const ProgressFn& progress = {});
// Of all layouts of as many GPUs (tp, dp, ep, pp and replicas) that the model fits on, the best for
// the load as it is: one that holds it, of several the one with the least mean end-to-end latency;
// in a closed loop, and of those that are not stable, the one with the most tokens a second.
// REQUIRES: no prefill pool.
ServingSearch FindLayout(const ServingRun& run, const Slo& slo, const ProgressFn& progress = {});

}  // namespace moecast
