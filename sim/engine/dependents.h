// The dependencies of a schedule the other way round.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/schedule.h"

namespace moecast {

// Which dependencies wait for each task, and which task has each.
class Dependents {
 public:
  // Keeps nothing of the schedule.
  explicit Dependents(const Schedule& schedule);
  // By their index in the schedule, ascending.
  std::span<const int32_t> Of(int32_t task) const {
    return std::span(dependencies_)
        .subspan(static_cast<size_t>(begin_[task]),
                 static_cast<size_t>(begin_[task + 1] - begin_[task]));
  }
  // The task that waits for it.
  int32_t TaskOf(int32_t dependency) const { return task_of_[dependency]; }

 private:
  std::vector<int32_t> begin_;         // size tasks + 1: into dependencies_
  std::vector<int32_t> dependencies_;  // by the task that they wait for
  std::vector<int32_t> task_of_;       // by dependency
};

}  // namespace moecast
