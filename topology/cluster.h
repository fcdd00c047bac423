// A cluster of equal nodes: GPUs on an NVSwitch, one network card (NIC) per GPU, a network between the nodes
// that does not block. Links are directed and numbered: four ports per GPU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"
#include "topology/device.h"

namespace moecast {

struct Cluster {
  std::string name;
  Device device;
  int gpus = 8;
  int gpus_per_node = 8;
  BytesPerSecond nic{50e9};                       // each direction, per GPU, datasheet
  BytesPerSecond nic_usable{48.5e9};              // each direction, per GPU, what collectives reach
  Bytes host_memory{2e12};                        // of a node
  BytesPerSecond host_bandwidth{614.4e9};         // of a node's host memory, datasheet
  Seconds collective_launch = Microseconds(4.4);  // a collective over nothing
  Seconds nvlink_step = Microseconds(0.85);       // each further step inside a node
  Seconds network_step = Microseconds(12);        // each step that crosses nodes

  bool operator==(const Cluster&) const = default;
  int nodes() const { return (gpus + gpus_per_node - 1) / gpus_per_node; }
  int NodeOf(int gpu) const { return gpu / gpus_per_node; }
};

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
  std::string source;
};
const Fields<ClusterSpec>& FieldsOf(const ClusterSpec*);

Cluster BuildCluster(const ClusterSpec& spec, const Device& device);

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

constexpr LinkId LinkOf(int gpu, Port port) {
  return gpu * 4 + static_cast<int>(port);
}
constexpr Port PortOf(LinkId link) {
  return static_cast<Port>(link % 4);
}
constexpr int GpuOf(LinkId link) {
  return link / 4;
}
constexpr bool IsNetwork(LinkId link) {
  return PortOf(link) == Port::kNicOut || PortOf(link) == Port::kNicIn;
}

// Links are 0 to NumberOfLinks - 1.
constexpr int NumberOfLinks(const Cluster& cluster) {
  return LinkOf(cluster.gpus, Port::kNvlinkOut);
}

BytesPerSecond CapacityOf(const Cluster& cluster, LinkId link);  // usable
std::string LinkName(const Cluster& cluster, LinkId link);       // "node3.gpu5.nic-out"

}  // namespace moecast
