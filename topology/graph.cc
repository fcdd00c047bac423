#include "topology/graph.h"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>
#include <cmath>

#include "base/check.h"

namespace moecast {

std::vector<GraphEdge> EdgesOf(const Cluster& c) {
  std::vector<GraphEdge> edges;
  for (int g = 0; g < c.gpus; ++g) {
    const int nvswitch = SwitchVertex(c, c.NodeOf(g));
    edges.push_back({g, nvswitch, LinkOf(g, Port::kNvlinkOut)});
    edges.push_back({nvswitch, g, LinkOf(g, Port::kNvlinkIn)});
    if (c.nodes() == 1) continue;
    edges.push_back({g, NetworkVertex(c), LinkOf(g, Port::kNicOut)});
    edges.push_back({NetworkVertex(c), g, LinkOf(g, Port::kNicIn)});
  }
  return edges;
}

BytesPerSecond DatasheetRate(const Cluster& c, LinkId link) {
  return IsNetwork(link) ? c.nic : c.device.nvlink;
}

std::vector<LinkId> ShortestPath(const Cluster& cluster, int from, int to) {
  using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property,
                                      boost::property<boost::edge_index_t, LinkId>>;
  Graph graph(static_cast<size_t>(NetworkVertex(cluster)) + 1);
  for (const GraphEdge& e : EdgesOf(cluster))
    boost::add_edge(static_cast<size_t>(e.from), static_cast<size_t>(e.to), {e.link}, graph);
  std::vector<LinkId> arrived_by(boost::num_vertices(graph), -1);
  struct Visitor : boost::default_bfs_visitor {
    std::vector<LinkId>& arrived_by;
    explicit Visitor(std::vector<LinkId>& a) : arrived_by(a) {}
    void tree_edge(const Graph::edge_descriptor& e, const Graph& g) {
      arrived_by[boost::target(e, g)] = boost::get(boost::edge_index, g, e);
    }
  } visitor(arrived_by);
  boost::breadth_first_search(graph, static_cast<size_t>(from), boost::visitor(visitor));

  const auto tail_of = [&](LinkId link) {
    const bool out = PortOf(link) == Port::kNvlinkOut || PortOf(link) == Port::kNicOut;
    if (out) return GpuOf(link);
    return IsNetwork(link) ? NetworkVertex(cluster) : SwitchVertex(cluster, cluster.NodeOf(GpuOf(link)));
  };
  std::vector<LinkId> path;
  for (int at = to; at != from; at = tail_of(path.front())) {
    const LinkId link = arrived_by[static_cast<size_t>(at)];
    MOECAST_CHECK(link >= 0);
    path.insert(path.begin(), link);
  }
  return path;
}

BytesPerSecond Bisection(const Cluster& cluster) {
  if (cluster.gpus < 2) return BytesPerSecond(0);
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  using Graph = boost::adjacency_list<
      boost::vecS, boost::vecS, boost::directedS, boost::no_property,
      boost::property<boost::edge_capacity_t, int64_t,
                      boost::property<boost::edge_residual_capacity_t, int64_t,
                                      boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>>;
  const size_t source = static_cast<size_t>(NetworkVertex(cluster)) + 1, sink = source + 1;
  Graph graph(sink + 1);
  const auto add = [&graph](size_t from, size_t to, int64_t capacity) {
    const auto forward = boost::add_edge(from, to, graph).first;
    const auto reverse = boost::add_edge(to, from, graph).first;
    boost::put(boost::edge_capacity, graph, forward, capacity);
    boost::put(boost::edge_capacity, graph, reverse, 0);
    boost::put(boost::edge_reverse, graph, forward, reverse);
    boost::put(boost::edge_reverse, graph, reverse, forward);
  };
  for (const GraphEdge& e : EdgesOf(cluster))
    add(static_cast<size_t>(e.from), static_cast<size_t>(e.to),
        std::llround(DatasheetRate(cluster, e.link).value));
  // As much as a GPU has ports: never the limit itself, and far from overflow in the sum.
  const int64_t unlimited = std::llround(cluster.nic.value + cluster.device.nvlink.value);
  for (int g = 0; g < cluster.gpus; ++g) {
    if (g < cluster.gpus / 2)
      add(source, static_cast<size_t>(g), unlimited);
    else
      add(static_cast<size_t>(g), sink, unlimited);
  }
  return BytesPerSecond(static_cast<double>(boost::push_relabel_max_flow(graph, source, sink)));
}

}  // namespace moecast
