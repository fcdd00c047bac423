#include "topology/survey.h"

#include <map>

#include "topology/graph.h"
#include "topology/link_names.h"
#include "topology/routes.h"

namespace moecast {
namespace {

// Nodes whose GPUs have the same ways to any third node.
struct NodeKind {
  std::vector<int> nodes;
  std::vector<char> sends, receives;  // by GPU of the node: to, and from, some other GPU
};

std::vector<NodeKind> KindsOf(const Cluster& c) {
  std::map<std::vector<int>, NodeKind> kinds;
  for (int node = 0; node < c.nodes(); ++node) {
    std::vector<int> key = {c.switches.value ? c.switches.value->tree().LeafOf(node, 0) : 0};
    for (int gpu = node * c.gpus_per_node; gpu < c.gpus && c.NodeOf(gpu) == node; ++gpu)
      for (const auto& port : EnumNames<Port>::kNames)
        key.push_back(CapacityOf(c, LinkOf(gpu, port.value)).value > 0);
    kinds[key].nodes.push_back(node);
  }
  std::vector<NodeKind> list;
  for (auto& [key, kind] : kinds) {
    const size_t gpus = (key.size() - 1) / std::size(EnumNames<Port>::kNames);
    kind.sends.resize(gpus);
    kind.receives.resize(gpus);
    list.push_back(std::move(kind));
  }
  return list;
}

int64_t& CountOf(const Path& path, const Cluster& c, Reach& reach) {
  if (!path.exists()) return reach.unreachable;
  const bool nvlink = !IsNetwork(c, path.links[0]) || !IsNetwork(c, path.span().back());
  if (!nvlink) return reach.over_nics;
  return path.size == 2 ? reach.over_nvlink : reach.forwarded;
}

}  // namespace

Reach ReachOf(const Cluster& c) {
  const Routes routes(c);
  Reach reach;
  std::vector<NodeKind> kinds = KindsOf(c);
  // `times` pairs of nodes like (a, b).
  const auto count = [&](NodeKind& from, int a, NodeKind& to, int b, int64_t times) {
    for (size_t i = 0; i < from.sends.size(); ++i) {
      for (size_t j = 0; j < to.sends.size(); ++j) {
        if (a == b && i == j) continue;
        const Path path = routes.Between(a * c.gpus_per_node + static_cast<int>(i),
                                         b * c.gpus_per_node + static_cast<int>(j));
        CountOf(path, c, reach) += times;
        if (!path.exists()) continue;
        from.sends[i] = 1;
        to.receives[j] = 1;
      }
    }
  };
  for (NodeKind& from : kinds) {
    const auto n = static_cast<int64_t>(from.nodes.size());
    count(from, from.nodes[0], from, from.nodes[0], n);
    if (n > 1) count(from, from.nodes[0], from, from.nodes[1], n * (n - 1));
    for (NodeKind& to : kinds)
      if (&from != &to)
        count(from, from.nodes[0], to, to.nodes[0], n * static_cast<int64_t>(to.nodes.size()));
  }
  for (const NodeKind& kind : kinds)
    for (size_t i = 0; i < kind.sends.size(); ++i)
      if (c.gpus > 1 && (!kind.sends[i] || !kind.receives[i]))
        reach.cut_off += static_cast<int>(kind.nodes.size());
  return reach;
}

Survey SurveyOf(const Cluster& healthy, std::span<const std::string> failed) {
  Survey s{.cluster = Without(healthy, failed), .failed = {failed.begin(), failed.end()}};
  s.healthy_bisection = Bisection(healthy);
  s.healthy_reach = ReachOf(healthy);
  if (failed.empty()) {
    s.bisection = s.healthy_bisection;
    s.reach = s.healthy_reach;
    return s;
  }
  s.bisection = Bisection(s.cluster);
  s.reach = ReachOf(s.cluster);
  for (LinkId link = 0; link < NumberOfLinks(healthy); ++link) {
    const BytesPerSecond before = DatasheetRate(healthy, link);
    if (!Exists(healthy, link) || DatasheetRate(s.cluster, link) == before) continue;
    s.degraded.push_back(link);
    s.healthy_rate.push_back(before);
  }
  return s;
}

}  // namespace moecast
