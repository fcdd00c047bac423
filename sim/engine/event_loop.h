// A schedule timed where collectives share links: events instead of sums. Tasks run in the
// schedule's order; each runs its blocks op by op, and what shares links with others is a flow of
// the network's, of several communicators at once where a block has them. Compute beside a
// collective that takes longer than alone is slowed as long as it runs, by as much as alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/linked_schedule.h"

namespace moecast {

// One block of a task.
struct BlockSpan {
  Seconds at;  // from the task's start
  Seconds end;
  std::vector<OpSpan> ops;  // from `at`; empty where none of its collectives shares links
};

struct NetworkedTiming {
  Timing timing;
  int64_t flows = 0;  // of all collectives that share links, by multiplicity
};

// Every such collective on the network. `spans`, where given, gets the blocks of each task.
// REQUIRES: the network has the links that the flows name, none without capacity, and nothing has
// been started on it.
NetworkedTiming RunOnNetwork(const LinkedSchedule& linked, Network& network,
                             std::vector<std::vector<BlockSpan>>* spans = nullptr);

// What RunOnNetwork gives on a fluid network of these links, to the picosecond, at the cost of what
// truly meets there: only collectives that are under way on one link at the same time are run on a
// network, and each from when it meets another; the others take what they take alone.
NetworkedTiming RunShared(const LinkedSchedule& linked, std::span<const BytesPerSecond> capacity,
                          std::vector<std::vector<BlockSpan>>* spans = nullptr);

}  // namespace moecast
