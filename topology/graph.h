// The cluster as a graph of GPUs, NVSwitches and the network, searched with Boost.Graph: the reference for
// Routes, and what only a search answers, the bisection.
#pragma once

#include <vector>

#include "base/units.h"
#include "topology/cluster.h"

namespace moecast {

// Vertices: GPUs by number, then one NVSwitch per node, then the network between the nodes. One node has no
// network.
inline int SwitchVertex(const Cluster& c, int node) {
  return c.gpus + node;
}
inline int NetworkVertex(const Cluster& c) {
  return c.gpus + c.nodes();
}

struct GraphEdge {
  int from, to;
  LinkId link;
};
std::vector<GraphEdge> EdgesOf(const Cluster& cluster);

BytesPerSecond DatasheetRate(const Cluster& cluster, LinkId link);

// Links of a shortest path by breadth-first search; empty from a GPU to itself.
std::vector<LinkId> ShortestPath(const Cluster& cluster, int from, int to);

// Bytes per second that can flow from the first half of the GPUs to the second at once, at the links'
// datasheet rates (max-flow). Zero for one GPU.
BytesPerSecond Bisection(const Cluster& cluster);

}  // namespace moecast
