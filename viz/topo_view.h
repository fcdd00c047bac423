// What `moecast topo` prints: a cluster's links and bisection, as JSON, as a table for a person and as a
// drawing for Graphviz.
#pragma once

#include <string>

#include "base/json.h"
#include "topology/cluster.h"

namespace moecast {

Json TopoJson(const Cluster& cluster);         // every link
std::string TopoText(const Cluster& cluster);  // links by kind

// The graph of the cluster. Beyond kDrawnNodes nodes the first is drawn in full and the others are one box.
inline constexpr int kDrawnNodes = 4;
std::string TopoDot(const Cluster& cluster);

}  // namespace moecast
