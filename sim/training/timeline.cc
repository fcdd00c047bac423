#include "sim/training/timeline.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/check.h"
#include "sim/pipeline/timeline.h"
#include "sim/training/step_links.h"

namespace moecast {
namespace {

std::string ThreadName(Stream stream) {
  return std::string(NameOf(stream)) + (stream == Stream::kCompute ? "" : " communication");
}

class Builder {
 public:
  Builder(const Step& step, TimelineDetail detail)
      : step_(step), schedule_(step.schedule()), timing_(step.timing), detail_(detail) {}

  Timeline Build() {
    if (const StepFlows* flows = step_.shared_links.get();
        flows && detail_ != TimelineDetail::kTasks) {
      RunShared(Linked(step_, *flows), flows->capacities(), &blocks_of_task_);
    }
    const int stages = step_.shape.stages;
    std::vector<int32_t> span_of(schedule_.tasks.size());
    for (int s = 0; s < stages; ++s) {
      OpenProcess(s);
      for (size_t l = 0; l < schedule_.lanes.size(); ++l)
        for (int32_t i = schedule_.lane_begin[l];
             schedule_.lanes[l].rank == s && i < schedule_.lane_begin[l + 1]; ++i)
          span_of[i] = AddTask(s, schedule_.lanes[l].stream, i);
      AddMemory(s, step_.memory[s]);
    }
    AddSends(schedule_, span_of, timeline_);
    return std::move(timeline_);
  }

 private:
  void OpenProcess(int stage) {
    const int32_t alike = schedule_.lanes[stage].stands_for;
    const int rank = step_.RankOfStage(stage);
    std::string name = "rank " + std::to_string(rank) + ": stage " + std::to_string(stage);
    if (alike > 1) name += " (stands for " + std::to_string(alike) + ")";
    timeline_.processes.push_back({.id = rank, .name = std::move(name), .stands_for = alike});
    track_.fill(-1);
  }
  int32_t TrackOf(Stream thread) {
    int32_t& track = track_[static_cast<size_t>(thread)];
    if (track < 0) {
      track = static_cast<int32_t>(timeline_.tracks.size());
      timeline_.tracks.push_back({.process = static_cast<int32_t>(timeline_.processes.size()) - 1,
                                  .thread = 1 + static_cast<int32_t>(thread),
                                  .name = ThreadName(thread)});
    }
    return track;
  }
  int32_t AddSpan(Time start, Time end, Stream thread, std::string_view name, int32_t task) {
    timeline_.spans.push_back({.start = start,
                               .end = end,
                               .track = TrackOf(thread),
                               .name = timeline_.names.IndexOf(name),
                               .task = task});
    return static_cast<int32_t>(timeline_.spans.size()) - 1;
  }
  int32_t AddTaskOf(const Task& task, int first_layer, int last_layer) {
    const bool of_micro_batch = OfPipeline(task.phase);
    const bool of_chunk = of_micro_batch || task.part >= 0;
    timeline_.tasks.push_back({.phase = timeline_.names.IndexOf(NameOf(task.phase)),
                               .micro_batch = of_micro_batch ? task.micro_batch : -1,
                               .chunk = of_chunk ? task.chunk : -1,
                               .first_layer = first_layer,
                               .last_layer = last_layer});
    return static_cast<int32_t>(timeline_.tasks.size()) - 1;
  }

  // Returns the span.
  int32_t AddTask(int stage, Stream thread, int32_t i) {
    const Task& task = schedule_.tasks[i];
    const Time start = timing_.start[i], end = timing_.end[i];
    task_ = i;
    next_block_ = 0;
    if (task.phase == Phase::kGradNorm || task.phase == Phase::kOptimizer)
      return AddSpan(start, end, thread, task.phase == Phase::kOptimizer ? "adam" : TaskName(task),
                     AddTaskOf(task, -1, -1));

    const int v = step_.layout.map.VirtualStage(stage, task.chunk);
    const std::vector<PlacedBlock>& blocks = step_.layout.blocks[v];
    const bool shown = thread == Stream::kCompute &&
                       (detail_ == TimelineDetail::kAll ||
                        (detail_ == TimelineDetail::kFirstMicroBatch && task.micro_batch == 0));
    Seconds at;
    if (task.part >= 0) {
      const auto [kind, layer, moe_layer] = blocks[task.part];
      const int32_t id = AddTaskOf(task, layer, layer);
      const std::string name = TaskName(task) + " " + std::string(NameOf(kind));
      const int32_t span = AddSpan(start, end, thread, name, id);
      if (shown) AddOps(kind, task.phase, start, end, id, at);
      return span;
    }
    int first = -1;
    int last = -1;
    for (const PlacedBlock& block : blocks) {
      if (first < 0) first = block.layer;
      last = std::max(last, block.layer);
    }
    const int32_t span = AddSpan(start, end, thread, TaskName(task), AddTaskOf(task, first, last));
    if (!shown) return span;
    if (task.phase == Phase::kForwardBackward) {
      AddPairOps(step_.blocks.pair_of[v], start, end, timeline_.spans[span].task);
      return span;
    }
    for (size_t p = 0; p < blocks.size(); ++p) {
      const PlacedBlock& placed = blocks[task.phase == Phase::kForward ? p : blocks.size() - 1 - p];
      const int32_t id = AddTaskOf(task, placed.layer, placed.layer);
      const Time block_start = std::min(end, start + Time::From(at));
      const int32_t block = AddSpan(block_start, end, thread, NameOf(placed.kind), id);
      AddOps(placed.kind, task.phase, start, end, id, at);
      timeline_.spans[block].end = std::min(end, start + Time::From(at));
    }
    return span;
  }

