// Flows that share links, in time. A network knows no ranks, collectives or latency: who starts a
// flow adds its latency as a delay before. The engine owns the clock and tells the network what
// time it is; the calls' times never go back.
//
// Three implementations answer the same calls and are checked against each other: analytic (each
// start alone on idle links), fluid (max-min fair) and simgrid (the same by SimGrid, in a process
// of its own).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/time.h"
#include "base/units.h"
#include "topology/cluster.h"

namespace moecast {

// What one byte of a flow costs a link, in bytes; 1 for a link on the flow's route. A link named
// twice counts twice. Where a start stands for many flows on different links of one kind, the mean
// over these flows.
struct LinkShare {
  LinkId link = 0;
  double share = 1;  // above 0, at most 1e6
};

// Whatever number the caller gives a start; it comes back at the end. A network keeps nothing of a
// start after that, and neither need the caller: a number that says what waits for the flows serves
// for many starts.
using FlowTag = int64_t;

class Network {
 public:
  virtual ~Network() = default;

  // Starts `multiplicity` equal flows of `bytes` each, which end together. Flows without bytes or
  // without links end at once. REQUIRES: now <= Next(); multiplicity >= 1; bytes >= 0.
  virtual void Start(Time now, std::span<const LinkShare> links, Bytes bytes, int64_t multiplicity,
                     FlowTag tag) = 0;

  // The next completion if nothing starts; kNever if none, also where it lies beyond the reach of
  // Time.
  virtual Time Next() = 0;

  // Adds to `done` the tags of the starts whose flows end at or before `to`, in the order they were
  // started. REQUIRES: to <= Next().
  virtual void Advance(Time to, std::vector<FlowTag>& done) = 0;

  // Degradation, failure (0) and repair. REQUIRES: now <= Next().
  virtual void SetCapacity(Time now, LinkId link, BytesPerSecond capacity) = 0;

  // Links without capacity that unfinished flows need, ascending: why Next() is kNever with flows
  // left.
  virtual std::vector<LinkId> Blocked() = 0;
};

}  // namespace moecast
