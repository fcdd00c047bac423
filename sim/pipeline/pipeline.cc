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

// V placement: the model goes down the stages with chunk 0 and comes back up with chunk 1.
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
  return shape.memory_limit == 0 || shape.memory_limit >= one ? "" : AtLeast(one, "one holds alive");
}

// Of schedules that are searched for stage by stage, moment by moment.
template <PipelineOrder (*kBuild)(const PipelineShape&)>
std::string RejectVShaped(const PipelineShape& shape) {
  constexpr int kMostStages = 1000;
  if (shape.stages > kMostStages) return "at most " + std::to_string(kMostStages) + " stages in V placement";
  return RejectMemory<kBuild>(shape);
}

constexpr int kMostKept = 1000;
constexpr int kAnyChunks = std::numeric_limits<int16_t>::max();

constexpr PipelineSchedule kSchedules[] = {
    {"1f1b", "one forward, one backward; stage s of p holds p - s micro-batches", OneFOneB, false, 1, 1,
     false, RoundRobin, RejectMemory<OneFOneB>},
    {"interleaved", "1F1B over several model chunks a stage (vpp); the bubble shrinks by their number",
     Interleaved, false, 1, kAnyChunks, false, RoundRobin, RejectMemory<Interleaved>},
    {"zb-h1", "1F1B order, weight gradients delayed by the stage's index; memory of 1F1B", ZbH1, true, 1, 1,
     false, RoundRobin, RejectMemory<ZbH1>},
    {"zb-h2", "ZB-H1 twice as deep: no bubble where F = B = W; twice the memory of 1F1B", ZbH2, true, 1, 1,
     false, RoundRobin, RejectMemory<ZbH2>},
    {"zb-1p", "built from the times within the memory of 1F1B, or another memory limit", Zb1p, true, 1, 1,
     true, RoundRobin, RejectLessThanOne},
    {"zb-2p", "built from the times within twice the memory of 1F1B, or another memory limit", Zb2p, true, 1,
     1, true, RoundRobin, RejectLessThanOne},
    {"zb-v", "two chunks a stage in a V: hardly a bubble where F = B = W; memory of 1F1B", ZbV, true, 2, 2,
     false, VShaped, RejectVShaped<ZbV>},
    {"v-half", "two chunks a stage in a V: half the bubble (F = B = W) and half the memory of 1F1B", VHalf,
     true, 2, 2, false, VShaped, RejectVShaped<VHalf>},
    {"v-min",
     "two chunks a stage in a V: two thirds of the bubble (F = B = W), a third of the memory of 1F1B", VMin,
     true, 2, 2, false, VShaped, RejectVShaped<VMin>},
};

int BlockOffset(Phase phase) {
  MOECAST_CHECK(phase <= Phase::kWeight);
  return static_cast<int>(phase);
}

std::string RejectTimes(const PipelineShape& shape) {
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
  if (shape.transfer < Time{}) return "no negative transfer time";
  // Every task and transfer one after another: no timing of any order is later.
  if (sum * shape.micro_batches > kMaxPipelineTime.value)
    return "at most " + ShowSeconds(kMaxPipelineTime) + " of work over all stages and micro-batches";
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
      until_backward += (t.phase == Phase::kForward) - (t.phase == Phase::kBackward);
      if (order.splits_weight) until_weight += (t.phase == Phase::kBackward) - (t.phase == Phase::kWeight);
      peak = std::max(peak, until_backward + shape.KeptForWeight(s) * until_weight);
    }
  }
  return peak / shape.chunks;
}

std::string RejectPipeline(const PipelineSchedule& schedule, const PipelineShape& shape) {
  if (shape.stages < 1 || shape.micro_batches < 1 || shape.chunks < 1)
    return "at least 1 stage, 1 micro-batch and 1 chunk";
  if (shape.chunks < schedule.least_chunks ||
      (shape.chunks > schedule.most_chunks && schedule.most_chunks < kAnyChunks))
    return std::to_string(schedule.least_chunks) + (schedule.least_chunks == 1 ? " chunk" : " chunks") +
           " a stage (vpp) with schedule " + std::string(schedule.name);
  if (shape.stages > kMaxPipelineStages) return "at most " + std::to_string(kMaxPipelineStages) + " stages";
  if (shape.chunks > kAnyChunks) return "at most 32767 chunks a stage";
  // One factor at a time: their product may not fit in 64 bits.
  if (shape.stages > kMaxPipelineTasks / shape.micro_batches / shape.chunks)
    return "at most " + std::to_string(kMaxPipelineTasks) + " stages * micro-batches * chunks";
  if (shape.weight_delay >= 0 && !schedule.splits_weight)
    return "no weight delay with schedule " + std::string(schedule.name) +
           ", which does not split the backward pass";
  if (!(shape.memory_limit >= 0)) return "a memory limit of 0 (none) or more micro-batches";
  if (!(shape.kept_for_weight >= 0 && shape.kept_for_weight <= kMostKept))
    return "0 to " + std::to_string(kMostKept) + " of a micro-batch's memory kept for its weight gradients";
  if (std::string times = RejectTimes(shape); !times.empty()) return times;
  return schedule.reject(shape);
}

