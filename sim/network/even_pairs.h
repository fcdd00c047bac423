// Everyone of a group sends alike to everyone else (EvenSends): millions of pairs by kinds.
//
// Nodes that hang on the same leaves, with ports of the same rates and members at the same places,
// can be exchanged for each other, so that the pairs between two places of two kinds of nodes load
// their links evenly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "costmodel/collectives/collectives.h"
#include "topology/routes.h"

namespace moecast {

// Whether ways follow from places alone. With ecmp every pair has a way of its own by its hash.
bool WaysFollowFromPlaces(const Cluster& cluster);

class EvenPairs {
 public:
  // A link of the way of a kind's pairs. One of a node, here the first of its kind, stands for
  // those of all nodes of the kind, which carry as much each; `nodes` is -1 for a link between
  // switches.
  struct Crossing {
    int32_t nodes;  // kind
    LinkId link;
  };
  struct Kind {
    Bytes bytes;  // of a pair
    int64_t pairs;
    int32_t first, count;  // of crossings
  };

  // Of different GPUs of the group, ascending. The cluster and its routes have to outlive it.
  // REQUIRES: WaysFollowFromPlaces.
  EvenPairs(const std::vector<int>& gpus, const EvenBytes& bytes, const Cluster& cluster,
            const Routes& routes);

  // visit(way, bytes) for each pair that sends and has a way.
  template <class Visit>
  void EachPair(Visit visit) const {
    for (const NodeKind& from : node_kinds_)
      for (const NodeKind& to : node_kinds_)
        for (const int a : from.nodes)
          for (const int b : to.nodes)
            for (size_t i = 0; i < from.places.size(); ++i)
              for (size_t j = 0; j < to.places.size(); ++j) {
                const Bytes bytes = BytesOf(a == b, i == j);
                const Path way = routes_->Between(GpuAt(a, from.places[i]), GpuAt(b, to.places[j]));
                if (bytes.value > 0 && way.size > 0) visit(way, bytes);
              }
  }
  std::span<const Kind> kinds() const { return kinds_; }
  std::span<const Crossing> WayOf(const Kind& kind) const {
    return std::span(crossings_)
        .subspan(static_cast<size_t>(kind.first), static_cast<size_t>(kind.count));
  }
  int64_t unreachable() const { return unreachable_; }  // pairs without a way, of no kind

  // Pairs of the kind on each of the links that the crossing stands for.
  int64_t OnEach(const Kind& kind, Crossing c) const {
    return c.nodes < 0
               ? kind.pairs
               : kind.pairs /
                     static_cast<int64_t>(node_kinds_[static_cast<size_t>(c.nodes)].nodes.size());
  }
  bool StandsFor(Crossing c, LinkId link) const {
    if (c.nodes < 0 || c.link == link) return c.link == link;
    const int ports = ports_per_node();
    return link < cluster_->ports() && link % ports == c.link % ports &&
           kind_of_node_[static_cast<size_t>(link / ports)] == c.nodes;
  }
  // Adds to every link, by LinkId, `amount(kind, crossing)` for each crossing that stands for it.
  template <class Number, class Amount>
  void AddTo(std::span<Number> links, const Amount& amount) const {
    const auto ports = static_cast<size_t>(ports_per_node());
    std::vector<Number> of_nodes(node_kinds_.size() * ports);
    for (const Kind& kind : kinds_)
      for (const Crossing& c : WayOf(kind)) {
        const auto link = static_cast<size_t>(c.link);
        Number& sum = c.nodes < 0 ? links[link]
                                  : of_nodes[static_cast<size_t>(c.nodes) * ports + link % ports];
        sum += amount(kind, c);
      }
    for (size_t k = 0; k < node_kinds_.size(); ++k)
      for (const int node : node_kinds_[k].nodes) {
        const size_t first = static_cast<size_t>(node) * ports;
        // The last node may be short of GPUs.
        for (size_t p = 0; p < ports && first + p < links.size(); ++p)
          links[first + p] += of_nodes[k * ports + p];
      }
  }

  // Tells nodes apart whose ports differ in `color`, by LinkId; whether there are more kinds then.
  bool Split(std::span<const uint64_t> color);

 private:
  struct NodeKind {
    std::vector<int> nodes;   // ascending
    std::vector<int> places;  // of the group's GPUs in the node
  };
  void FindNodeKinds(const std::vector<int>& gpus);
  void FindKinds();
  void Add(int from, int to, Bytes bytes, int64_t pairs);
  Bytes BytesOf(bool same_node, bool same_index) const {
    return same_node ? bytes_.inside : same_index ? bytes_.rail : bytes_.across;
  }
  int GpuAt(int node, int place) const { return node * cluster_->gpus_per_node + place; }
  int ports_per_node() const { return 4 * cluster_->gpus_per_node; }

  EvenBytes bytes_;
  const Cluster* cluster_;
  const Routes* routes_;
  std::vector<NodeKind> node_kinds_;
  std::vector<int32_t> kind_of_node_;  // -1 without GPUs of the group
  std::vector<Kind> kinds_;
  std::vector<Crossing> crossings_;
  int64_t unreachable_ = 0;
};

}  // namespace moecast
