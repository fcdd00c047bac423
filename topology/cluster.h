// A cluster: nodes of GPUs on an NVSwitch, network cards (NIC), and a fabric between the nodes.
// Links are directed and numbered: four ports per GPU, then the links between switches.
//
// A node may have fewer NICs than GPUs; neighbouring GPUs then share one, and its ports are those
// of the first of them. Nodes of several generations are pools; the cost model reads the slowest of
// each rate, for a step waits for its slowest rank, while every link has the rate of its own node.
// What has failed is part of the value: a link that is cut has no capacity, and routes go around
// it.
//
// Left out: PCIe switches and sockets (a NIC's own lanes, Gen5 x16, carry 63 GB/s where a 400 Gb/s
// NIC asks for 50); what does bind, the PCIe rate of a GPU below its NIC's, is taken into the NIC's
// ports.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"
#include "topology/device.h"
#include "topology/fabric.h"

namespace moecast {

using LinkId = int32_t;

// The ports of a GPU.
enum class Port : uint8_t { kNvlinkOut, kNvlinkIn, kNicOut, kNicIn };
template <>
struct EnumNames<Port> {
  static constexpr EnumName<Port> kNames[] = {{Port::kNvlinkOut, "nvlink-out"},
                                              {Port::kNvlinkIn, "nvlink-in"},
                                              {Port::kNicOut, "nic-out"},
                                              {Port::kNicIn, "nic-in"}};
};
constexpr bool IsNic(Port port) {
  return port == Port::kNicOut || port == Port::kNicIn;
}

constexpr LinkId LinkOf(int gpu, Port port) {
  return gpu * 4 + static_cast<int>(port);
}

// Nodes of one kind, where not all are: as many as `nodes`, behind those of the pools before.
struct NodePool {
  int nodes = 0;
  std::string device;
  BytesPerSecond nvlink, nvlink_usable, pcie_usable, nic, nic_usable;  // as of Device and Cluster
  bool operator==(const NodePool&) const = default;
};

// A fabric is built once and shared; it is compared by value.
struct BuiltFabric {
  std::shared_ptr<const Fabric> value;
  bool operator==(const BuiltFabric& o) const {
    return value == o.value || (value && o.value && *value == *o.value);
  }
};

struct Cluster {
  std::string name;
  Device device;  // of a cluster with pools: the slowest of each rate
  int gpus = 8;
  int gpus_per_node = 8;
  BytesPerSecond nic{50e9};                       // each direction, per NIC, datasheet
  BytesPerSecond nic_usable{48.5e9};              // each direction, per NIC, what collectives reach
  Bytes host_memory{2e12};                        // of a node
  BytesPerSecond host_bandwidth{614.4e9};         // of a node's host memory, datasheet
  Seconds collective_launch = Microseconds(4.4);  // a collective over nothing
  Seconds nvlink_step = Microseconds(0.85);       // each further step inside a node
  Seconds network_step = Microseconds(12);        // each step that crosses nodes
  int nics_per_node = 0;                          // 0: one per GPU
  std::vector<NodePool> pools = {};               // none: all nodes alike
  FabricSpec fabric = {};
  BuiltFabric switches = {};               // of `fabric`; none: one switch that does not block
  std::vector<LinkId> cut = {};            // ports that have failed, ascending
  Seconds bulk_launch = Microseconds(17);  // a collective by large pieces, over nothing
  Seconds low_latency_launch = Microseconds(22);  // low-latency all-to-all kernels, over nothing
  Seconds send_piece =
      Microseconds(0.92);  // each 128 KiB of a send over the network, beyond its bytes
  // Of the usable rates, what all-to-all kernels of tokens reach.
  double token_nvlink_share = 1, token_nic_share = 1;

  bool operator==(const Cluster&) const = default;
  int nodes() const { return (gpus + gpus_per_node - 1) / gpus_per_node; }
  int nics() const { return nics_per_node > 0 ? nics_per_node : gpus_per_node; }  // of a node
  int NodeOf(int gpu) const { return gpu / gpus_per_node; }
  int NicOf(int gpu) const {
    return gpu % gpus_per_node / (gpus_per_node / nics());
  }  // of its node
  // The GPU whose NIC ports are those of this GPU's NIC.
  int NicOwner(int gpu) const { return gpu - gpu % (gpus_per_node / nics()); }
  LinkId ports() const { return 4 * gpus; }
};

struct PoolSpec {
  std::string device;
  int nodes = 1;
  BytesPerSecond nic{50e9};
  BytesPerSecond nic_usable{48.5e9};
  std::optional<BytesPerSecond> nvlink_usable;
};
const Fields<PoolSpec>& FieldsOf(const PoolSpec*);

// What a cluster file says; `device` is a name the loader resolves.
struct ClusterSpec {
  std::string name;
  std::string device;
  int gpus = 8;
  int gpus_per_node = 8;
  BytesPerSecond nic{50e9};
  BytesPerSecond nic_usable{48.5e9};
  Bytes host_memory{2e12};
  BytesPerSecond host_bandwidth{614.4e9};
  std::optional<BytesPerSecond> nvlink_usable;  // in place of the device's
  Seconds collective_launch = Microseconds(4.4);
  Seconds nvlink_step = Microseconds(0.85);
  Seconds network_step = Microseconds(12);
  std::optional<int> nics_per_node;
  std::vector<PoolSpec> pools;
  FabricSpec fabric;
  Seconds bulk_launch = Microseconds(17);
  Seconds low_latency_launch = Microseconds(22);
  Seconds send_piece = Microseconds(0.92);
  double token_nvlink_share = 1, token_nic_share = 1;
  std::string source;
};
const Fields<ClusterSpec>& FieldsOf(const ClusterSpec*);

// What cannot be: a JSON pointer into the spec and what its value should have been.
struct ClusterFault {
  std::string pointer;
  std::string expected;
};
std::optional<ClusterFault> CheckCluster(const ClusterSpec& spec, const Device& device,
                                         std::span<const Device> pool_devices);

// REQUIRES: !CheckCluster(...); one device per pool.
Cluster BuildCluster(const ClusterSpec& spec, const Device& device,
                     std::span<const Device> pool_devices = {});

// With its fabric as large as so many GPUs take; the last pool grows or shrinks. No value where the
// fabric cannot.
std::optional<Cluster> Resized(const Cluster& cluster, int gpus);

// Links are 0 to NumberOfLinks - 1: the ports of GPUs, then links between switches.
int NumberOfLinks(const Cluster& cluster);
inline bool IsPort(const Cluster& cluster, LinkId link) {
  return link < cluster.ports();
}
// Of a port. REQUIRES: IsPort.
constexpr Port PortOf(LinkId link) {
  return static_cast<Port>(link % 4);
}
constexpr int GpuOf(LinkId link) {
  return link / 4;
}
inline bool IsNetwork(const Cluster& cluster, LinkId link) {
  return !IsPort(cluster, link) || IsNic(PortOf(link));
}
// Numbers that name no link: NIC ports of GPUs that share another's NIC.
inline bool Exists(const Cluster& cluster, LinkId link) {
  return !IsNetwork(cluster, link) || !IsPort(cluster, link) ||
         cluster.NicOwner(GpuOf(link)) == GpuOf(link);
}

BytesPerSecond CapacityOf(const Cluster& cluster, LinkId link);     // usable; 0 where it has failed
BytesPerSecond DatasheetRate(const Cluster& cluster, LinkId link);  // the same at datasheet rates

}  // namespace moecast