Schedule LowerPipeline(const PipelineSchedule& schedule, const PipelineShape& shape,
                       const PipelineOrder& order) {
  const int p = shape.stages, m = shape.micro_batches, virtual_stages = shape.virtual_stages();
  const int phases = order.splits_weight ? 3 : 2;
  const size_t task_count = static_cast<size_t>(virtual_stages) * m * phases;
  MOECAST_CHECK(order.splits_weight == schedule.splits_weight &&
                order.by_stage.size() == static_cast<size_t>(p));

  std::vector<int> virtual_stage(virtual_stages),
      stage_of(virtual_stages, -1);  // the former by stage * chunks + chunk
  for (int s = 0; s < p; ++s) {
    for (int c = 0; c < shape.chunks; ++c) {
      const int v = schedule.virtual_stage(shape, s, c);
      MOECAST_CHECK(v >= 0 && v < virtual_stages && stage_of[v] < 0);
      virtual_stage[s * shape.chunks + c] = v;
      stage_of[v] = s;
    }
  }

  Schedule out;
  out.lanes.reserve(p);
  out.lane_begin.reserve(p + 1);
  out.lane_begin.push_back(0);
  out.tasks.reserve(task_count);
  // Where a virtual stage's phase of a micro-batch is: at block * m + micro_batch.
  std::vector<int32_t> place(static_cast<size_t>(virtual_stages) * 3 * m, -1);
  for (int s = 0; s < p; ++s) {
    for (const PipelineTask& t : order.by_stage[s]) {
      MOECAST_CHECK(t.chunk >= 0 && t.chunk < shape.chunks && t.micro_batch >= 0 && t.micro_batch < m);
      const int block = virtual_stage[s * shape.chunks + t.chunk] * 3 + BlockOffset(t.phase);
      int32_t& here = place[static_cast<size_t>(block) * m + t.micro_batch];
      MOECAST_CHECK(here < 0);
      here = static_cast<int32_t>(out.tasks.size());
      out.tasks.push_back({block, t.micro_batch, t.chunk, -1, t.phase});
    }
    out.lanes.push_back({.rank = s});
    out.lane_begin.push_back(static_cast<int32_t>(out.tasks.size()));
  }
  MOECAST_CHECK(out.tasks.size() == task_count);  // none twice and all there: each exactly once

  out.dependency_begin.reserve(task_count + 1);
  out.dependency_begin.push_back(0);
  out.dependencies.reserve(task_count);
  for (int s = 0; s < p; ++s) {
    for (int32_t i = out.lane_begin[s]; i < out.lane_begin[s + 1]; ++i) {
      const Task& t = out.tasks[i];
      const int v = t.block / 3;
      const auto after = [&](int needed_stage, Phase phase) {
        const int block = needed_stage * 3 + BlockOffset(phase);
        const int32_t needed = place[static_cast<size_t>(block) * m + t.micro_batch];
        if (stage_of[needed_stage] == s)
          MOECAST_CHECK(needed < i);
        else
          out.dependencies.push_back({needed, 0});
      };
      if (t.phase == Phase::kForward && v > 0) after(v - 1, Phase::kForward);
      if (t.phase == Phase::kBackward) {
        after(v, Phase::kForward);
        if (v + 1 < virtual_stages) after(v + 1, Phase::kBackward);
      }
      if (t.phase == Phase::kWeight) after(v, Phase::kBackward);
      out.dependency_begin.push_back(static_cast<int32_t>(out.dependencies.size()));
    }
  }
  return out;
}

std::vector<Time> PipelineDurations(const PipelineSchedule& schedule, const PipelineShape& shape) {
  std::vector<Time> durations;
  durations.reserve(static_cast<size_t>(shape.virtual_stages()) * 3);
  for (int v = 0; v < shape.virtual_stages(); ++v) {
    const Time backward = shape.backward[v], weight = shape.weight[v];
    durations.push_back(shape.forward[v]);
    durations.push_back(schedule.splits_weight ? backward : backward + weight);
    durations.push_back(schedule.splits_weight ? weight : Time{});
  }
  return durations;
}

PipelineResult Summarize(const PipelineSchedule& schedule, const PipelineShape& shape,
                         const Schedule& lowered, const Timing& timing) {
  PipelineResult result;
  Time first_start = kNever, last_end{}, work{};
  for (int s = 0; s < shape.stages; ++s) {
    const int32_t begin = lowered.lane_begin[s], end = lowered.lane_begin[s + 1];
    const Time span = timing.end[end - 1] - timing.start[begin];
    first_start = std::min(first_start, timing.start[begin]);
    last_end = std::max(last_end, timing.end[end - 1]);
    if (s == 0 || span > result.stage_span) {
      result.stage_span = span;
      work = Time{};
      for (int c = 0; c < shape.chunks; ++c) {
        const int v = schedule.virtual_stage(shape, s, c);
        work += (shape.forward[v] + shape.backward[v] + shape.weight[v]) * shape.micro_batches;
      }
    }
    // Tasks of a lane do not overlap, so what is alive changes in their order, whatever the times.
    int until_backward = 0, until_weight = 0, peak_backward = 0, peak_weight = 0;
    for (int32_t i = begin; i < end; ++i) {
      const Phase phase = lowered.tasks[i].phase;
      const Phase last = schedule.splits_weight ? Phase::kWeight : Phase::kBackward;
      until_backward += (phase == Phase::kForward) - (phase == Phase::kBackward);
      until_weight += (phase == Phase::kForward) - (phase == last);
      peak_backward = std::max(peak_backward, until_backward);
      peak_weight = std::max(peak_weight, until_weight);
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
