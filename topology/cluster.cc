#include "topology/cluster.h"

#include <algorithm>

#include "base/check.h"
#include "base/fields.h"
#include "base/quantity_text.h"
namespace moecast {
namespace {

constexpr Limits kRate{.low = 1e3, .high = 1e15};

const NodePool* PoolOf(const Cluster& c, int node) {
  if (c.pools.empty()) return nullptr;
  const NodePool* pool = c.pools.data();
  for (; node >= pool->nodes && pool != &c.pools.back(); ++pool) node -= pool->nodes;
  return pool;
}

bool IsCut(const Cluster& c, LinkId port) {
  return !c.cut.empty() && std::binary_search(c.cut.begin(), c.cut.end(), port);
}

const Fabric::Link& SwitchLink(const Cluster& c, LinkId link) {
  return c.switches.value->links()[static_cast<size_t>(link - c.ports())];
}

// The slowest of each rate, under the first one's name.
Device Slower(Device a, const Device& b) {
  a.sms = std::min(a.sms, b.sms);
  a.bf16_peak = std::min(a.bf16_peak, b.bf16_peak);
  a.fp8_peak = std::min(a.fp8_peak, b.fp8_peak);
  a.hbm = std::min(a.hbm, b.hbm);
  a.memory = std::min(a.memory, b.memory);
  a.nvlink = std::min(a.nvlink, b.nvlink);
  a.nvlink_usable = std::min(a.nvlink_usable, b.nvlink_usable);
  a.pcie_usable = std::min(a.pcie_usable, b.pcie_usable);
  return a;
}

BuiltFabric Build(const Cluster& c, const FabricSpec& spec) {
  if (spec.kind == FabricKind::kNonBlocking) return {};
  return {std::make_shared<const Fabric>(TreeOf(spec, c.nodes(), c.nics(), c.nic))};
}

std::string AtMost(const char* what, BytesPerSecond rate) {
  return std::string("at most ") + what + ", " + PrintRate(rate);
}

}  // namespace

const Fields<PoolSpec>& FieldsOf(const PoolSpec*) {
  static const Fields<PoolSpec> fields(
      "pool",
      {
          RequiredRow("device", &PoolSpec::device, "name of its GPU"),
          RequiredRow("nodes", &PoolSpec::nodes, "nodes of this kind", {.low = 1, .high = 1 << 20}),
          Row("nic", &PoolSpec::nic, "network card, each direction, datasheet", kRate),
          Row("nic_usable", &PoolSpec::nic_usable, "what collectives reach of it", kRate),
          Row("nvlink_usable", &PoolSpec::nvlink_usable,
              "NVLink rate a collective reaches; the device's where absent", kRate),
      });
  return fields;
}

const Fields<ClusterSpec>& FieldsOf(const ClusterSpec*) {
  constexpr Limits kLatency{.low = 0, .high = 1};
  static const Fields<ClusterSpec> fields(
      "cluster",
      {
          RequiredRow("name", &ClusterSpec::name, "name of the cluster"),
          RequiredRow(
              "device", &ClusterSpec::device,
              "name of its GPU: a built-in device or a file; with pools, the one whose measured "
              "kernels stand "
              "for all"),
          RequiredRow("gpus", &ClusterSpec::gpus, "GPUs in all", {.low = 1, .high = 1 << 20}),
          Row("gpus_per_node", &ClusterSpec::gpus_per_node, "GPUs that share an NVSwitch",
              {.low = 1, .high = 1024}),
          Row("nics_per_node", &ClusterSpec::nics_per_node,
              "network cards of a node; neighbouring GPUs share one where there are fewer; one per "
              "GPU where "
              "absent",
              {.low = 1, .high = 1024}),
          Row("nic", &ClusterSpec::nic, "network card, each direction, datasheet", kRate),
          Row("nic_usable", &ClusterSpec::nic_usable, "what collectives reach of it", kRate),
          Row("host_memory", &ClusterSpec::host_memory, "memory of a node's host",
              {.low = 1e6, .high = 1e18}),
          Row("host_bandwidth", &ClusterSpec::host_bandwidth, "bandwidth of that memory, datasheet",
              kRate),
          Row("nvlink_usable", &ClusterSpec::nvlink_usable,
              "NVLink rate a collective reaches, each direction; the device's where absent", kRate),
          Row("collective_launch", &ClusterSpec::collective_launch,
              "time of a collective over no data, by the protocol for few bytes", kLatency),
          Row("bulk_launch", &ClusterSpec::bulk_launch, "the same by the protocol for many bytes",
              kLatency),
          Row("low_latency_launch", &ClusterSpec::low_latency_launch,
              "the same of low-latency all-to-all kernels", kLatency),
          Row("nvlink_step", &ClusterSpec::nvlink_step, "time each step inside a node adds",
              kLatency),
          Row("network_step", &ClusterSpec::network_step, "time each step between nodes adds",
              kLatency),
          Row("pools", &ClusterSpec::pools, "nodes by kind, in order, where not all are alike",
              {.max_items = 64}),
          Row("fabric", &ClusterSpec::fabric, "switches between the nodes"),
          Row("send_piece", &ClusterSpec::send_piece,
              "time each 128 KiB of a send over the network takes beyond its bytes", kLatency),
          Row("token_nvlink_share", &ClusterSpec::token_nvlink_share,
              "part of nvlink_usable that all-to-all kernels of tokens reach",
              {.low = 0.01, .high = 2}),
          Row("token_nic_share", &ClusterSpec::token_nic_share,
              "part of nic_usable that all-to-all kernels of tokens reach",
              {.low = 0.01, .high = 2}),
          RequiredRow("source", &ClusterSpec::source, "where the figures come from"),
      });
  return fields;
}

std::optional<ClusterFault> CheckCluster(const ClusterSpec& spec, const Device& device,
                                         std::span<const Device> pool_devices) {
  const int per_node = spec.gpus_per_node, nics = spec.nics_per_node.value_or(per_node);
  if (per_node % nics != 0)
    return ClusterFault{"/nics_per_node",
                        "a divisor of the " + std::to_string(per_node) + " GPUs of a node"};
  if (spec.nic_usable > spec.nic)
    return ClusterFault{"/nic_usable", AtMost("the card's rate", spec.nic)};
  if (spec.nvlink_usable && *spec.nvlink_usable > device.nvlink)
    return ClusterFault{"/nvlink_usable", AtMost("the device's NVLink", device.nvlink)};
  const int nodes = (spec.gpus + per_node - 1) / per_node;
  int in_pools = 0;
  for (size_t i = 0; i < spec.pools.size(); ++i) {
    const PoolSpec& p = spec.pools[i];
    const std::string at = "/pools/" + std::to_string(i);
    in_pools += p.nodes;
    if (p.nic_usable > p.nic)
      return ClusterFault{at + "/nic_usable", AtMost("the card's rate", p.nic)};
    if (p.nvlink_usable && *p.nvlink_usable > pool_devices[i].nvlink)
      return ClusterFault{at + "/nvlink_usable",
                          AtMost("the device's NVLink", pool_devices[i].nvlink)};
  }
  if (!spec.pools.empty() && (in_pools != nodes || spec.gpus % per_node != 0))
    return ClusterFault{"/gpus", std::to_string(int64_t{in_pools} * per_node) +
                                     ", as many as the pools' " + std::to_string(in_pools) +
                                     " nodes have"};
  const bool tree = spec.fabric.kind != FabricKind::kNonBlocking;
  if (tree && spec.gpus % per_node != 0)
    return ClusterFault{"/gpus",
                        "whole nodes of " + std::to_string(per_node) + " under a fat tree"};
  if (const auto fault = CheckFabric(spec.fabric, nodes, nics, spec.nic))
    return ClusterFault{"/fabric" + fault->pointer, fault->expected};
  return std::nullopt;
}

Cluster BuildCluster(const ClusterSpec& spec, const Device& device,
                     std::span<const Device> pool_devices) {
  MOECAST_CHECK(pool_devices.size() == spec.pools.size());
  Cluster c{
      .name = spec.name, .device = device, .gpus = spec.gpus, .gpus_per_node = spec.gpus_per_node};
  c.nic = spec.nic;
  c.nic_usable = spec.nic_usable;
  c.host_memory = spec.host_memory;
  c.host_bandwidth = spec.host_bandwidth;
  if (spec.nvlink_usable) c.device.nvlink_usable = *spec.nvlink_usable;
  c.collective_launch = spec.collective_launch;
  c.nvlink_step = spec.nvlink_step;
  c.network_step = spec.network_step;
  c.nics_per_node = spec.nics_per_node.value_or(0);
  c.fabric = spec.fabric;
  c.switches = Build(c, spec.fabric);
  for (size_t i = 0; i < spec.pools.size(); ++i) {
    const PoolSpec& p = spec.pools[i];
    Device d = pool_devices[i];
    if (p.nvlink_usable) d.nvlink_usable = *p.nvlink_usable;
    c.pools.push_back(
        {p.nodes, p.device, d.nvlink, d.nvlink_usable, d.pcie_usable, p.nic, p.nic_usable});
    // Cables keep the cluster's rate, which BuildCluster read above.
    c.device = Slower(c.device, d);
  }
  c.bulk_launch = spec.bulk_launch;
  c.low_latency_launch = spec.low_latency_launch;
  c.send_piece = spec.send_piece;
  c.token_nvlink_share = spec.token_nvlink_share;
  c.token_nic_share = spec.token_nic_share;
  return c;
}

std::optional<Cluster> Resized(const Cluster& cluster, int gpus) {
  Cluster c = cluster;
  c.gpus = gpus;
  if (!c.pools.empty()) {
    int before = 0;
    for (const NodePool& p : c.pools) before += p.nodes;
    c.pools.back().nodes += c.nodes() - before;
    if (c.pools.back().nodes < 1) return std::nullopt;
  }
  if (CheckFabric(c.fabric, c.nodes(), c.nics(), c.nic)) return std::nullopt;
  c.switches = Build(c, c.fabric);
  return c;
}

int NumberOfLinks(const Cluster& c) {
  return c.ports() + (c.switches.value ? static_cast<int>(c.switches.value->links().size()) : 0);
}

BytesPerSecond CapacityOf(const Cluster& c, LinkId link) {
  if (!IsPort(c, link)) {
    // What a protocol leaves of a cable is what it leaves of a NIC.
    const BytesPerSecond cable = c.fabric.cable.value_or(c.nic) * (c.nic_usable / c.nic);
    return cable * SwitchLink(c, link).cables;
  }
  if (IsCut(c, link)) return BytesPerSecond(0);
  const NodePool* pool = PoolOf(c, c.NodeOf(GpuOf(link)));
  if (!IsNic(PortOf(link))) return pool ? pool->nvlink_usable : c.device.nvlink_usable;
  return pool ? std::min(pool->nic_usable, pool->pcie_usable)
              : std::min(c.nic_usable, c.device.pcie_usable);
}

BytesPerSecond DatasheetRate(const Cluster& c, LinkId link) {
  if (!IsPort(c, link)) return c.fabric.cable.value_or(c.nic) * SwitchLink(c, link).cables;
  if (IsCut(c, link)) return BytesPerSecond(0);
  const NodePool* pool = PoolOf(c, c.NodeOf(GpuOf(link)));
  if (!IsNic(PortOf(link))) return pool ? pool->nvlink : c.device.nvlink;
  return pool ? pool->nic : c.nic;
}

}  // namespace moecast
