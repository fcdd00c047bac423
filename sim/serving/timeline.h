// A served load as a timeline: what the engine of each replica ran when, and what became of each
// request.
#pragma once

#include "sim/serving/serving_run.h"
#include "sim/serving/simulate.h"
#include "traces/timeline.h"

namespace moecast {

// A process for each replica, those that only prefill behind the others: its iterations, in each
// the engine's overhead, and counters of what it computes, its queue and its cache. A last process
// has the completed requests, each on the first lane that is free when it arrives: in the queue, in
// prefill, and from its first token to its last. REQUIRES: the outcome was recorded, or is none.
Timeline TimelineOf(const ServingRun& run, const ServingOutcome& outcome);

}  // namespace moecast
