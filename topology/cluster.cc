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

// Cables keep the cluster's rate, whatever its pools' NICs have.
BuiltFabric SwitchesOf(const Cluster& c) {
  if (c.fabric.kind == FabricKind::kNonBlocking) return {};
  return {std::make_shared<const Fabric>(TreeOf(c.fabric, c.nodes(), c.nics(), c.nic))};
}

// Of a node of the pool, or of a cluster without.
const Device& DeviceOf(const Cluster& c, const NodePool* pool) {
  return pool ? pool->device : c.device;
}
BytesPerSecond NicOf(const Cluster& c, const NodePool* pool) {
  return pool ? pool->nic.value_or(c.nic) : c.nic;
}
BytesPerSecond UsableNicOf(const Cluster& c, const NodePool* pool) {
  return pool ? pool->nic_usable.value_or(c.nic_usable) : c.nic_usable;
}
BytesPerSecond RateOf(const Cluster& c, const NodePool* pool, Port port) {
  const Device& device = DeviceOf(c, pool);
  return IsNic(port) ? std::min(UsableNicOf(c, pool), device.pcie_usable) : device.nvlink_usable;
}

std::string AtMost(const char* what, BytesPerSecond rate) {
  return std::string("at most ") + what + ", " + PrintRate(rate);
}

}  // namespace

const Fields<NodePool>& FieldsOf(const NodePool*) {
  static const Fields<NodePool> fields(
      "pool",
      {
          RequiredRow("device", &NodePool::device_name, "name of its GPU"),
          RequiredRow("nodes", &NodePool::nodes, "nodes of this kind", {.low = 1, .high = 1 << 20}),
          Row("nic", &NodePool::nic,
              "network card, each direction, datasheet; the cluster's where absent", kRate),
          Row("nic_usable", &NodePool::nic_usable,
              "what collectives reach of it; the cluster's where absent", kRate),
          Row("nvlink_usable", &NodePool::nvlink_usable,
              "NVLink rate a collective reaches; the device's where absent", kRate),
      });
  return fields;
}

const Fields<Cluster>& FieldsOf(const Cluster*) {
  constexpr Limits kLatency{.low = 0, .high = 1};
  static const Fields<Cluster> fields(
      "cluster",
      {
          RequiredRow("name", &Cluster::name, "name of the cluster"),
          RequiredRow(
              "device", &Cluster::device_name,
              "name of its GPU: a built-in device or a file; with pools, the one whose measured "
              "kernels stand "
              "for all"),
          RequiredRow("gpus", &Cluster::gpus, "GPUs in all", {.low = 1, .high = 1 << 20}),
          Row("gpus_per_node", &Cluster::gpus_per_node, "GPUs that share an NVSwitch",
              {.low = 1, .high = 1024}),
          Row("nics_per_node", &Cluster::nics_per_node,
              "network cards of a node; neighbouring GPUs share one where there are fewer; one per "
              "GPU where "
              "absent",
              {.low = 1, .high = 1024}),
          Row("nic", &Cluster::nic, "network card, each direction, datasheet", kRate),
          Row("nic_usable", &Cluster::nic_usable, "what collectives reach of it", kRate),
          Row("host_memory", &Cluster::host_memory, "memory of a node's host",
              {.low = 1e6, .high = 1e18}),
          Row("host_bandwidth", &Cluster::host_bandwidth, "bandwidth of that memory, datasheet",
              kRate),
          Row("nvlink_usable", &Cluster::nvlink_usable,
              "NVLink rate a collective reaches, each direction; the device's where absent", kRate),
          Row("collective_launch", &Cluster::collective_launch,
              "time of a collective over no data, by the protocol for few bytes", kLatency),
          Row("bulk_launch", &Cluster::bulk_launch, "the same by the protocol for many bytes",
              kLatency),
          Row("token_launch", &Cluster::token_launch,
              "the same of normal all-to-all kernels of tokens; the default is DeepEP's on 8 H100",
              kLatency),
          Row("low_latency_launch", &Cluster::low_latency_launch,
              "the same of low-latency all-to-all kernels", kLatency),
          Row("nvlink_step", &Cluster::nvlink_step, "time each step inside a node adds", kLatency),
          Row("network_step", &Cluster::network_step, "time each step between nodes adds",
              kLatency),
          Row("pools", &Cluster::pools, "nodes by kind, in order, where not all are alike",
              {.max_items = 64}),
          Row("fabric", &Cluster::fabric, "switches between the nodes"),
          Row("send_piece", &Cluster::send_piece,
              "time each 128 KiB of a send over the network takes beyond its bytes", kLatency),
          Row("token_nvlink_share", &Cluster::token_nvlink_share,
              "part of nvlink_usable that all-to-all kernels of tokens reach",
              {.low = 0.01, .high = 2}),
          Row("token_nic_share", &Cluster::token_nic_share,
              "part of nic_usable that all-to-all kernels of tokens reach",
              {.low = 0.01, .high = 2}),
          RequiredRow("source", &Cluster::source, "where the figures come from"),
      });
  return fields;
}

