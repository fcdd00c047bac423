#include "sim/pipeline/pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/check.h"
#include "base/quantity_text.h"
#include "sim/pipeline/orders.h"

namespace moecast {
namespace {

// Chunk c of stage s is virtual stage c p + s; with one chunk, s.
int RoundRobin(const PipelineShape& shape, int stage, int chunk) {
  return chunk * shape.stages + stage;
}

// V placement: the model goes down the stages with chunk 0 and comes back up with chunk 1. Of two
// copies the second starts where the first ends.
int VShaped(const PipelineShape& shape, int stage, int chunk) {
  return chunk == 0 ? stage : 2 * shape.stages - 1 - stage;
}

std::string AtLeast(double micro_batches, const char* why) {
  char text[32];
  std::snprintf(text, sizeof text, "%g",
                std::ceil(micro_batches * 1000) / 1000);  // up: what we ask for must be enough
  return "a memory limit of at least " + std::string(text) + " micro-batches, which " + why;
}

// Of schedules whose order is fixed: they hold what they hold.
template <PipelineOrder (*kBuild)(const PipelineShape&)>
std::string RejectMemory(const PipelineShape& shape) {
  if (shape.memory_limit == 0) return "";
  const double peak = PeakAlive(shape, kBuild(shape));
  return shape.memory_limit >= peak ? "" : AtLeast(peak, "this schedule holds alive");
}

// Of schedules that keep to any limit that one micro-batch keeps to.
std::string RejectLessThanOne(const PipelineShape& shape) {
  const double one = std::max(1.0, shape.kept_for_weight);
  return shape.memory_limit == 0 || shape.memory_limit >= one ? ""
                                                              : AtLeast(one, "one holds alive");
}

// Of schedules that are searched for stage by stage, moment by moment.
template <PipelineOrder (*kBuild)(const PipelineShape&)>
std::string RejectVShaped(const PipelineShape& shape) {
  constexpr int kMostStages = 1000;
  if (shape.stages > kMostStages)
    return "at most " + std::to_string(kMostStages) + " stages in V placement";
  return RejectMemory<kBuild>(shape);
}

// Every stage has a pair at least, and the two copies take as many micro-batches each.
std::string RejectDualPipeV(const PipelineShape& shape) {
  if (shape.micro_batches < 2 * shape.stages)
    return "at least " + std::to_string(2 * shape.stages) + " micro-batches, twice the stages";
  return RejectMemory<DualPipeV>(shape);
}
std::string RejectDualPipe(const PipelineShape& shape) {
  if (shape.stages % 2 != 0) return "an even number of stages with schedule dualpipe";
  if (shape.micro_batches % 2 != 0 || shape.micro_batches < 2 * shape.stages)
    return "an even number of micro-batches, at least " + std::to_string(2 * shape.stages) +
           ", twice the stages";
  return RejectMemory<DualPipe>(shape);
}

constexpr int kMostKept = 1000;
constexpr int kAnyChunks = std::numeric_limits<int16_t>::max();

constexpr PipelineSchedule kSchedules[] = {
    {"1f1b", "one forward, one backward; stage s of p holds p - s micro-batches", OneFOneB, false,
     1, 1, false, RoundRobin, RejectMemory<OneFOneB>},
    {"interleaved",
     "1F1B over several model chunks a stage (vpp); the bubble shrinks by their number",
     Interleaved, false, 1, kAnyChunks, false, RoundRobin, RejectMemory<Interleaved>},
    {"zb-h1", "1F1B order, weight gradients delayed by the stage's index; memory of 1F1B", ZbH1,
     true, 1, 1, false, RoundRobin, RejectMemory<ZbH1>},
    {"zb-h2", "ZB-H1 twice as deep: no bubble where F = B = W; twice the memory of 1F1B", ZbH2,
     true, 1, 1, false, RoundRobin, RejectMemory<ZbH2>},
    {"zb-1p", "built from the times within the memory of 1F1B, or another memory limit", Zb1p, true,
     1, 1, true, RoundRobin, RejectLessThanOne},
    {"zb-2p", "built from the times within twice the memory of 1F1B, or another memory limit", Zb2p,
     true, 1, 1, true, RoundRobin, RejectLessThanOne},
    {"zb-v", "two chunks a stage in a V: hardly a bubble where F = B = W; memory of 1F1B", ZbV,
     true, 2, 2, false, VShaped, RejectVShaped<ZbV>},
    {"v-half", "two chunks a stage in a V: half the bubble (F = B = W) and half the memory of 1F1B",
     VHalf, true, 2, 2, false, VShaped, RejectVShaped<VHalf>},
    {"v-min",
     "two chunks a stage in a V: two thirds of the bubble (F = B = W), a third of the memory of "
     "1F1B",
     VMin, true, 2, 2, false, VShaped, RejectVShaped<VMin>},
    {"dualpipe",
     "two copies of the model in opposite directions; forwards run together with backwards "
     "(overlapped)",
     DualPipe, true, 1, 1, false, VShaped, RejectDualPipe, 2, true},
    {"dualpipev", "dualpipe cut in half: one copy, two chunks a stage in a V", DualPipeV, true, 2,
     2, false, VShaped, RejectDualPipeV, 1, true},
};

std::string RejectTimes(const PipelineSchedule& schedule, const PipelineShape& shape) {
  double sum = 2 * static_cast<double>(shape.virtual_stages()) * shape.transfer.seconds().value;
  for (const std::vector<Time>* times : {&shape.forward, &shape.backward, &shape.weight}) {
    if (times->size() != static_cast<size_t>(shape.virtual_stages()))
      return "as many forward, backward and weight times as virtual stages (" +
             std::to_string(shape.virtual_stages()) + ")";
    for (const Time t : *times) {
      if (t < Time{}) return "no negative time";
      sum += t.seconds().value;
    }
  }
  if (!shape.pair.empty()) {
    if (!schedule.pairs)
      return "no time of an overlapped pair with schedule " + std::string(schedule.name) +
             ", which runs no forward together with a backward";
    if (shape.pair.size() != static_cast<size_t>(shape.virtual_stages()))
      return "as many times of pairs as virtual stages (" + std::to_string(shape.virtual_stages()) +
             ")";
    for (const Time t : shape.pair) {
      if (t < Time{}) return "no negative time";
      sum += t.seconds().value;
    }
  }
  if (shape.transfer < Time{}) return "no negative transfer time";
  // Every task and transfer one after another: no timing of any order is later.
  if (sum * shape.micro_batches > kMaxPipelineTime.value)
    return "at most " + ShowSeconds(kMaxPipelineTime) +
           " of work over all stages and micro-batches";
  return "";
}

}  // namespace

std::span<const PipelineSchedule> PipelineSchedules() {
  return kSchedules;
}

const PipelineSchedule* FindPipelineSchedule(std::string_view name) {
  for (const PipelineSchedule& row : kSchedules)
    if (row.name == name) return &row;
  return nullptr;
}

double PeakAlive(const PipelineShape& shape, const PipelineOrder& order) {
  double peak = 0;
  for (int s = 0; s < shape.stages; ++s) {
    int until_backward = 0, until_weight = 0;  // the latter from B on
    for (const PipelineTask& t : order.by_stage[s]) {
      EachHalf(t, [&](Phase phase, int32_t, int16_t) {
        until_backward += (phase == Phase::kForward) - DoesBackward(phase);
        until_weight += DoesBackward(phase) - DoesWeight(phase);
        peak = std::max(peak, until_backward + shape.KeptForWeight(s) * until_weight);
      });
    }
  }
  return peak / shape.chunks;
}

std::string RejectPipeline(const PipelineSchedule& schedule, const PipelineShape& shape) {
  if (shape.stages < 1 || shape.micro_batches < 1 || shape.chunks < 1)
    return "at least 1 stage, 1 micro-batch and 1 chunk";
  MOECAST_CHECK(shape.copies == schedule.copies);
  if (shape.chunks < schedule.least_chunks ||
      (shape.chunks > schedule.most_chunks && schedule.most_chunks < kAnyChunks))
    return std::to_string(schedule.least_chunks) +
           (schedule.least_chunks == 1 ? " chunk" : " chunks") + " a stage (vpp) with schedule " +
           std::string(schedule.name);
  if (shape.stages > kMaxPipelineStages)
    return "at most " + std::to_string(kMaxPipelineStages) + " stages";
  if (shape.chunks > kAnyChunks) return "at most 32767 chunks a stage";
  // One factor at a time: their product may not fit in 64 bits.
  if (shape.stages > kMaxPipelineTasks / shape.micro_batches / shape.chunks)
    return "at most " + std::to_string(kMaxPipelineTasks) + " stages * micro-batches * chunks";
  if (shape.weight_delay >= 0 && !schedule.splits_weight)
    return "no weight delay with schedule " + std::string(schedule.name) +
           ", which does not split the backward pass";
  if (!(shape.memory_limit >= 0)) return "a memory limit of 0 (none) or more micro-batches";
  if (!(shape.kept_for_weight >= 0 && shape.kept_for_weight <= kMostKept))
    return "0 to " + std::to_string(kMostKept) +
           " of a micro-batch's memory kept for its weight gradients";
  if (std::string times = RejectTimes(schedule, shape); !times.empty()) return times;
  return schedule.reject(shape);
}

TrainingSchedule LowerPipeline(const PipelineSchedule& schedule, const PipelineShape& shape,
                               const PipelineOrder& order) {
  const int p = shape.stages;
  const int m = shape.micro_batches;
  const int virtual_stages = shape.virtual_stages();
  MOECAST_CHECK(shape.copies == schedule.copies && order.by_stage.size() == static_cast<size_t>(p));

  // What a stage holds, by stage * held + chunk, with the micro-batches that pass it.
  struct Held {
    int virtual_stage;
    int32_t begin, end;
  };
  const int held_chunks = shape.held(), each = shape.micro_batches_each();
  std::vector<Held> held;
  std::vector<int> stage_of(virtual_stages, -1);
  for (int s = 0; s < p; ++s) {
    for (int c = 0; c < held_chunks; ++c) {
      const int v = schedule.virtual_stage(shape, s, c);
      MOECAST_CHECK(v >= 0 && v < virtual_stages && stage_of[v] < 0);
      stage_of[v] = s;
      const int copy = v / shape.pieces();
      held.push_back({v, copy * each, (copy + 1) * each});
    }
  }

  TrainingSchedule out;
  size_t task_count = 0, placed = 0;
  for (const std::vector<PipelineTask>& tasks : order.by_stage) task_count += tasks.size();
  out.lanes.reserve(p);
  out.lane_begin.reserve(p + 1);
  out.lane_begin.push_back(0);
  out.program_of.reserve(task_count);
  out.tasks.reserve(task_count);
  // The task that computes a virtual stage's forward, gradients of activations or of weights of a
  // micro-batch.
  std::vector<int32_t> task_of(static_cast<size_t>(virtual_stages) * 3 * m, -1);
  const auto place = [&](int v, Phase pass, int32_t micro_batch) -> int32_t& {
    return task_of[(static_cast<size_t>(v) * 3 + static_cast<size_t>(pass)) * m + micro_batch];
  };
  for (int s = 0; s < p; ++s) {
    for (const PipelineTask& t : order.by_stage[s]) {
      const auto id = static_cast<int32_t>(out.tasks.size());
      EachHalf(t, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
        MOECAST_CHECK(chunk >= 0 && chunk < held_chunks);
        const Held& here = held[s * held_chunks + chunk];
        MOECAST_CHECK(micro_batch >= here.begin && micro_batch < here.end);
        const auto put = [&](Phase pass) {
          int32_t& task = place(here.virtual_stage, pass, micro_batch);
          MOECAST_CHECK(task < 0);
          task = id;
          ++placed;
        };
        if (phase == Phase::kForward) put(Phase::kForward);
        if (DoesBackward(phase)) put(Phase::kBackward);
        if (DoesWeight(phase)) put(Phase::kWeight);
      });
      const bool pair = t.phase == Phase::kForwardBackward;
      MOECAST_CHECK(!pair ||
                    (schedule.pairs && held_chunks == 2 && t.backward_chunk == 1 - t.chunk));
      const int program = held[s * held_chunks + t.chunk].virtual_stage * kPipelinePhases +
                          static_cast<int>(t.phase);
      out.Append(program,
                 {t.micro_batch, t.chunk, -1, t.phase, t.backward_chunk, t.backward_micro_batch});
    }
    out.lanes.push_back({.rank = s});
    out.lane_begin.push_back(static_cast<int32_t>(out.tasks.size()));
  }
  // None twice and all there: each exactly once.
  MOECAST_CHECK(placed == static_cast<size_t>(virtual_stages) * 3 * each);

