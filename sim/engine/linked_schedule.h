// A schedule with what its blocks and transfers put on links, and how each of these runs where
// nothing else is on its links: the collectives at what rates, the blocks with each collective
// when.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sim/engine/block.h"
#include "sim/engine/schedule.h"
#include "sim/network/fair_shares.h"
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
  // From an end of flows to the next, of the collective alone.
  struct Phase {
    size_t ends;                // a flow that ends with it
    std::vector<double> rates;  // by flow, bytes per second; 0 of those that have ended
    std::vector<size_t> rated;  // flows that are rated anew where it begins
  };
  Seconds alpha;
  Seconds per_byte;  // alone on idle links
  std::vector<UnitFlow> flows;
  // Links that another collective may be on at the same time, ascending; empty: shares none.
  std::vector<LinkId> meets;
  std::vector<Phase> phases;  // of one that shares links, by FindPhases
  double flow_time = 0;       // of these phases, for a byte: per_byte by max-min fair rates
  bool shared() const { return !meets.empty(); }
};
// Fills `phases` and `flow_time`. REQUIRES: no flows in `shares`, all links with capacity.
void FindPhases(UnitCollective& unit, FairShares& shares);

// A collective of that many bytes that takes `stretch` times as long as its traffic alone (an era's
// software): alpha and bytes are so many times as much.
struct LinkedCollective {
  const UnitCollective* unit = nullptr;
  double bytes = 0;
  double stretch = 1;
  Seconds alpha() const { return unit->alpha * stretch; }
  Seconds flow_time() const { return Seconds(unit->flow_time * (bytes * stretch)); }
};
// Where its flows alone, `slower` times as many bytes, end that start at `sent`: to the picosecond
// as on a FluidNetwork.
Time EndAlone(const LinkedCollective& collective, double slower, Time sent);
// The flows that are under way at `now` then, with what each of them has been served.
void ServedAlone(const LinkedCollective& collective, double slower, Time sent, Time now,
                 std::vector<std::pair<size_t, Bytes>>& flows);

// A collective of a block or a program that is nobody else's concern as long as its links are its
// own: when its flows start and end.
struct LinkClaim {
  Seconds sent, end;  // from the start of the block or program
  int32_t block = 0;  // of a program: which of its blocks
  int32_t op = 0;
  // Nothing else of the block is under way when it ends: however late that is, what comes next
  // comes as much later.
  bool settles = false;
};

// A block as the ranks of one lane run it.
struct LinkedBlock {
  const CostedOps* costed = nullptr;  // null: nothing but time
  std::vector<Seconds> time;          // by op
  // By op: a collective that shares links with others' and ends when the network says; no unit: of
  // none else's concern. Empty: all are.
  std::vector<LinkedCollective> shared;
  Seconds alone;  // all of it, at the costs
  // LinkedSchedule::Set fills these. By op: whether `shared` has a unit; and, where nothing else is
  // on the links of its collectives, each of these in the order they start and all of it.
  std::vector<char> is_shared;
  std::vector<LinkClaim> claims;
  Seconds total;
  bool loud = false;         // collectives of its own meet on links
  bool ends_shared = false;  // with a shared collective
};

// The blocks of a program one after another where nothing else is on their links.
struct QuietProgram {
  std::vector<int32_t> blocks;    // numbers
  std::vector<Seconds> begins;    // of each, and the end
  std::vector<LinkClaim> claims;  // by when they are sent
  std::vector<LinkId> links;      // that these meet others on, ascending
  std::vector<int32_t> loud;      // by block: the first from there on that is
  int32_t last = -1;              // the claim that ends the program; -1: something else does
  int64_t flows = 0;              // of all collectives, by multiplicity
  Seconds alone;                  // at the costs
};

// Refers to what it is made of.
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
  // Of a program of the schedule. REQUIRES: its blocks are Set.
  QuietProgram Quiet(int rank, const Program& program) const;

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

// When the ops of a block run where nothing else is on the links of its collectives.
std::vector<OpSpan> SpansAlone(const LinkedBlock& block);

}  // namespace moecast
