// Flows on their own, each a chain.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "sim/network/flows.h"

namespace moecast {

struct FlowEnds {
  std::vector<Time> end;        // by flow; kNever where it cannot end
  std::vector<LinkId> blocked;  // as of ChainEnds
  // Zero without flows.
  Time last() const { return end.empty() ? Time{} : *std::max_element(end.begin(), end.end()); }
};
// REQUIRES: as RunChains.
inline FlowEnds RunFlows(Network& network, std::span<const Flow> flows,
                         std::span<const CapacityChange> changes = {}) {
  std::vector<FlowChain> chains;
  size_t links = 0;
  for (const Flow& f : flows) {
    chains.push_back({.stages = {{f}}});
    for (const LinkShare& s : f.links) links = std::max(links, static_cast<size_t>(s.link) + 1);
  }
  ChainEnds ends = RunChains(network, links, chains, changes);
  return {.end = std::move(ends.end), .blocked = std::move(ends.blocked)};
}

}  // namespace moecast