  out.dependency_begin.reserve(task_count + 1);
  out.dependency_begin.push_back(0);
  out.dependencies.reserve(task_count);
  for (int s = 0; s < p; ++s) {
    for (int32_t i = out.lane_begin[s]; i < out.lane_begin[s + 1]; ++i) {
      EachHalf(out.tasks[i], [&](Phase phase, int32_t micro_batch, int16_t chunk) {
        const int v = held[s * held_chunks + chunk].virtual_stage;
        const auto after = [&](int needed_stage, Phase pass) {
          const int32_t needed = place(needed_stage, pass, micro_batch);
          if (stage_of[needed_stage] == s)
            MOECAST_CHECK(needed < i);
          else
            out.dependencies.push_back({needed, 0});
        };
        if (phase == Phase::kForward && !shape.starts_model(v)) after(v - 1, Phase::kForward);
        if (DoesBackward(phase)) {
          after(v, Phase::kForward);
          if (!shape.ends_model(v)) after(v + 1, Phase::kBackward);
        }
        if (phase == Phase::kWeight) after(v, Phase::kBackward);
      });
      out.dependency_begin.push_back(static_cast<int32_t>(out.dependencies.size()));
    }
  }
  return out;
}

std::vector<Time> PipelineDurations(const PipelineSchedule& schedule, const PipelineShape& shape) {
  std::vector<Time> durations;
  durations.reserve(static_cast<size_t>(shape.virtual_stages()) * kPipelinePhases);
  for (int v = 0; v < shape.virtual_stages(); ++v)
    for (const Time t : {shape.forward[v], shape.backward[v], shape.weight[v],
                         shape.backward[v] + shape.weight[v], Time{}})
      durations.push_back(t);
  if (!schedule.pairs) return durations;
  for (int s = 0; s < shape.stages; ++s) {
    for (const int chunk : {0, 1}) {
      const int v = schedule.virtual_stage(shape, s, chunk),
                other = schedule.virtual_stage(shape, s, 1 - chunk);
      const auto of = [&](int stage, Phase phase) -> Time& {
        return durations[stage * kPipelinePhases + static_cast<int>(phase)];
      };
      of(v, Phase::kForwardBackward) =
          shape.pair.empty() ? of(v, Phase::kForward) + of(other, Phase::kFullBackward)
                             : shape.pair[v];
    }
  }
  return durations;
}

