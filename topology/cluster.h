// A cluster: nodes of GPUs on an NVSwitch, network cards (NIC), and a fabric between the nodes.
// Links are directed and numbered: four ports per GPU, then the links between switches.
//
// A node may have fewer NICs than GPUs; neighbouring GPUs then share one, and its ports are those
// of the first of them. Nodes of several generations are pools; kernels run on the slowest of each
// of their devices' rates, for a step waits for its slowest rank, while every link has the rate of
// its own node. What has failed is part of the value: a link that is cut has no capacity, and
// routes go around it.
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

// The number of a GPU's port as a link, in every cluster the same. REQUIRES: 0 <= gpu.
constexpr LinkId LinkOf(int gpu, Port port) {
  return gpu * 4 + static_cast<int>(port);
}

// Nodes of one kind, where not all are: as many as `nodes`, behind those of the pools before.
struct NodePool {
  std::string device_name;
  int nodes = 1;
  std::optional<BytesPerSecond> nic;            // the cluster's where absent
  std::optional<BytesPerSecond> nic_usable;     // the cluster's where absent
  std::optional<BytesPerSecond> nvlink_usable;  // the device's where absent
  Device device;                                // of that name, with the pool's nvlink_usable

  bool operator==(const NodePool&) const = default;
};
const Fields<NodePool>& FieldsOf(const NodePool*);

// A fabric is built once and shared; it is compared by value.
struct BuiltFabric {
  std::shared_ptr<const Fabric> value;
  bool operator==(const BuiltFabric& o) const {
    return value == o.value || (value && o.value && *value == *o.value);
  }
};

// What a cluster file says, and what BuildCluster makes of it.
struct Cluster {
  std::string name;
  std::string device_name;  // the loader finds the device
  int gpus = 8;
  int gpus_per_node = 8;
  BytesPerSecond nic{50e9};                       // each direction, per NIC, datasheet
  BytesPerSecond nic_usable{48.5e9};              // each direction, per NIC, what collectives reach
  std::optional<BytesPerSecond> nvlink_usable;    // in place of the device's
  Bytes host_memory{2e12};                        // of a node
  BytesPerSecond host_bandwidth{614.4e9};         // of a node's host memory, datasheet
  Seconds collective_launch = Microseconds(4.4);  // a collective over nothing
  Seconds nvlink_step = Microseconds(0.85);       // each further step inside a node
  Seconds network_step = Microseconds(12);        // each step that crosses nodes
  std::optional<int> nics_per_node;               // one per GPU where absent
  std::vector<NodePool> pools;                    // none: all nodes alike
  FabricSpec fabric;
  Seconds bulk_launch = Microseconds(17);   // a collective by large pieces, over nothing
  Seconds token_launch = Microseconds(42);  // normal all-to-all kernels of tokens, over nothing
  Seconds low_latency_launch = Microseconds(22);  // low-latency all-to-all kernels, over nothing
  Seconds send_piece =
      Microseconds(0.92);  // each 128 KiB of a send over the network, beyond its bytes
  // Of the usable rates, what all-to-all kernels of tokens reach.
  double token_nvlink_share = 1, token_nic_share = 1;
  std::string source;

  // Built. The device has the cluster's nvlink_usable; of a cluster with pools it is the slowest of
  // each rate, under the name of the cluster's.
  Device device;
  BuiltFabric switches;     // of `fabric`; none: one switch that does not block
  std::vector<LinkId> cut;  // ports that have failed, ascending

  bool operator==(const Cluster&) const = default;
  int nodes() const { return (gpus + gpus_per_node - 1) / gpus_per_node; }
  int nics() const { return nics_per_node.value_or(gpus_per_node); }  // of a node
  int NodeOf(int gpu) const { return gpu / gpus_per_node; }
  int NicOf(int gpu) const {
    return gpu % gpus_per_node / (gpus_per_node / nics());
  }  // of its node
  // The GPU whose NIC ports are those of this GPU's NIC: the first that shares it.
  int NicOwner(int gpu) const { return gpu - gpu % (gpus_per_node / nics()); }
  LinkId ports() const { return 4 * gpus; }
};
const Fields<Cluster>& FieldsOf(const Cluster*);

// What cannot be: a JSON pointer into the file and what its value should have been.
struct ClusterFault {
  std::string pointer;
  std::string expected;
};
// What keeps it from being built of its device and one device per pool, in the order of `pools`;
// nothing where it can be.
std::optional<ClusterFault> CheckCluster(const Cluster& cluster, const Device& device,
                                         std::span<const Device> pool_devices);

// The cluster that its file describes, with its built members filled: of its device and one device
// per pool, in the order of `pools`. REQUIRES: !CheckCluster(...).
Cluster BuildCluster(Cluster cluster, const Device& device,
                     std::span<const Device> pool_devices = {});

// With its fabric as large as so many GPUs take; the last pool grows or shrinks. No value where the
// fabric cannot.
std::optional<Cluster> Resized(const Cluster& cluster, int gpus);

// Links are 0 to NumberOfLinks - 1: the ports of GPUs, then links between switches.
int NumberOfLinks(const Cluster& cluster);
// A port of a GPU, not a link between switches. REQUIRES: 0 <= link, here and below.
inline bool IsPort(const Cluster& cluster, LinkId link) {
  return link < cluster.ports();
}
// Of a port. REQUIRES: IsPort.
constexpr Port PortOf(LinkId link) {
  return static_cast<Port>(link % 4);
}
// Whose port it is. REQUIRES: IsPort.
constexpr int GpuOf(LinkId link) {
  return link / 4;
}
// A port of a NIC or a link between switches, not NVLink.
inline bool IsNetwork(const Cluster& cluster, LinkId link) {
  return !IsPort(cluster, link) || IsNic(PortOf(link));
}
// Numbers that name no link: NIC ports of GPUs that share another's NIC.
inline bool Exists(const Cluster& cluster, LinkId link) {
  return !IsNetwork(cluster, link) || !IsPort(cluster, link) ||
         cluster.NicOwner(GpuOf(link)) == GpuOf(link);
}

// What a port gives that has not failed, each direction: of NVLink what a collective reaches, of a
// NIC that or, where it is less, what its owner's PCIe lanes carry; of the node's own pool.
BytesPerSecond PortRate(const Cluster& cluster, int gpu, Port port);
BytesPerSecond SlowestPortRate(const Cluster& cluster, Port port);  // of all GPUs

// What flows on a link share: the rate that collectives reach of it, for a link between switches of
// all its cables that work; 0 where it has failed. REQUIRES: 0 <= link < NumberOfLinks.
BytesPerSecond CapacityOf(const Cluster& cluster, LinkId link);
// The same at the rates of the datasheets.
BytesPerSecond DatasheetRate(const Cluster& cluster, LinkId link);

}  // namespace moecast
