// Which links the bytes between two GPUs take; topology/graph.h finds shortest paths by search,
// which the tests compare.
//
// In order of preference: NVLink inside a node; the GPUs' own NICs and the fabric between them;
// where these are not connected (other planes, failures), over NVLink to a GPU of the sender's node
// that has a NIC that is (NCCL's PXN), first one of the receiver's rail; then from the NIC of a GPU
// of the receiver's node; then both. Where none of these leads there, no path exists, which is an
// answer.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "topology/cluster.h"

namespace moecast {

struct Path {
  // NVLink to a neighbour, NIC, two layers up and down, NIC, NVLink from a neighbour: 2 + 1 + 4 + 1
  // + 2.
  static constexpr int kLongest = 10;
  int32_t size = 0;  // negative: no way
  std::array<LinkId, kLongest> links;

  bool exists() const { return size >= 0; }
  std::span<const LinkId> span() const { return {links.data(), static_cast<size_t>(size)}; }
  void Push(LinkId link) { links[static_cast<size_t>(size++)] = link; }
};

class Routes {
 public:
  explicit Routes(const Cluster& cluster);

  // Nothing from a GPU to itself. With ecmp, flows between two GPUs with different labels may take
  // different ways.
  Path Between(int from, int to, uint32_t flow_label = 0) const {
    if (!plain_) return Search(from, to, flow_label);
    Path path;
    if (from == to) return path;
    const bool same = SameNode(from, to);
    path.Push(LinkOf(from, same ? Port::kNvlinkOut : Port::kNicOut));
    path.Push(LinkOf(to, same ? Port::kNvlinkIn : Port::kNicIn));
    return path;
  }
  // One switch that does not block, a NIC per GPU and nothing failed: two ports make a path.
  bool plain() const { return plain_; }
  bool SameNode(int a, int b) const { return a / gpus_per_node_ == b / gpus_per_node_; }
  int gpus_per_node() const { return gpus_per_node_; }

 private:
  Path Search(int from, int to, uint32_t flow_label) const;
  bool OverNvlink(int from, int to, Path& path) const;
  bool OverNics(int from, int to, uint64_t key, Path& path) const;
  bool Works(LinkId port) const;
  int NicOwner(int gpu) const;
  int RailOf(int gpu) const { return gpu % gpus_per_node_ / gpus_per_nic_; }

  int gpus_;
  int gpus_per_node_;
  int gpus_per_nic_;
  bool plain_;
  std::vector<LinkId> cut_;
  std::shared_ptr<const Fabric> fabric_;  // none: one switch that does not block
};

}  // namespace moecast