PipelineResult Summarize(const PipelineShape& shape, const TrainingSchedule& lowered,
                         const Timing& timing) {
  PipelineResult result;
  Time first_start = kNever;
  Time last_end{};
  Time work{};
  for (int s = 0; s < shape.stages; ++s) {
    const int32_t begin = lowered.lane_begin[s], end = lowered.lane_begin[s + 1];
    const Time span = timing.end[end - 1] - timing.start[begin];
    first_start = std::min(first_start, timing.start[begin]);
    last_end = std::max(last_end, timing.end[end - 1]);
    if (s == 0 || span > result.stage_span) {
      result.stage_span = span;
      work = Time{};
      for (int32_t i = begin; i < end; ++i) work += timing.end[i] - timing.start[i];
    }
    // Tasks of a lane do not overlap, so what is alive changes in their order, whatever the times.
    int until_backward = 0, until_weight = 0, peak_backward = 0, peak_weight = 0;
    for (int32_t i = begin; i < end; ++i) {
      EachHalf(lowered.tasks[i], [&](Phase phase, int32_t, int16_t) {
        until_backward += phase == Phase::kForward;
        until_weight += phase == Phase::kForward;
        peak_backward = std::max(peak_backward, until_backward);
        peak_weight = std::max(peak_weight, until_weight);
        until_backward -= DoesBackward(phase);
        until_weight -= DoesWeight(phase);
      });
    }
    result.peak_until_backward.push_back(peak_backward / static_cast<double>(shape.chunks));
    result.peak_until_weight.push_back(peak_weight / static_cast<double>(shape.chunks));
  }
  result.total = last_end - first_start;
  if (result.stage_span > Time{})
    result.bubble_rate = (result.stage_span - work).seconds() / result.stage_span.seconds();
  return result;
}

}  // namespace moecast
