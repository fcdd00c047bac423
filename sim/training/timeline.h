// A prepared training step as a Timeline: a process for each stage (its first rank, which stands
// for all alike), threads for its streams, a slice for each task, arrows for what stages send each
// other, the memory of the rank as a counter. Which tasks also show their blocks and ops is a
// choice: all of them would be some 10^6 slices.
#pragma once

#include "sim/training/step.h"
#include "traces/timeline.h"

namespace moecast {

// Whose blocks and ops are shown.
enum class TimelineDetail : uint8_t { kTasks, kFirstMicroBatch, kAll };
template <>
struct EnumNames<TimelineDetail> {
  static constexpr EnumName<TimelineDetail> kNames[] = {
      {TimelineDetail::kTasks, "tasks"},
      {TimelineDetail::kFirstMicroBatch, "first-micro-batch"},
      {TimelineDetail::kAll, "all"}};
};

// Of the median times. Each communicator has a thread of its own.
Timeline TimelineOf(const Step& step, TimelineDetail detail = TimelineDetail::kFirstMicroBatch);

}  // namespace moecast
