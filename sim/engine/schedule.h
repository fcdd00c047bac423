// A Schedule fixes what runs where and in which order; timing it is a separate step (Retimer).
// Lanes are the streams of ranks; the tasks of a lane run one after another in the order given; a
// task also waits for its dependencies.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/enum_names.h"
#include "base/time.h"
#include "costmodel/stream.h"

namespace moecast {

// What a task does for its micro-batch, or, where a forward and a backward overlap, for two.
enum class Phase : uint8_t {
  kForward,
  kBackward,         // gradients of activations alone
  kWeight,           // gradients of weights alone
  kFullBackward,     // both, one task
  kForwardBackward,  // a forward and the full backward of another micro-batch at the same time
  kGradReduce,       // data-parallel reduction of a layer's gradients
  kParamGather,      // all-gather of updated parameters
  kGradNorm,         // the global barrier of gradient clipping
  kOptimizer,
};
template <>
struct EnumNames<Phase> {
  static constexpr EnumName<Phase> kNames[] = {{Phase::kForward, "forward"},
                                               {Phase::kBackward, "backward"},
                                               {Phase::kWeight, "weight"},
                                               {Phase::kFullBackward, "full-backward"},
                                               {Phase::kForwardBackward, "forward-backward"},
                                               {Phase::kGradReduce, "grad-reduce"},
                                               {Phase::kParamGather, "param-gather"},
                                               {Phase::kGradNorm, "grad-norm"},
                                               {Phase::kOptimizer, "optimizer"}};
};

// Phases of the pipeline, up to kForwardBackward; the others belong to the step.
inline constexpr int kPipelinePhases = 5;
constexpr bool OfPipeline(Phase phase) {
  return phase <= Phase::kForwardBackward;
}
// Of a phase that is no pair.
constexpr bool DoesBackward(Phase phase) {
  return phase == Phase::kBackward || phase == Phase::kFullBackward;
}
constexpr bool DoesWeight(Phase phase) {
  return phase == Phase::kWeight || phase == Phase::kFullBackward;
}

struct Task {
  int32_t program = 0;  // index into Schedule::programs and the durations given to the Retimer
  int32_t micro_batch = 0;
  int16_t chunk = 0;  // model chunk of an interleaved pipeline
  int16_t part = -1;  // layer of the chunk where a task is split by layer, else -1
  Phase phase = Phase::kForward;
  int16_t backward_chunk =
      -1;  // of kForwardBackward: whose backward it is; the rest is its forward's
  int32_t backward_micro_batch = -1;
};

// visit(phase, micro_batch, chunk) of a task, of a pair for its forward and then for its backward.
template <class AnyTask, class Visit>
void EachHalf(const AnyTask& task, Visit visit) {
  if (task.phase != Phase::kForwardBackward) {
    visit(task.phase, task.micro_batch, task.chunk);
    return;
  }
  visit(Phase::kForward, task.micro_batch, task.chunk);
  visit(Phase::kFullBackward, task.backward_micro_batch, task.backward_chunk);
}

struct Lane {
  int32_t rank = 0;
  Stream stream = Stream::kCompute;
  int32_t stands_for = 1;  // how many ranks run exactly this
};

// The successor starts no earlier than the end of `task` plus the time of `transfer` (-1: none).
struct Dependency {
  int32_t task = 0;
  int32_t transfer = -1;
};

// A block, by its number among the owner's, that runs so many times in a row.
struct ProgramStep {
  int32_t block = 0;
  int32_t times = 1;
  friend bool operator==(const ProgramStep&, const ProgramStep&) = default;
};
// The blocks that a task runs, in order.
using Program = std::vector<ProgramStep>;

struct Schedule {
  std::vector<Lane> lanes;
  std::vector<int32_t>
      lane_begin;  // size lanes + 1: tasks of lane l are [lane_begin[l], lane_begin[l + 1])
  std::vector<Task> tasks;
  std::vector<int32_t> dependency_begin;  // size tasks + 1
  std::vector<Dependency> dependencies;
  std::vector<Program> programs;  // by Task::program; empty where only durations are known

  // REQUIRES: 0 <= task < tasks.size().
  int32_t LaneOf(int32_t task) const;
};

struct Timing {
  std::vector<Time> start, end;  // by task
  Time total{};                  // the latest end
  // By dependency: when it let its task start. Empty where that is the end plus the transfer.
  std::vector<Time> arrival;

  Time ArrivalOf(const Schedule& schedule, int32_t dependency, Time transfer) const {
    if (!arrival.empty()) return arrival[dependency];
    const Dependency& on = schedule.dependencies[dependency];
    return end[on.task] + (on.transfer < 0 ? Time{} : transfer);
  }
};

// Times a schedule where nothing contends: a task starts when its lane is free and its dependencies
// (with their transfers) are done. The topological order is found once, each timing is one sweep
// over flat arrays.
class Retimer {
 public:
  static constexpr size_t kBytesOfTask = 5 * sizeof(int32_t);  // that one keeps, dependencies aside

  // Aborts where the arrays do not fit each other, or lane order and dependencies form a cycle: an
  // order builder's defect.
  explicit Retimer(const Schedule& schedule);

  // `duration` by Task::program, `transfer` by Dependency::transfer; aborts where one is too short.
  // Where not empty, `longer` is how much longer each task takes than its program's duration, or
  // shorter where negative. Reuses the storage of `out`. REQUIRES: no negative times, and their sum
  // along any path fits in Time.
  void Run(std::span<const Time> duration, std::span<const Time> transfer, Timing& out,
           std::span<const Time> longer = {}) const;

  // Times kTogether sets of durations in one sweep, which takes about as long as two: each number
  // is a list of one a set, and each set's are what Run makes of it. Of the timing only the ends.
  static constexpr size_t kTogether = 8;
  using Times = std::array<Time, kTogether>;
  void RunTogether(std::span<const Times> duration, std::span<const Times> transfer,
                   std::vector<Times>& end, std::span<const Times> longer = {}) const;

 private:
  struct Step {
    int32_t task, program, lane_previous;  // lane_previous: task before it on its lane, or -1
    int32_t first, last;                   // range in dependencies_
  };
  std::vector<Step> steps_;  // topologically sorted
  std::vector<Dependency> dependencies_;
  size_t programs_ = 0, transfers_ = 0;  // how many durations and transfers are referred to
};

}  // namespace moecast
