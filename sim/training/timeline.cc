#include "sim/training/timeline.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/check.h"
#include "sim/network/fluid_network.h"
#include "sim/pipeline/timeline.h"
#include "sim/training/step_on_network.h"

namespace moecast {
namespace {

enum class Thread : uint8_t { kCompute, kCommunication, kDataParallel };
constexpr std::string_view kThreadNames[] = {NameOf(Stream::kCompute), NameOf(Stream::kCommunication),
                                             "data-parallel communication"};

class Builder {
 public:
  Builder(const PreparedStep& step, TimelineDetail detail)
      : step_(step), schedule_(step.schedule()), timing_(step.timing()), detail_(detail) {
    int layer = 0;
    for (size_t v = 0; v < step.virtual_stages().size(); ++v) {
      if (step.shape().starts_model(static_cast<int>(v))) layer = 0;
      pieces_.emplace_back();
      for (const BlockRun& run : step.virtual_stages()[v])
        for (int i = 0; i < run.count; ++i)
          pieces_.back().push_back({run.kind, HasLayer(run.kind) ? layer++ : -1});
    }
  }

  Timeline Build() {
    if (const StepFlows* flows = step_.shared_links(); flows && detail_ != TimelineDetail::kTasks) {
      FluidNetwork network(flows->capacities());
      RunOnNetwork(step_, *flows, network, &pieces_of_task_);
    }
    const std::vector<StageMemory> memory = step_.MemoryByStage();
    const int stages = step_.shape().stages;
    std::vector<int32_t> span_of(schedule_.tasks.size());
    for (int s = 0; s < stages; ++s) {
      OpenProcess(s);
      // Compute lanes come first, then their communication lanes (BuildStepSchedule).
      for (const auto& [lane, thread] :
           {std::pair(s, Thread::kCompute), std::pair(stages + s, Thread::kDataParallel)})
        for (int32_t i = schedule_.lane_begin[lane]; i < schedule_.lane_begin[lane + 1]; ++i)
          span_of[i] = AddTask(s, thread, i);
      AddMemory(s, memory[s]);
    }
    AddSends(schedule_, span_of, timeline_);
    return std::move(timeline_);
  }

 private:
  // One block of a virtual stage.
  struct Piece {
    BlockKind kind;
    int layer;  // of the model, or -1
  };

  static bool HasLayer(BlockKind kind) { return kind == BlockKind::kDense || kind == BlockKind::kMoe; }

