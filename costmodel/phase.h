// A phase of a training programme: how much is trained in it, in steps of what size. How it is laid
// out is the plan's (costmodel/plan.h); fields of the plan that a phase has its own values for are
// kept as they were written.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fields_fwd.h"
#include "base/units.h"

namespace moecast {

// Fields of the training section with a phase's own values, as JSON text of an object.
struct PlanPatch {
  std::string json;
  bool operator==(const PlanPatch&) const = default;
};

struct TrainingPhase {
  std::string name = "pretrain";
  // How much: one of these three. Sequences of `mean_length` tokens (absent: sequence_length) are
  // packed into rows of sequence_length.
  std::optional<Count> tokens;
  std::optional<int64_t> steps;
  std::optional<Count> sequences;
  std::optional<double> mean_length;
  int64_t sequence_length = 4096;
  int64_t global_batch = 0;                  // rows of a step
  std::optional<int64_t> global_batch_from;  // at the phase's start; absent: the same throughout
  std::optional<PlanPatch> plan;

  bool operator==(const TrainingPhase&) const = default;
};
const Fields<TrainingPhase>& FieldsOf(const TrainingPhase*);

// REQUIRES: one of tokens, steps and sequences is there; no ramp with steps.
Count TokensOf(const TrainingPhase& phase);

// Steps of one global batch. The last step of a phase may be a part of one.
struct BatchSteps {
  int64_t global_batch = 0;
  double steps = 0;
};

// The steps of a phase, in order. The batch of a ramp follows a line over the phase's tokens, from
// global_batch_from to global_batch; a step takes the one of `batches` that is nearest to the line
// at the step's first token. REQUIRES: `batches` ascend, to global_batch; they begin with
// global_batch_from where there is a ramp, else there is one.
std::vector<BatchSteps> StepsByBatch(const TrainingPhase& phase, std::span<const int64_t> batches);

}  // namespace moecast
