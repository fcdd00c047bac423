// Flows of collectives that are alike as one, and links that are alike as one: the times of all
// without looking at each.
//
// Flows are told apart by collective and stage, bytes, start and the colors of their links, links
// by capacity, how that changes, and how many flows of each color they carry, until nothing more
// differs: color refinement by hashes of 64 bits, which two colors that differ share with a
// probability of some 1e-7 in millions. In such an equitable partition max-min fair rates are the
// same within a color (as linear programs have solutions that are: Grohe, Kersting, Mladenov and
// Selman, 2014), so that one link stands for its color. The partition stays equitable as flows end,
// for a color ends as a whole.
#pragma once

#include <span>
#include <vector>

#include "sim/network/flows.h"

namespace moecast {

struct GroupedFlows {
  std::vector<FlowChain>
      chains;  // on links numbered by color; shares are means over a color's flows
  std::vector<BytesPerSecond> capacity;  // by color
  std::vector<CapacityChange> changes;   // of colors
  std::vector<int32_t> color_of;         // by LinkId; may be -1 for a link that no flow crosses
  std::vector<LinkId> first_of;          // by color, the least of its links
};

// Where colors do not settle within some rounds, as along a chain of thousands, each flow is its
// own. Even pairs are written out then.
GroupedFlows GroupFlows(std::vector<FlowChain> chains, std::span<const BytesPerSecond> capacity,
                        std::span<const CapacityChange> changes, const Cluster& cluster);

}  // namespace moecast
