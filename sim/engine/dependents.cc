#include "sim/engine/dependents.h"

namespace moecast {

// A counting sort.
Dependents::Dependents(const Schedule& schedule)
    : begin_(schedule.program_of.size() + 2),
      dependencies_(schedule.dependencies.size()),
      task_of_(schedule.dependencies.size()) {
  for (const Dependency& on : schedule.dependencies) ++begin_[on.task + 2];
  for (size_t t = 2; t < begin_.size(); ++t) begin_[t] += begin_[t - 1];
  for (size_t t = 0; t < schedule.program_of.size(); ++t) {
    const int32_t last = schedule.dependency_begin[t + 1];
    for (int32_t d = schedule.dependency_begin[t]; d < last; ++d) {
      task_of_[d] = static_cast<int32_t>(t);
      dependencies_[begin_[schedule.dependencies[d].task + 1]++] = d;
    }
  }
}

}  // namespace moecast
