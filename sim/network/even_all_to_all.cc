#include "sim/network/even_all_to_all.h"

#include <bit>
#include <map>
#include <unordered_map>

#include "base/check.h"
#include "base/random.h"
#include "topology/fabric.h"

namespace moecast {
namespace {

struct NodeKind {
  std::vector<int> nodes;    // ascending
  std::vector<int> members;  // of the group: places in the node
};

// All that tells nodes apart: places of members, leaves, rates of ports (0 for what has failed or is not
// there).
std::vector<NodeKind> KindsOfNodes(std::span<const int> gpus, const Cluster& c) {
  std::map<int, std::vector<int>> members;  // by node
  for (const int gpu : gpus) members[c.NodeOf(gpu)].push_back(gpu % c.gpus_per_node);
  std::map<std::vector<double>, NodeKind> kinds;
  std::vector<double> key;
  for (const auto& [node, places] : members) {
    key.assign(places.begin(), places.end());
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
    kind.members = places;
  }
  std::vector<NodeKind> all;
  for (auto& [unused, kind] : kinds) all.push_back(std::move(kind));
  return all;
}

// Links that stand for each other: a port of all nodes of a kind, or a link between switches alone.
struct LinkKind {
  std::vector<LinkId> links;
  uint64_t color = 0;
};
struct PairKind {
  int64_t pairs = 0;
  std::vector<int> links;  // kinds of links that a pair crosses, one named twice crossed twice
  uint64_t color = 0;
};

uint64_t Mixed(uint64_t a, uint64_t b) {
  return Random(Random(a).Next() ^ b).Next();
}

class Partition {
 public:
  Partition(std::span<const int> gpus, const Cluster& c, const Routes& routes)
      : cluster_(c), routes_(routes) {
    node_kinds_ = KindsOfNodes(gpus, c);
    kind_of_node_.assign(static_cast<size_t>(c.nodes()), -1);
    for (size_t k = 0; k < node_kinds_.size(); ++k)
      for (const int node : node_kinds_[k].nodes)
        kind_of_node_[static_cast<size_t>(node)] = static_cast<int>(k);
    for (const NodeKind& from : node_kinds_) {
      for (const NodeKind& to : node_kinds_) {
        const auto n = static_cast<int64_t>(from.nodes.size()), m = static_cast<int64_t>(to.nodes.size());
        const bool same = &from == &to;
        for (const int i : from.members) {
          for (const int j : to.members) {
            if (same && i != j) Add(from.nodes[0], i, from.nodes[0], j, n);
            if (same && n > 1) Add(from.nodes[0], i, from.nodes[1], j, n * (n - 1));
            if (!same) Add(from.nodes[0], i, to.nodes[0], j, n * m);
          }
        }
      }
    }
  }

  // Colors by hashes of 64 bits: two kinds that differ meet in one with a probability of some 1e-12.
  void Refine() {
    for (LinkKind& l : link_kinds_) l.color = std::bit_cast<uint64_t>(CapacityOf(cluster_, l.links[0]).value);
    for (size_t colors = 0, before = 1; colors != before;) {
      before = colors;
      std::unordered_map<uint64_t, int> of_pairs, of_links;
      for (PairKind& p : pair_kinds_) {
        uint64_t crossed = 0;
        for (const int l : p.links) crossed += Mixed(1, link_kinds_[static_cast<size_t>(l)].color);
        p.color = Mixed(p.color, crossed);
        ++of_pairs[p.color];
      }
      std::vector<uint64_t> carried(link_kinds_.size());
      for (const PairKind& p : pair_kinds_)
        for (const int l : p.links)
          carried[static_cast<size_t>(l)] += static_cast<uint64_t>(EachCarries(p, l)) * Mixed(2, p.color);
      for (size_t l = 0; l < link_kinds_.size(); ++l) {
        link_kinds_[l].color = Mixed(link_kinds_[l].color, carried[l]);
        ++of_links[link_kinds_[l].color];
      }
      colors = of_pairs.size() + of_links.size();
    }
  }

  EvenAllToAll Starts(Bytes bytes, Time start) const {
    struct Merged {
      int64_t pairs = 0;
      std::map<int, int64_t> on;  // pairs on each link of a kind
    };
    std::vector<Merged> merged;
    std::unordered_map<uint64_t, size_t> at;  // in order of the first of a color, so that no hash decides it
    for (const PairKind& p : pair_kinds_) {
      const auto [found, is_new] = at.try_emplace(p.color, merged.size());
      if (is_new) merged.emplace_back();
      Merged& m = merged[found->second];
      m.pairs += p.pairs;
      for (const int l : p.links) m.on[l] += EachCarries(p, l);
    }
    EvenAllToAll result{.unreachable = unreachable_};
    for (const Merged& m : merged) {
      Flow& flow = result.starts.emplace_back(Flow{.start = start, .bytes = bytes, .multiplicity = m.pairs});
      for (const auto& [kind, on] : m.on)
        for (const LinkId link : link_kinds_[static_cast<size_t>(kind)].links)
          flow.links.push_back({link, static_cast<double>(on) / static_cast<double>(m.pairs)});
    }
    return result;
  }

 private:
  int64_t EachCarries(const PairKind& p, int link_kind) const {
    return p.pairs / static_cast<int64_t>(link_kinds_[static_cast<size_t>(link_kind)].links.size());
  }

  void Add(int from_node, int i, int to_node, int j, int64_t pairs) {
    const int from = from_node * cluster_.gpus_per_node + i, to = to_node * cluster_.gpus_per_node + j;
    const Path path = routes_.Between(from, to);
    if (!path.exists()) {
      unreachable_ += pairs;
      return;
    }
    PairKind& kind = pair_kinds_.emplace_back(PairKind{.pairs = pairs});
    for (const LinkId link : path.span()) kind.links.push_back(KindOf(link));
  }

  // The first link of a kind names it.
  int KindOf(LinkId link) {
    LinkId first = link;
    const NodeKind* nodes = nullptr;
    const int per_node = 4 * cluster_.gpus_per_node;
    if (link < cluster_.ports()) {
      nodes = &node_kinds_[static_cast<size_t>(kind_of_node_[static_cast<size_t>(link / per_node)])];
      first = nodes->nodes[0] * per_node + link % per_node;
    }
    const auto [found, is_new] = kind_of_link_.try_emplace(first, static_cast<int>(link_kinds_.size()));
    if (is_new) {
      LinkKind& kind = link_kinds_.emplace_back();
      if (!nodes) kind.links = {link};
      if (nodes)
        for (const int node : nodes->nodes) kind.links.push_back(node * per_node + link % per_node);
    }
    return found->second;
  }

  const Cluster& cluster_;
  const Routes& routes_;
  std::vector<NodeKind> node_kinds_;
  std::vector<int> kind_of_node_;
  std::vector<PairKind> pair_kinds_;
  std::vector<LinkKind> link_kinds_;
  std::unordered_map<LinkId, int> kind_of_link_;
  int64_t unreachable_ = 0;
};

}  // namespace

bool WaysFollowFromPlaces(const Cluster& c) {
  return !c.switches.value || c.switches.value->tree().load_balancing == LoadBalancing::kAdaptive;
}

EvenAllToAll EvenAllToAllOf(std::span<const int> gpus, Bytes bytes, const Cluster& cluster,
                            const Routes& routes, Time start) {
  MOECAST_CHECK(WaysFollowFromPlaces(cluster));
  Partition partition(gpus, cluster, routes);
  partition.Refine();
  return partition.Starts(bytes, start);
}

}  // namespace moecast
