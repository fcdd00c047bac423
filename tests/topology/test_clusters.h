// Small clusters for tests: NVLink 200 GB/s, NICs and cables 50 GB/s, each direction.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "topology/cluster.h"
#include "topology/link_names.h"

namespace moecast {

inline Device TestDevice() {
  Device d{.name = "test"};
  d.nvlink = GBps(200);
  d.nvlink_usable = GBps(160);
  return d;
}

inline Cluster NodesOf8(int nodes, const FabricSpec& fabric, int nics_per_node = 8) {
  Cluster spec{.name = "test", .gpus = 8 * nodes, .nic = GBps(50), .nic_usable = GBps(40)};
  spec.nics_per_node = nics_per_node;
  spec.fabric = fabric;
  return BuildCluster(spec, TestDevice());
}

// Four nodes in units of two; two spines, 1:1.
inline FabricSpec SmallTree(LoadBalancing balancing = LoadBalancing::kEcmp) {
  return {.kind = FabricKind::kFatTree,
          .nodes_per_leaf = 2,
          .switch_ports = 24,
          .load_balancing = balancing};
}

inline Cluster Without(const Cluster& c, std::initializer_list<std::string> names) {
  return Without(c, std::span<const std::string>(names.begin(), names.size()));
}

}  // namespace moecast
