#include "sim/network/even_pairs.h"

#include <map>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "topology/fabric.h"

namespace moecast {

bool WaysFollowFromPlaces(const Cluster& c) {
  return !c.switches.value || c.switches.value->tree().load_balancing == LoadBalancing::kAdaptive;
}

EvenPairs::EvenPairs(const std::vector<int>& gpus, const EvenBytes& bytes, const Cluster& cluster,
                     const Routes& routes)
    : bytes_(bytes), cluster_(&cluster), routes_(&routes) {
  MOECAST_CHECK(WaysFollowFromPlaces(cluster));
  FindNodeKinds(gpus);
  FindKinds();
}

// By all that tells nodes apart: places of the group's GPUs, leaves, rates of ports (0 for what has
// failed, -1 for what is not there).
void EvenPairs::FindNodeKinds(const std::vector<int>& gpus) {
  const Cluster& c = *cluster_;
  std::map<int, std::vector<int>> places;  // by node
  for (const int gpu : gpus) places[c.NodeOf(gpu)].push_back(gpu % c.gpus_per_node);
  std::map<std::vector<double>, NodeKind> kinds;
  std::vector<double> key;
  for (auto& [node, in_node] : places) {
    key.assign(in_node.begin(), in_node.end());
    key.push_back(-1);
    for (int nic = 0; c.switches.value && nic < c.nics(); ++nic)
      key.push_back(c.switches.value->tree().LeafOf(node, nic));
    for (int place = 0; place < c.gpus_per_node; ++place) {
      const int gpu = node * c.gpus_per_node + place;
      for (const auto& port : EnumNames<Port>::kNames)
        key.push_back(gpu < c.gpus ? CapacityOf(c, LinkOf(gpu, port.value)).value : -1);
    }
    NodeKind& kind = kinds[key];
    kind.nodes.push_back(node);
    kind.places = std::move(in_node);
  }
  for (auto& [unused, kind] : kinds) node_kinds_.push_back(std::move(kind));
}

void EvenPairs::FindKinds() {
  kind_of_node_.assign(static_cast<size_t>(cluster_->nodes()), -1);
  for (size_t k = 0; k < node_kinds_.size(); ++k)
    for (const int node : node_kinds_[k].nodes)
      kind_of_node_[static_cast<size_t>(node)] = static_cast<int32_t>(k);
  kinds_.clear();
  crossings_.clear();
  unreachable_ = 0;
  for (const NodeKind& from : node_kinds_) {
    for (const NodeKind& to : node_kinds_) {
      const auto n = static_cast<int64_t>(from.nodes.size()),
                 m = static_cast<int64_t>(to.nodes.size());
      const bool same = &from == &to;
      for (size_t i = 0; i < from.places.size(); ++i) {
        for (size_t j = 0; j < to.places.size(); ++j) {
          const auto add = [&](int a, int b, int64_t pairs) {
            Add(GpuAt(a, from.places[i]), GpuAt(b, to.places[j]), BytesOf(a == b, i == j), pairs);
          };
          if (same && i != j) add(from.nodes[0], from.nodes[0], n);
          if (same && n > 1) add(from.nodes[0], from.nodes[1], n * (n - 1));
          if (!same) add(from.nodes[0], to.nodes[0], n * m);
        }
      }
    }
  }
}

void EvenPairs::Add(int from, int to, Bytes bytes, int64_t pairs) {
  if (bytes.value <= 0) return;
  const Path path = routes_->Between(from, to);
  if (!path.exists()) {
    unreachable_ += pairs;
    return;
  }
  kinds_.push_back({bytes, pairs, static_cast<int32_t>(crossings_.size()), path.size});
  for (const LinkId link : path.span()) {
    const int node = link / ports_per_node();
    if (link < cluster_->ports())
      crossings_.push_back({kind_of_node_[static_cast<size_t>(node)], link});
    else
      crossings_.push_back({-1, link});
  }
}

bool EvenPairs::Split(std::span<const uint64_t> color) {
  const auto ports = static_cast<size_t>(ports_per_node());
  std::vector<NodeKind> split;
  for (const NodeKind& kind : node_kinds_) {
    std::unordered_map<uint64_t, size_t> at;  // in `split`, by the colors of a node's ports
    for (const int node : kind.nodes) {
      uint64_t hash = 0;
      const size_t first = static_cast<size_t>(node) * ports;
      for (size_t p = first; p < first + ports && p < color.size(); ++p)
        hash = Random(hash ^ color[p]).Next();
      const auto [found, is_new] = at.try_emplace(hash, split.size());
      if (is_new) split.push_back({{}, kind.places});
      split[found->second].nodes.push_back(node);
    }
  }
  if (split.size() == node_kinds_.size()) return false;
  node_kinds_ = std::move(split);
  FindKinds();
  return true;
}

}  // namespace moecast
