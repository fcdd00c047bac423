// Pipeline schedules as orders. A builder knows stages, micro-batches, the times of F, B and W and
// a memory limit, and no model; it fixes the order of every stage's tasks. Timing an order is the
// engine's (sim/engine/schedule.h). Sources and closed forms: docs/model-schedules.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "sim/pipeline/task.h"

namespace moecast {

// A model cut into stages * chunks consecutive pieces. A schedule may keep several copies of the
// model, each cut alike, and send micro_batches / copies through each. The pieces of the first copy
// in order, then those of the next, are the "virtual stages"; all times are indexed by them.
struct PipelineShape {
  int stages = 1;
  int micro_batches = 1;
  int chunks = 1;                               // of one copy a stage holds
  int copies = 1;                               // the schedule's (PipelineSchedule::copies)
  std::vector<Time> forward, backward, weight;  // backward: input gradients only
  Time transfer{};  // of activations or gradients between neighbouring stages
  // Most micro-batches (counted in whole stages: one of c chunks counts 1/c) a stage may hold
  // alive; 0: the schedule's own.
  double memory_limit = 0;
  // What a micro-batch keeps from B to W, of what it keeps from F to B: counts in the memory limit.
  double kept_for_weight = 1;
  // By stage, for stages that are not alike: a limit beneath the one above, and what is kept.
  // Empty: none, and the one above.
  std::vector<double> stage_limit, stage_kept_for_weight;
  // Most micro-batches whose weight gradients a stage puts off, where the schedule does that; -1:
  // as many as it wants.
  int weight_delay = -1;
  // Of a forward together with the full backward of the stage's other chunk, by the forward's
  // virtual stage; empty: as long as one after the other. For schedules that pair them.
  std::vector<Time> pair;

  int pieces() const { return stages * chunks; }
  int held() const { return chunks * copies; }  // chunks a stage holds, of all copies
  int virtual_stages() const { return pieces() * copies; }
  bool starts_model(int virtual_stage) const { return virtual_stage % pieces() == 0; }
  bool ends_model(int virtual_stage) const { return virtual_stage % pieces() == pieces() - 1; }
  // Micro-batches that pass one virtual stage: of copy k those from k times as many on.
  int micro_batches_each() const { return micro_batches / copies; }
  double KeptForWeight(int stage) const {
    return stage_kept_for_weight.empty() ? kept_for_weight : stage_kept_for_weight[stage];
  }
};

struct PipelineTask {
  Phase phase = Phase::kForward;  // one of the pipeline
  int32_t micro_batch = 0;
  int16_t chunk = 0;            // of those held
  int16_t backward_chunk = -1;  // of kForwardBackward: whose backward it is
  int32_t backward_micro_batch = -1;

  friend bool operator==(const PipelineTask&, const PipelineTask&) = default;
};

struct PipelineOrder {
  std::vector<std::vector<PipelineTask>> by_stage;
};

// A row of the table of schedules.
struct PipelineSchedule {
  std::string_view name;  // "1f1b"
  std::string_view help;
  PipelineOrder (*build)(
      const PipelineShape&);      // REQUIRES: RejectPipeline has nothing to say of the shape
  bool splits_weight;             // some backward passes have their weight gradients apart
  int least_chunks, most_chunks;  // a stage, of one copy
  bool times_matter;  // the order depends on the times and keeps to any limit, not on sizes alone
  // The virtual stage of a chunk that a stage holds.
  int (*virtual_stage)(const PipelineShape&, int stage, int chunk);
  // Why this shape cannot be scheduled (message for the user: what was expected), or "".
  std::string (*reject)(const PipelineShape&);
  int copies = 1;      // of the model
  bool pairs = false;  // runs forwards together with backwards: kForwardBackward
};

std::span<const PipelineSchedule> PipelineSchedules();
const PipelineSchedule* FindPipelineSchedule(std::string_view name);  // null where unknown

// The largest pipeline we order (stages, and stages * micro-batches * chunks of three tasks each),
// and the latest time it may reach: beyond, a mistake in the input is likelier than a question.
inline constexpr int64_t kMaxPipelineStages = 10'000;
inline constexpr int64_t kMaxPipelineTasks = 1'000'000;
inline constexpr Seconds kMaxPipelineTime{9e6};

// The most that a stage holds alive in this order, in micro-batches: whole until B ends (until B
// and W where they are one task), then kept_for_weight until W ends.
double PeakAlive(const PipelineShape& shape, const PipelineOrder& order);

// Why the schedule cannot take this shape (what was expected, for the user), or "": sizes, lengths
// of the time lists, negative times, chunks, and what the schedule itself rejects.
std::string RejectPipeline(const PipelineSchedule& schedule, const PipelineShape& shape);

// The order as a Schedule on one compute lane per stage (rank = stage): dependencies between stages
// carry transfer 0; a task's program is virtual_stage * kPipelinePhases + phase, of a pair that of
// its forward. A pair waits for what either half needs, and what needs either half waits for the
// pair. What a task needs from its own stage has no dependency, the lane's order says it. Aborts
// where the order is not one of the shape: a task twice or missing, a backward before its forward.
TrainingSchedule LowerPipeline(const PipelineSchedule& schedule, const PipelineShape& shape,
                               const PipelineOrder& order);
// The durations those programs have.
std::vector<Time> PipelineDurations(const PipelineSchedule& schedule, const PipelineShape& shape);

// The figures `moecast pipeline` prints.
struct PipelineResult {
  Time total{};       // first start to last end over all stages
  Time stage_span{};  // longest last end - first start of one stage; the first of equals
  // (stage_span - the time of that stage's tasks) / stage_span; 0 where nothing takes time. The
  // tasks take M (F + B + W), less what pairs save.
  double bubble_rate = 0;
  std::vector<double>
      peak_until_backward;  // by stage: micro-batches whose F has started and B not ended, at most
  std::vector<double> peak_until_weight;  // ... and W not ended
};
// `lowered` as LowerPipeline makes it and `timing` of it.
PipelineResult Summarize(const PipelineShape& shape, const TrainingSchedule& lowered,
                         const Timing& timing);

}  // namespace moecast
