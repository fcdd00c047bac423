// A shortest path by breadth-first search over the cluster's graph: the reference for Routes.
#pragma once

#include <deque>
#include <vector>

#include "topology/graph.h"

namespace moecast {

// Its links, without those that have failed; empty from a GPU to itself and where there is none.
inline std::vector<LinkId> ShortestPath(const Cluster& cluster, int from, int to) {
  const auto vertices = static_cast<size_t>(VerticesOf(cluster));
  std::vector<std::vector<GraphEdge>> out(vertices);
  for (const GraphEdge& e : EdgesOf(cluster))
    if (DatasheetRate(cluster, e.link).value > 0) out[static_cast<size_t>(e.from)].push_back(e);
  std::vector<GraphEdge> arrival(vertices, {-1, -1, -1});
  std::deque<int> found{from};
  for (; !found.empty(); found.pop_front())
    for (const GraphEdge& e : out[static_cast<size_t>(found.front())]) {
      GraphEdge& known = arrival[static_cast<size_t>(e.to)];
      if (known.link >= 0 || e.to == from) continue;
      known = e;
      found.push_back(e.to);
    }
  std::vector<LinkId> path;
  for (int at = to; at != from; at = arrival[static_cast<size_t>(at)].from) {
    if (arrival[static_cast<size_t>(at)].link < 0) return {};
    path.insert(path.begin(), arrival[static_cast<size_t>(at)].link);
  }
  return path;
}

}  // namespace moecast
