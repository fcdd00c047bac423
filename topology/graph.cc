#include "topology/graph.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>
#include <cmath>
#include <map>

namespace moecast {
namespace {

// The leaf of a GPU's NIC, among the fabric's vertices.
int LeafOf(const Cluster& c, int gpu) {
  return c.switches.value ? c.switches.value->tree().LeafOf(c.NodeOf(gpu), c.NicOf(gpu)) : 0;
}

bool HasNetwork(const Cluster& c) {
  return c.nodes() > 1 || c.switches.value;
}

}  // namespace

int VerticesOf(const Cluster& c) {
  return FabricVertex(c, c.switches.value ? c.switches.value->vertices() : 1);
}

std::vector<GraphEdge> EdgesOf(const Cluster& c) {
  std::vector<GraphEdge> edges;
  const auto add = [&](int from, int to, LinkId link) { edges.push_back({from, to, link}); };
  for (int g = 0; g < c.gpus; ++g) {
    const int nvswitch = SwitchVertex(c, c.NodeOf(g));
    add(g, nvswitch, LinkOf(g, Port::kNvlinkOut));
    add(nvswitch, g, LinkOf(g, Port::kNvlinkIn));
    if (!HasNetwork(c)) continue;
    const int leaf = FabricVertex(c, LeafOf(c, g));
    const int owner = c.NicOwner(g);
    add(g, leaf, LinkOf(owner, Port::kNicOut));
    add(leaf, g, LinkOf(owner, Port::kNicIn));
  }
  for (LinkId link = c.ports(); link < NumberOfLinks(c); ++link) {
    const Fabric::Link& l = c.switches.value->links()[static_cast<size_t>(link - c.ports())];
    add(FabricVertex(c, l.from), FabricVertex(c, l.to), link);
  }
  return edges;
}

// The GPUs of the first half are one source and those of the second one sink, for nothing limits
// what a GPU itself takes in or gives out; so are the NVSwitches of nodes that lie in one half.
// What is left are the switches, and the NICs of a half and leaf are one edge: exact, and small for
// any number of GPUs.
BytesPerSecond Bisection(const Cluster& c) {
  if (c.gpus < 2) return BytesPerSecond(0);
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  using Graph = boost::adjacency_list<
      boost::vecS, boost::vecS, boost::directedS, boost::no_property,
      boost::property<
          boost::edge_capacity_t, int64_t,
          boost::property<boost::edge_residual_capacity_t, int64_t,
                          boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>>;
  constexpr size_t kSource = 0, kSink = 1, kCutNvswitch = 2, kFabric = 3;
  const int half = c.gpus / 2;  // of GPUs, and so at most one node is cut
  const auto vertex_of = [&](int v) {
    if (v < c.gpus) return v < half ? kSource : kSink;
    if (v >= FabricVertex(c, 0)) return kFabric + static_cast<size_t>(v - FabricVertex(c, 0));
    const int first = (v - c.gpus) * c.gpus_per_node,
              last = std::min(first + c.gpus_per_node, c.gpus);
    return last <= half ? kSource : first >= half ? kSink : kCutNvswitch;
  };
  // A NIC that GPUs share counts once for the edge it is part of.
  std::map<std::pair<size_t, size_t>, int64_t> capacity;
  std::map<std::pair<size_t, size_t>, LinkId> counted;
  for (const GraphEdge& e : EdgesOf(c)) {
    const std::pair ends(vertex_of(e.from), vertex_of(e.to));
    if (ends.first == ends.second || ends.first == kSink || ends.second == kSource) continue;
    if (const auto last = counted.find(ends); last != counted.end() && last->second == e.link)
      continue;
    counted[ends] = e.link;
    capacity[ends] += std::llround(DatasheetRate(c, e.link).value);
  }
  Graph graph(kFabric + static_cast<size_t>(VerticesOf(c) - FabricVertex(c, 0)));
  for (const auto& [ends, rate] : capacity) {
    const auto forward = boost::add_edge(ends.first, ends.second, graph).first;
    const auto reverse = boost::add_edge(ends.second, ends.first, graph).first;
    boost::put(boost::edge_capacity, graph, forward, rate);
    boost::put(boost::edge_capacity, graph, reverse, 0);
    boost::put(boost::edge_reverse, graph, forward, reverse);
    boost::put(boost::edge_reverse, graph, reverse, forward);
  }
  return BytesPerSecond(static_cast<double>(boost::push_relabel_max_flow(graph, kSource, kSink)));
}

}  // namespace moecast
