// Flows with the times they start at, run over a network to their ends.
#pragma once

#include <span>
#include <vector>

#include "sim/network/network.h"

namespace moecast {

struct Flow {
  Time start;
  std::vector<LinkShare> links;
  Bytes bytes;  // of one flow
  int multiplicity = 1;
};

struct CapacityChange {
  Time at;
  LinkId link = 0;
  BytesPerSecond capacity;
};

struct FlowEnds {
  std::vector<Time> end;        // by flow; kNever where it cannot end
  std::vector<LinkId> blocked;  // then: the links without capacity that it needs
  Time last() const;            // zero without flows
};

// What happens at one time happens in this order: ends, new capacities, starts. REQUIRES: a network that
// nothing has been started on.
FlowEnds RunFlows(Network& network, std::span<const Flow> flows,
                  std::span<const CapacityChange> changes = {});

// Bytes that the flows put on each of `links` links.
std::vector<Bytes> BytesByLink(std::span<const Flow> flows, size_t links);

}  // namespace moecast