std::optional<ClusterFault> CheckCluster(const Cluster& c, const Device& device,
                                         std::span<const Device> pool_devices) {
  const int per_node = c.gpus_per_node;
  const int nics = c.nics();
  if (per_node % nics != 0)
    return ClusterFault{"/nics_per_node",
                        "a divisor of the " + std::to_string(per_node) + " GPUs of a node"};
  if (c.nic_usable > c.nic) return ClusterFault{"/nic_usable", AtMost("the card's rate", c.nic)};
  if (c.nvlink_usable && *c.nvlink_usable > device.nvlink)
    return ClusterFault{"/nvlink_usable", AtMost("the device's NVLink", device.nvlink)};
  const int nodes = c.nodes();
  int in_pools = 0;
  for (size_t i = 0; i < c.pools.size(); ++i) {
    const NodePool& p = c.pools[i];
    const std::string at = "/pools/" + std::to_string(i);
    in_pools += p.nodes;
    if (UsableNicOf(c, &p) > NicOf(c, &p))
      return ClusterFault{at + "/nic_usable", AtMost("the card's rate", NicOf(c, &p))};
    if (p.nvlink_usable && *p.nvlink_usable > pool_devices[i].nvlink)
      return ClusterFault{at + "/nvlink_usable",
                          AtMost("the device's NVLink", pool_devices[i].nvlink)};
  }
  if (!c.pools.empty() && (in_pools != nodes || c.gpus % per_node != 0))
    return ClusterFault{"/gpus", std::to_string(int64_t{in_pools} * per_node) +
                                     ", as many as the pools' " + std::to_string(in_pools) +
                                     " nodes have"};
  const bool tree = c.fabric.kind != FabricKind::kNonBlocking;
  if (tree && c.gpus % per_node != 0)
    return ClusterFault{"/gpus",
                        "whole nodes of " + std::to_string(per_node) + " under a fat tree"};
  if (const auto fault = CheckFabric(c.fabric, nodes, nics, c.nic))
    return ClusterFault{"/fabric" + fault->pointer, fault->expected};
  return std::nullopt;
}

Cluster BuildCluster(Cluster c, const Device& device, std::span<const Device> pool_devices) {
  MOECAST_CHECK(pool_devices.size() == c.pools.size());
  const auto with = [](Device d, std::optional<BytesPerSecond> nvlink_usable) {
    d.nvlink_usable = nvlink_usable.value_or(d.nvlink_usable);
    return d;
  };
  c.device = with(device, c.nvlink_usable);
  for (size_t i = 0; i < c.pools.size(); ++i) {
    c.pools[i].device = with(pool_devices[i], c.pools[i].nvlink_usable);
    c.device = Slower(c.device, c.pools[i].device);
  }
  c.switches = SwitchesOf(c);
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
  c.switches = SwitchesOf(c);
  return c;
}

int NumberOfLinks(const Cluster& c) {
  return c.ports() + (c.switches.value ? static_cast<int>(c.switches.value->links().size()) : 0);
}

BytesPerSecond PortRate(const Cluster& c, int gpu, Port port) {
  return RateOf(c, PoolOf(c, c.NodeOf(gpu)), port);
}

BytesPerSecond SlowestPortRate(const Cluster& c, Port port) {
  if (c.pools.empty()) return RateOf(c, nullptr, port);
  BytesPerSecond slowest = RateOf(c, &c.pools.front(), port);
  for (const NodePool& pool : c.pools) slowest = std::min(slowest, RateOf(c, &pool, port));
  return slowest;
}

BytesPerSecond CapacityOf(const Cluster& c, LinkId link) {
  if (!IsPort(c, link)) {
    // What a protocol leaves of a cable is what it leaves of a NIC.
    const BytesPerSecond cable = c.fabric.cable.value_or(c.nic) * (c.nic_usable / c.nic);
    return cable * SwitchLink(c, link).cables;
  }
  return IsCut(c, link) ? BytesPerSecond(0) : PortRate(c, GpuOf(link), PortOf(link));
}

BytesPerSecond DatasheetRate(const Cluster& c, LinkId link) {
  if (!IsPort(c, link)) return c.fabric.cable.value_or(c.nic) * SwitchLink(c, link).cables;
  if (IsCut(c, link)) return BytesPerSecond(0);
  const NodePool* pool = PoolOf(c, c.NodeOf(GpuOf(link)));
  return IsNic(PortOf(link)) ? NicOf(c, pool) : DeviceOf(c, pool).nvlink;
}

}  // namespace moecast
