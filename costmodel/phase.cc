#include "costmodel/phase.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/fields.h"

namespace moecast {

// Whether the fields exist and their values fit is seen when they are merged into a plan.
template <>
struct Codec<PlanPatch> {
  static PlanPatch Parse(const JsonCursor& at, const Limits&) {
    for (const std::string& key : at.Keys())
      if (key == "phases") at.Key(key).Fail("no phases inside the plan of a phase");
    return {at.json().dump()};
  }
  static Json Print(const PlanPatch& v) { return ParseJson(v.json, "")->root; }
  static Json Schema(const Limits&) { return {{"type", "object"}}; }
  static std::string Type(const Limits&) { return "object: fields of /training but phases"; }
};

const Fields<TrainingPhase>& FieldsOf(const TrainingPhase*) {
  constexpr Limits kMuch{.low = 1, .high = 1e18}, kLength{.low = 1, .high = 1 << 24};
  static const Fields<TrainingPhase> fields(
      "phase",
      {
          Row("name", &TrainingPhase::name, "name of the phase"),
          Row("tokens", &TrainingPhase::tokens,
              "tokens of the phase, as in \"8.1T\"; one of tokens, steps and sequences says how "
              "much is trained",
              kMuch),
          Row("steps", &TrainingPhase::steps, "optimizer steps of the phase",
              {.low = 1, .high = 1e12}),
          Row("sequences", &TrainingPhase::sequences,
              "documents or conversations of the phase, all epochs counted, packed into rows of "
              "sequence_length",
              kMuch),
          Row("mean_length", &TrainingPhase::mean_length,
              "mean tokens of one of the sequences; absent: sequence_length", kLength),
          Row("sequence_length", &TrainingPhase::sequence_length, "tokens of a row of the batch",
              kLength),
          RequiredRow("global_batch", &TrainingPhase::global_batch, "rows of a step", kLength),
          Row("global_batch_from", &TrainingPhase::global_batch_from,
              "rows of the first step: the batch grows linearly over the phase's tokens to "
              "global_batch; absent: all steps are alike",
              kLength),
          Row("plan", &TrainingPhase::plan,
              "what this phase does differently from the rest of /training, merged onto it"),
      });
  return fields;
}

Count TokensOf(const TrainingPhase& phase) {
  if (phase.tokens) return *phase.tokens;
  const double length = static_cast<double>(phase.sequence_length);
  if (phase.sequences) return *phase.sequences * phase.mean_length.value_or(length);
  MOECAST_CHECK(phase.steps && !phase.global_batch_from);
  return Count(static_cast<double>(*phase.steps) * static_cast<double>(phase.global_batch) *
               length);
}

std::vector<BatchSteps> StepsByBatch(const TrainingPhase& phase, std::span<const int64_t> batches) {
  MOECAST_CHECK(!batches.empty() && batches.back() == phase.global_batch);
  const double total = TokensOf(phase).value, length = static_cast<double>(phase.sequence_length);
  const double first = static_cast<double>(batches.front()),
               last = static_cast<double>(batches.back());
  std::vector<BatchSteps> all;
  double done = 0;
  for (size_t i = 0; i < batches.size() && done < total; ++i) {
    // The line is nearer to the next batch from here on.
    const double until = i + 1 == batches.size()
                             ? total
                             : total *
                                   (static_cast<double>(batches[i] + batches[i + 1]) / 2 - first) /
                                   (last - first);
    const double tokens = static_cast<double>(batches[i]) * length;
    const double steps = std::min(std::ceil((until - done) / tokens), (total - done) / tokens);
    if (steps <= 0) continue;
    all.push_back({batches[i], steps});
    done = steps * tokens >= total - done ? total : done + steps * tokens;
  }
  return all;
}

}  // namespace moecast
