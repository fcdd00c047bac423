// What more memory and larger replicas would buy: plans near the plan of a phase, each prepared and
// timed. The step at the phase's last batch is compared, at median costs.
//
// Left out: combinations of two changes, but for sets of recomputations; memory that another
// schedule would use.
#pragma once

#include <string>
#include <vector>

#include "sim/forecast/why.h"

namespace moecast {

struct PlanChoice {
  std::string what;  // against the plan it is near: "weight_delay 5"
  TrainingRun run;
};

// Plans that may trade memory for time, CheckPlan passed: every smaller set of recomputations
// (where the whole layer is recomputed: the operators that can be, or nothing), one or two more
// micro-batches of delayed weight gradients or the schedule's own number, each lower ZeRO stage,
// the micro-batch twice as large.
std::vector<PlanChoice> MemoryChoices(const TrainingRun& run);

// Plans whose replica (tp cp pp ep GPUs) is larger: of each axis the next size that CheckPlan
// passes, of pp the next that takes a layer off the fullest stage. dp stays, so a replica's work
// does; the cluster grows with them.
std::vector<PlanChoice> LargerReplicas(const TrainingRun& run);

// "memory": the fastest of the plan and its MemoryChoices within a tenth more memory than the
// device has, against the fastest of those within what it has. "gpus_per_replica": of the
// LargerReplicas that fit, the one whose cost, scaled to a tenth more GPUs as if the logarithm of
// the time went on as it began, is lowest.
std::vector<Marginal> PlanMarginals(const PreparedPhase& phase, StepCache& cache);

}  // namespace moecast
