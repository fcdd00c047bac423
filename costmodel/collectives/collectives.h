// Collectives as Traffic. Each function states its formula and source; the times NCCL would need
// follow from the traffic on a cluster. A group is its GPUs in ascending order. A group of one
// is no traffic; no bytes are the steps alone. What a collective's `bytes` are:
// costmodel/collectives/kind.h.
#pragma once

#include <span>
#include <vector>

#include "base/units.h"
#include "costmodel/spread.h"
#include "topology/routes.h"
#include "topology/traffic.h"

namespace moecast {

using Group = std::span<const int>;
// Run one after the other.
using Parts = std::vector<Traffic>;

// Equal parts of a group on nodes: as many GPUs on each, or, where the group does not lie so, one
// "node".
struct NodesOf {
  size_t local = 1;  // GPUs of the group on its first node
  size_t nodes = 1;
  bool even = true;  // all nodes have as many
};
// REQUIRES: the group is ascending and not empty.
NodesOf NodesOfGroup(Group group, const Routes& routes);

// Ring (collectives/ring.cc), by large pieces, lines or chunks; the first rank follows the last.
Traffic RingAllGather(Group group, Bytes bytes, const Routes& routes,
                      Transport transport = Transport::kBulk);
Traffic RingReduceScatter(Group group, Bytes bytes, const Routes& routes,
                          Transport transport = Transport::kBulk);
Traffic RingAllReduce(Group group, Bytes bytes, const Routes& routes,
                      Transport transport = Transport::kBulk);
// From the first rank.
Traffic RingBroadcast(Group group, Bytes bytes, const Routes& routes,
                      Transport transport = Transport::kBulk);

// Tree (collectives/tree.cc), for few bytes over many ranks.
Traffic TreeAllReduce(Group group, Bytes bytes, const Routes& routes);

// By the NVSwitch (collectives/nvls.cc). REQUIRES: the group is on one node.
Traffic NvlsAllGather(Group group, Bytes bytes, const Routes& routes);
Traffic NvlsReduceScatter(Group group, Bytes bytes, const Routes& routes);
Traffic NvlsAllReduce(Group group, Bytes bytes, const Routes& routes);

// By reading peers' buffers, as inference engines do (collectives/peer_reads.cc). REQUIRES: the
// group is on one node.
Traffic OneShotAllReduce(Group group, Bytes bytes, const Routes& routes);
Traffic TwoShotAllReduce(Group group, Bytes bytes, const Routes& routes);

// Inside nodes and between them, one after the other (collectives/hierarchical.cc). REQUIRES: even
// nodes.
Parts HierarchicalAllGather(Group group, Bytes bytes, const Routes& routes);
Parts HierarchicalReduceScatter(Group group, Bytes bytes, const Routes& routes);
Parts HierarchicalAllReduce(Group group, Bytes bytes, const Routes& routes);

// Everyone of a group sends alike to everyone else (collectives/expert_all_to_all.cc): the bytes of
// a pair by where its ranks are, so that millions of pairs need not be written down.
struct EvenBytes {
  Bytes inside{};  // to each rank of the sender's node
  Bytes rail{};    // on each other node to the rank of the sender's index
  Bytes across{};  // to each other rank there
};
struct EvenSends {
  Traffic steps;  // without who sends to whom
  EvenBytes bytes;
};
// Of sends one after the other.
Parts WrittenOut(Group group, std::span<const EvenSends> sends, const Routes& routes);

// An all-to-all is a dispatch of the default spread, whose every byte goes to one rank; combine is
// dispatch the other way. Two hops at once, a token once to each node and once to each device that
// holds one of its experts:
std::vector<EvenSends> TwoHopAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                      const Routes& routes);
// The same, the second hop when the first is done:
std::vector<EvenSends> StoreAndForwardAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                               const Routes& routes);
// Straight to each device:
std::vector<EvenSends> DirectAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                      const Routes& routes);
// Straight to the rank of each expert, once for each expert:
std::vector<EvenSends> LowLatencyAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                          const Routes& routes);

// Point to point (collectives/send.cc), from[i] to to[i] at once.
Traffic Send(Group from, Group to, Bytes bytes, const Routes& routes);

}  // namespace moecast
