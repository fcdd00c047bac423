// A direct all-to-all by kinds of pairs: millions of pairs as a few starts, with the times they have one by
// one.
//
// Nodes that hang on the same leaves, with ports of the same rates and members at the same places, can be
// exchanged for each other, so that pairs between two places of two such kinds of nodes load their links
// evenly. What is left, some thousand kinds of pairs and of links, is told apart by refinement: kinds of
// links differ by capacity and by how many pairs of each kind a link carries, kinds of pairs by the kinds of
// the links they cross, until nothing more differs. In such an equitable partition max-min fair rates are the
// same within a kind (as linear programs have solutions that are: Grohe, Kersting, Mladenov and Selman,
// 2014).
#pragma once

#include <span>
#include <vector>

#include "sim/network/flows.h"
#include "topology/routes.h"

namespace moecast {

// Whether ways follow from places alone. With ecmp every pair has a way of its own by its hash.
bool WaysFollowFromPlaces(const Cluster& cluster);

struct EvenAllToAll {
  std::vector<Flow> starts;  // by kind of pair; each link with its mean over the kind's pairs
  int64_t unreachable = 0;   // pairs without a path, in no start
};

// `bytes` from each GPU of the group, ascending, to each other, where nothing else runs. REQUIRES:
// WaysFollowFromPlaces.
EvenAllToAll EvenAllToAllOf(std::span<const int> gpus, Bytes bytes, const Cluster& cluster,
                            const Routes& routes, Time start);

}  // namespace moecast
