// What `moecast topo` prints: a cluster's links, its bisection and who reaches whom, as JSON, as a
// table for a person and as a drawing for Graphviz.
#pragma once

#include <string>

#include "base/json.h"
#include "topology/survey.h"

namespace moecast {

Json TopoJson(const Survey& survey);         // every link
std::string TopoText(const Survey& survey);  // links by kind

// The graph of the cluster (viz/topo_dot.cc), both directions of a link as one line. Beyond
// kDrawnNodes nodes the first is drawn in full with its leaves, and everything else as boxes with
// the sums of what leads there. What has failed is red.
inline constexpr int kDrawnNodes = 4;
std::string TopoDot(const Survey& survey);

}  // namespace moecast
