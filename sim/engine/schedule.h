// A Schedule fixes what runs where and in which order; timing it is a separate step (Retimer).
// Lanes are the streams of ranks; the tasks of a lane run one after another in the order given; a
// task also waits for its dependencies. What a task is beyond the blocks it runs its owner knows by
// the task's number (sim/pipeline/task.h).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/time.h"
#include "costmodel/stream.h"

namespace moecast {

struct Lane {
  int32_t rank = 0;
  Stream stream = Stream::kCompute;
  int32_t stands_for = 1;  // how many ranks run exactly this
  friend bool operator==(const Lane&, const Lane&) = default;
};

// The successor starts no earlier than the end of `task` plus the time of `transfer` (-1: none).
struct Dependency {
  int32_t task = 0;
  int32_t transfer = -1;
  friend bool operator==(const Dependency&, const Dependency&) = default;
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
  std::vector<int32_t>
      program_of;  // by task: index into `programs` and the durations given to the Retimer
  std::vector<int32_t> dependency_begin;  // size tasks + 1
  std::vector<Dependency> dependencies;
  std::vector<Program> programs;  // empty where only durations are known

  int32_t size() const { return static_cast<int32_t>(program_of.size()); }  // of tasks
  // REQUIRES: 0 <= task < size().
  int32_t LaneOf(int32_t task) const;
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// What the programs of a schedule take where a block of this number takes time_of(number).
template <class TimeOfBlock>
std::vector<Time> DurationsOf(const Schedule& schedule, TimeOfBlock time_of) {
  std::vector<Time> durations;
  durations.reserve(schedule.programs.size());
  for (const Program& program : schedule.programs) {
    Seconds total;
    for (const ProgramStep& step : program) total += time_of(step.block) * step.times;
    durations.push_back(Time::From(total));
  }
  return durations;
}

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
  // Aborts where the arrays do not fit each other, or lane order and dependencies form a cycle: an
  // order builder's defect.
  explicit Retimer(const Schedule& schedule);

  // `duration` by program, `transfer` by Dependency::transfer; aborts where one is too short.
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

  // What this holds beside itself.
  size_t HeldBytes() const;

 private:
  // Nearly every task waits for the one before it on its lane and for one thing beside it, if that:
  // then 16 bytes are all that a sweep reads of it, those of the next behind them.
  struct Step {
    int32_t task;
    int32_t program;
    int32_t on;    // waited for beside the task before, which it is where there is nothing else
    int32_t wait;  // how long then: place in {nothing, transfers...}; kOther: as `others_` says
  };
  static constexpr int32_t kOther = -1;
  struct Other {
    bool behind_lane;     // whether a task is before it on its lane
    int32_t first, last;  // range in dependencies_
  };
  std::vector<Step> steps_;    // topologically sorted
  std::vector<Other> others_;  // of such steps, in their order
  std::vector<Dependency> dependencies_;
  size_t programs_ = 0;   // how many durations are referred to
  size_t transfers_ = 0;  // how many transfers
};

}  // namespace moecast