  // The ops of a block that starts `at` after its task; moves `at` to its end. The task's end was
  // rounded from a sum in another order, so times are cut there.
  void AddOps(BlockKind kind, Phase phase, Time task_start, Time task_end, int32_t task,
              Seconds& at) {
    const auto pass_ops = [&](Pass pass) {
      const BlockSpan* ran = NextBlock();
      if (ran) at = ran->at;
      AddSpans(step_.blocks.Of(kind, pass).costed,
               op_spans_[static_cast<size_t>(kind)][static_cast<size_t>(pass)], ran, task_start,
               task_end, task, at, [pass](size_t) { return pass; });
      at = ran ? ran->end : at + step_.blocks.Of(kind, pass).alone.total;
    };
    if (phase == Phase::kForward) pass_ops(Pass::kForward);
    if (DoesBackward(phase)) pass_ops(Pass::kBackward);
    if (DoesWeight(phase)) pass_ops(Pass::kWeight);
  }
  // Those of an overlapped forward and backward, in the order in which they run.
  void AddPairOps(size_t pair, Time task_start, Time task_end, int32_t task) {
    pair_spans_.resize(step_.blocks.pairs.size());
    const CostedOps& costed = step_.blocks.pairs[pair].costed;
    AddSpans(costed, pair_spans_[pair], NextBlock(), task_start, task_end, task, Seconds(0),
             [&](size_t i) {
               size_t list = 0;
               while (i >= costed.list_ends[list]) ++list;
               return static_cast<Pass>(list);
             });
  }
  // Of the task at hand, as it ran on shared links; null where nothing is shared.
  const BlockSpan* NextBlock() {
    return blocks_of_task_.empty() ? nullptr : &blocks_of_task_[task_].at(next_block_++);
  }
  // `alone`: spans of the ops from the start of their block where its links are idle, found where
  // not yet known; of one that ran otherwise `ran` has them.
  template <class PassOfOp>
  void AddSpans(const CostedOps& costed, std::vector<OpSpan>& alone, const BlockSpan* ran,
                Time task_start, Time task_end, int32_t task, Seconds at, PassOfOp pass_of) {
    const bool shared = ran && !ran->ops.empty();
    if (!shared && alone.empty() && !costed.ops.empty()) {
      std::vector<Seconds> times;
      for (const Cost& cost : costed.costs) times.push_back(cost.time);
      SolveBlock(costed, times, &alone);
    }
    const std::vector<OpSpan>& spans = shared ? ran->ops : alone;
    constexpr const char* kSuffix[] = {"", " backward", " wgrad"};  // by Pass
    for (size_t i = 0; i < costed.ops.size(); ++i) {
      const Op& op = costed.ops[i];
      const Time start = std::min(task_end, task_start + Time::From(at + spans[i].start));
      const Time end = std::min(task_end, task_start + Time::From(at + spans[i].end));
      if (start == end) continue;  // collectives of a single rank
      std::string name(NameOf(op.name));
      name += op.recomputed ? " recompute" : kSuffix[static_cast<size_t>(pass_of(i))];
      AddSpan(start, end, op.stream(), name, task);
    }
  }

  // Buffers and the largest transient for the whole step; activations from the start of the task
  // that keeps them to the end of the one that frees them. The highest value is
  // StageMemory::total().
  void AddMemory(int stage, const StageMemory& memory) {
    Timeline::Counter counter{.process = static_cast<int32_t>(timeline_.processes.size()) - 1,
                              .name = timeline_.names.IndexOf("memory"),
                              .unit = timeline_.names.IndexOf("GiB")};
    const Bytes fixed = memory.total() - memory.activations;
    counter.samples.push_back({Time{}, fixed / GiB(1)});
    Bytes before;
    int32_t i = schedule_.lane_begin[stage];
    for (const auto& [most, after] :
         ActivationsAlong(step_.layout, step_.blocks, step_.schedule(), stage)) {
      if (most > before) counter.samples.push_back({timing_.start[i], (fixed + most) / GiB(1)});
      if (after < most) counter.samples.push_back({timing_.end[i], (fixed + after) / GiB(1)});
      before = after;
      ++i;
    }
    timeline_.counters.push_back(std::move(counter));
  }

  const Step& step_;
  const TrainingSchedule& schedule_;
  const Timing& timing_;
  const TimelineDetail detail_;
  std::array<std::array<std::vector<OpSpan>, kPasses>, kBlockKinds> op_spans_;
  std::vector<std::vector<OpSpan>> pair_spans_;         // by pair
  std::vector<std::vector<BlockSpan>> blocks_of_task_;  // empty where no links are shared
  int32_t task_ = 0;                                    // of the schedule, being added
  size_t next_block_ = 0;
  std::array<int32_t, kStreams> track_{};  // of the open process, by Stream; -1: not there yet
  Timeline timeline_;
};

}  // namespace

Timeline TimelineOf(const Step& step, TimelineDetail detail) {
  return Builder(step, detail).Build();
}

}  // namespace moecast