  void OpenProcess(int stage) {
    const int32_t alike = schedule_.lanes[stage].stands_for;
    const int rank = step_.RankOfStage(stage);
    std::string name = "rank " + std::to_string(rank) + ": stage " + std::to_string(stage);
    if (alike > 1) name += " (stands for " + std::to_string(alike) + ")";
    timeline_.processes.push_back({.id = rank, .name = std::move(name), .stands_for = alike});
    track_.fill(-1);
  }
  int32_t TrackOf(Thread thread) {
    int32_t& track = track_[static_cast<size_t>(thread)];
    if (track < 0) {
      track = static_cast<int32_t>(timeline_.tracks.size());
      timeline_.tracks.push_back({.process = static_cast<int32_t>(timeline_.processes.size()) - 1,
                                  .thread = 1 + static_cast<int32_t>(thread),
                                  .name = std::string(kThreadNames[static_cast<size_t>(thread)])});
    }
    return track;
  }
  int32_t AddSpan(Time start, Time end, Thread thread, std::string_view name, int32_t task) {
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
  int32_t AddTask(int stage, Thread thread, int32_t i) {
    const Task& task = schedule_.tasks[i];
    const Time start = timing_.start[i], end = timing_.end[i];
    task_ = i;
    piece_ = 0;
    if (task.phase == Phase::kGradNorm || task.phase == Phase::kOptimizer)
      return AddSpan(start, end, thread, task.phase == Phase::kOptimizer ? "adam" : TaskName(task),
                     AddTaskOf(task, -1, -1));

    const int v = step_.pipeline().virtual_stage(step_.shape(), stage, task.chunk);
    const std::vector<Piece>& pieces = pieces_[v];
    const bool shown = thread == Thread::kCompute &&
                       (detail_ == TimelineDetail::kAll ||
                        (detail_ == TimelineDetail::kFirstMicroBatch && task.micro_batch == 0));
    Seconds at;
    if (task.part >= 0) {
      const Piece& piece = pieces[task.part];
      const int32_t id = AddTaskOf(task, piece.layer, piece.layer);
      const int32_t span =
          AddSpan(start, end, thread, TaskName(task) + " " + std::string(NameOf(piece.kind)), id);
      if (shown) AddOps(piece.kind, task.phase, start, end, id, at);
      return span;
    }
    int first = -1, last = -1;
    for (const Piece& piece : pieces) {
      if (first < 0) first = piece.layer;
      last = std::max(last, piece.layer);
    }
    const int32_t span = AddSpan(start, end, thread, TaskName(task), AddTaskOf(task, first, last));
    if (!shown) return span;
    if (task.phase == Phase::kForwardBackward) {
      AddPairOps(step_.PairOf(v), start, end, timeline_.spans[span].task);
      return span;
    }
    for (size_t p = 0; p < pieces.size(); ++p) {
      const Piece& piece = task.phase == Phase::kForward ? pieces[p] : pieces[pieces.size() - 1 - p];
      const int32_t id = AddTaskOf(task, piece.layer, piece.layer);
      const Time block_start = std::min(end, start + Time::From(at));
      const int32_t block = AddSpan(block_start, end, thread, NameOf(piece.kind), id);
      AddOps(piece.kind, task.phase, start, end, id, at);
      timeline_.spans[block].end = std::min(end, start + Time::From(at));
    }
    return span;
  }

  // The ops of a block that starts `at` after its task; moves `at` to its end. The task's end was rounded
  // from a sum in another order, so times are cut there.
  void AddOps(BlockKind kind, Phase phase, Time task_start, Time task_end, int32_t task, Seconds& at) {
    const auto pass_ops = [&](Pass pass) {
      const PieceSpans* ran = NextPiece();
      if (ran) at = ran->at;
      AddSpans(step_.Costed(kind, pass), op_spans_[static_cast<size_t>(kind)][static_cast<size_t>(pass)], ran,
               task_start, task_end, task, at, [pass](size_t) { return pass; });
      at = ran ? ran->end : at + step_.Solved(kind, pass).total;
    };
    if (phase == Phase::kForward) pass_ops(Pass::kForward);
    if (DoesBackward(phase)) pass_ops(Pass::kBackward);
    if (DoesWeight(phase)) pass_ops(Pass::kWeight);
  }
  // Those of an overlapped forward and backward, in the order in which they run.
  void AddPairOps(size_t pair, Time task_start, Time task_end, int32_t task) {
    pair_spans_.resize(step_.pairs().size());
    const CostedOps& costed = step_.pairs()[pair].costed;
    AddSpans(costed, pair_spans_[pair], NextPiece(), task_start, task_end, task, Seconds(0), [&](size_t i) {
      size_t list = 0;
      while (i >= costed.list_ends[list]) ++list;
      return static_cast<Pass>(list);
    });
  }
  // Of the task at hand, as it ran on shared links; null where nothing is shared.
  const PieceSpans* NextPiece() {
    return pieces_of_task_.empty() ? nullptr : &pieces_of_task_[task_].at(piece_++);
  }
  // `alone`: spans of the ops from the start of their block where its links are idle, found where not yet
  // known; of one that ran otherwise `ran` has them.
  template <class PassOfOp>
  void AddSpans(const CostedOps& costed, std::vector<OpSpan>& alone, const PieceSpans* ran, Time task_start,
                Time task_end, int32_t task, Seconds at, PassOfOp pass_of) {
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
      AddSpan(start, end, op.stream() == Stream::kCompute ? Thread::kCompute : Thread::kCommunication, name,
              task);
    }
  }

  // Buffers and the largest transient for the whole step; activations from the start of the task that keeps
  // them to the end of the one that frees them. The highest value is StageMemory::total().
  void AddMemory(int stage, const StageMemory& memory) {
    Timeline::Counter counter{.process = static_cast<int32_t>(timeline_.processes.size()) - 1,
                              .name = timeline_.names.IndexOf("memory"),
                              .unit = timeline_.names.IndexOf("GiB")};
    const Bytes fixed = memory.total() - memory.activations;
    counter.samples.push_back({Time{}, fixed / GiB(1)});
    Bytes before;
    int32_t i = schedule_.lane_begin[stage];
    for (const auto& [most, after] : step_.ActivationsAlong(stage)) {
      if (most > before) counter.samples.push_back({timing_.start[i], (fixed + most) / GiB(1)});
      if (after < most) counter.samples.push_back({timing_.end[i], (fixed + after) / GiB(1)});
      before = after;
      ++i;
    }
    timeline_.counters.push_back(std::move(counter));
  }

  const PreparedStep& step_;
  const Schedule& schedule_;
  const Timing& timing_;
  const TimelineDetail detail_;
  std::vector<std::vector<Piece>> pieces_;  // by virtual stage, in forward order
  std::array<std::array<std::vector<OpSpan>, kPasses>, kBlockKinds> op_spans_;
  std::vector<std::vector<OpSpan>> pair_spans_;          // by pair
  std::vector<std::vector<PieceSpans>> pieces_of_task_;  // empty where no links are shared
  int32_t task_ = 0;                                     // of the schedule, being added
  size_t piece_ = 0;
  std::array<int32_t, 3> track_{};  // of the open process, by Thread; -1: not there yet
  Timeline timeline_;
};

}  // namespace

Timeline TimelineOf(const PreparedStep& step, TimelineDetail detail) {
  return Builder(step, detail).Build();
}

}  // namespace moecast
