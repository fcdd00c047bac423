// Flows with the times they start at, run over a network to their ends; and the flows of a
// collective.
#pragma once

#include <span>
#include <vector>

#include "sim/network/even_pairs.h"
#include "sim/network/network.h"
#include "topology/traffic.h"

namespace moecast {

struct Flow {
  Time start;
  std::vector<LinkShare> links;
  Bytes bytes;  // of one flow
  int64_t multiplicity = 1;
};

struct CapacityChange {
  Time at;
  LinkId link = 0;
  BytesPerSecond capacity;
};

// A flow for each pair, all at once; a byte counts as often as it costs a link (LinkCostsOf).
struct EvenStart {
  size_t stage = 0;
  Time start;
  EvenPairs pairs;
  LinkCosts costs;
};

// Flows in stages, each beginning when all flows of the one before have ended: Flow::start counts
// from there, and from zero in the first.
struct FlowChain {
  std::vector<std::vector<Flow>> stages;
  bool endless = false;         // something else keeps its last stage from ending
  std::vector<EvenStart> even;  // more flows of stages, for GroupFlows alone
};

struct ChainEnds {
  std::vector<Time> end;        // by chain; kNever where it cannot end
  Time last;                    // of the last flow that ends
  std::vector<Bytes> carried;   // by link: of flows that have ended
  std::vector<LinkId> blocked;  // the links without capacity that others need
};
// What happens at one time happens in this order: ends, new capacities, starts. REQUIRES: a network
// that nothing has been started on; chains without even starts.
ChainEnds RunChains(Network& network, size_t links, std::span<const FlowChain> chains,
                    std::span<const CapacityChange> changes = {});

// One flow for each path of the traffic, all at once; a byte counts as often as it costs a link
// (LinkCostsOf). REQUIRES: traffic.Merge() has been called.
std::vector<Flow> FlowsOf(const Traffic& traffic, const Cluster& cluster, Time start);

// All paths of the traffic as one start that moves in step: as slow as its busiest link, the
// analytic time. REQUIRES: traffic.Merge() has been called; !traffic.empty().
Flow InStep(const Traffic& traffic, const Cluster& cluster, Time start);

}  // namespace moecast
