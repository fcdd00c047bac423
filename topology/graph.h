// The cluster as a graph of GPUs, NVSwitches and the fabric's switches, searched with Boost.Graph
// for what only a search answers, the bisection.
#pragma once

#include <vector>

#include "base/units.h"
#include "topology/cluster.h"

namespace moecast {

// Vertices: GPUs by number, then one NVSwitch per node, then the fabric's; without a fat tree that
// is one.
inline int SwitchVertex(const Cluster& c, int node) {
  return c.gpus + node;
}
inline int FabricVertex(const Cluster& c, int vertex) {
  return c.gpus + c.nodes() + vertex;
}
int VerticesOf(const Cluster& cluster);  // how many there are

// A link of a NIC that GPUs share is an edge of each of them. One node without a fat tree has no
// network. Links that have failed are edges too; searches leave them out. Those of GPUs come first,
// by GPU, then those between switches, by link.
struct GraphEdge {
  int from, to;
  LinkId link;
};
std::vector<GraphEdge> EdgesOf(const Cluster& cluster);

// Bytes per second that can flow from the first half of the GPUs to the second at once, at the
// links' datasheet rates (max-flow). Zero for one GPU.
BytesPerSecond Bisection(const Cluster& cluster);

}  // namespace moecast
