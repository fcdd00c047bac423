#include "topology/cluster.h"

#include "base/fields.h"
namespace moecast {

const Fields<ClusterSpec>& FieldsOf(const ClusterSpec*) {
  constexpr Limits kRate{.low = 1e3, .high = 1e15};
  constexpr Limits kLatency{.low = 0, .high = 1};
  static const Fields<ClusterSpec> fields(
      "cluster",
      {
          RequiredRow("name", &ClusterSpec::name, "name of the cluster"),
          RequiredRow("device", &ClusterSpec::device, "name of its GPU: a built-in device or a file"),
          RequiredRow("gpus", &ClusterSpec::gpus, "GPUs in all", {.low = 1, .high = 1 << 20}),
          Row("gpus_per_node", &ClusterSpec::gpus_per_node, "GPUs that share an NVSwitch",
              {.low = 1, .high = 1024}),
          Row("nic", &ClusterSpec::nic, "network card of each GPU, each direction, datasheet", kRate),
          Row("nic_usable", &ClusterSpec::nic_usable, "what collectives reach of it", kRate),
          Row("host_memory", &ClusterSpec::host_memory, "memory of a node's host",
              {.low = 1e6, .high = 1e18}),
          Row("host_bandwidth", &ClusterSpec::host_bandwidth, "bandwidth of that memory, datasheet", kRate),
          Row("nvlink_usable", &ClusterSpec::nvlink_usable,
              "NVLink rate a collective reaches, each direction; the device's where absent", kRate),
          Row("collective_launch", &ClusterSpec::collective_launch, "time of a collective over no data",
              kLatency),
          Row("nvlink_step", &ClusterSpec::nvlink_step, "time each step inside a node adds", kLatency),
          Row("network_step", &ClusterSpec::network_step, "time each step between nodes adds", kLatency),
          RequiredRow("source", &ClusterSpec::source, "where the figures come from"),
      });
  return fields;
}

Cluster BuildCluster(const ClusterSpec& spec, const Device& device) {
  Cluster c{.name = spec.name, .device = device, .gpus = spec.gpus, .gpus_per_node = spec.gpus_per_node};
  c.nic = spec.nic;
  c.nic_usable = spec.nic_usable;
  c.host_memory = spec.host_memory;
  c.host_bandwidth = spec.host_bandwidth;
  if (spec.nvlink_usable) c.device.nvlink_usable = *spec.nvlink_usable;
  c.collective_launch = spec.collective_launch;
  c.nvlink_step = spec.nvlink_step;
  c.network_step = spec.network_step;
  return c;
}

BytesPerSecond CapacityOf(const Cluster& cluster, LinkId link) {
  return IsNetwork(link) ? cluster.nic_usable : cluster.device.nvlink_usable;
}

std::string LinkName(const Cluster& cluster, LinkId link) {
  const int gpu = GpuOf(link);
  return "node" + std::to_string(cluster.NodeOf(gpu)) + ".gpu" + std::to_string(gpu % cluster.gpus_per_node) +
         "." + std::string(NameOf(PortOf(link)));
}

}  // namespace moecast
