// A schedule timed where collectives share links: events instead of sums. Tasks run in the
// schedule's order; each runs its blocks op by op, and what shares links with others is a flow of
// the network's, of several communicators at once where a block has them. Compute beside a
// collective that takes longer than alone is slowed as long as it runs, by as much as alone.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sim/engine/block.h"
#include "sim/engine/schedule.h"
#include "sim/network/network.h"

namespace moecast {

// Flows that start together.
struct UnitFlow {
  std::vector<LinkShare> links;
  Bytes bytes;  // of one flow, for a byte of the collective
  int multiplicity = 1;
};

// A collective of one byte; all its flows start after alpha.
struct UnitCollective {
  Seconds alpha;
  Seconds per_byte;  // alone on idle links
  std::vector<UnitFlow> flows;
  bool shared = false;  // some link carries another collective at the same time
};

// A collective of that many bytes that takes `stretch` times as long as its traffic alone (an era's
// software): alpha and bytes are so many times as much.
struct LinkedCollective {
  const UnitCollective* unit = nullptr;
  double bytes = 0;
  double stretch = 1;
};

// A block as the ranks of one lane run it.
struct LinkedBlock {
  const CostedOps* costed = nullptr;  // null: nothing but time
  std::vector<Seconds> time;          // by op
  // By op: a collective that shares links with others' and ends when the network says; no unit: of
  // none else's concern. Empty: all are.
  std::vector<LinkedCollective> shared;
  Seconds alone;                // all of it
  std::vector<char> is_shared;  // by op: whether `shared` has a unit; LinkedSchedule::Set fills it
};

// A schedule with what its blocks and transfers put on links. Refers to what it is made of.
class LinkedSchedule {
 public:
  // REQUIRES: the schedule outlives this; its programs are of `blocks` blocks.
  LinkedSchedule(const Schedule& schedule, int32_t blocks);

  const Schedule& schedule() const { return *schedule_; }
  // The block of that number as the lanes of this rank run it. REQUIRES: Set before.
  const LinkedBlock& Of(int rank, int32_t block) const {
    return blocks_[static_cast<size_t>(index_[Key(rank, block)])];
  }
  bool Has(int rank, int32_t block) const { return index_[Key(rank, block)] >= 0; }
  void Set(int rank, int32_t block, LinkedBlock linked);

  // How much longer each task takes than its program; empty: no task does.
  std::vector<Seconds> longer;
  // What a dependency that transfers puts on links: by its index in the schedule.
  std::vector<LinkedCollective> transfers;

 private:
  size_t Key(int rank, int32_t block) const {
    return static_cast<size_t>(rank) * static_cast<size_t>(block_count_) +
           static_cast<size_t>(block);
  }
  const Schedule* schedule_;
  int32_t block_count_;
  std::vector<int32_t> index_;  // by rank and block; -1: not there
  std::vector<LinkedBlock> blocks_;
};

// One block of a task.
struct BlockSpan {
  Seconds at;  // from the task's start
  Seconds end;
  std::vector<OpSpan> ops;  // from `at`; empty where it ran as it does alone
};

struct NetworkedTiming {
  Timing timing;
  int64_t flows = 0;  // that were started, by multiplicity
};

// `spans`, where given, gets the blocks of each task. REQUIRES: the network has the links that the
// flows name, none without capacity, and nothing has been started on it.
NetworkedTiming RunOnNetwork(const LinkedSchedule& linked, Network& network,
                             std::vector<std::vector<BlockSpan>>* spans = nullptr);

}  // namespace moecast
