// Which links the bytes between two GPUs take. Computed from the GPU numbers; topology/graph.h finds the same
// paths by search, which the tests compare.
#pragma once

#include <array>
#include <span>

#include "topology/cluster.h"

namespace moecast {

struct Path {
  std::array<LinkId, 2> links{};
  int size = 0;
  std::span<const LinkId> span() const { return {links.data(), static_cast<size_t>(size)}; }
};

class Routes {
 public:
  explicit Routes(const Cluster& cluster) : gpus_per_node_(cluster.gpus_per_node) {}

  // Inside a node over NVLink, between nodes through the GPUs' own NICs; nothing from a GPU to itself.
  Path Between(int from, int to) const {
    if (from == to) return {};
    const bool same = SameNode(from, to);
    return {{LinkOf(from, same ? Port::kNvlinkOut : Port::kNicOut),
             LinkOf(to, same ? Port::kNvlinkIn : Port::kNicIn)},
            2};
  }
  bool SameNode(int a, int b) const { return a / gpus_per_node_ == b / gpus_per_node_; }
  int gpus_per_node() const { return gpus_per_node_; }

 private:
  int gpus_per_node_;
};

}  // namespace moecast
