#include "scenarios/cluster_loader.h"

#include "base/fields.h"
#include "base/json.h"
#include "scenarios/named_text.h"

namespace moecast {

Device LoadDevice(const std::string& name_or_path) {
  const NamedText named = ReadNamed("devices", "device", name_or_path);
  return Codec<Device>::Table().Parse(JsonCursor(ParseJson(named.text, named.file)));
}

Cluster LoadCluster(const std::string& name_or_path) {
  const NamedText named = ReadNamed("clusters", "cluster", name_or_path);
  return ClusterFromText(named.text, named.file);
}

Cluster ClusterFromText(const std::string& text, const std::string& file) {
  const JsonCursor root(ParseJson(text, file));
  Cluster cluster = Codec<Cluster>::Table().Parse(root);
  const Device device = LoadDevice(cluster.device_name);
  std::vector<Device> pool_devices;
  for (const NodePool& pool : cluster.pools) pool_devices.push_back(LoadDevice(pool.device_name));
  if (const auto fault = CheckCluster(cluster, device, pool_devices))
    root.FailBelow(fault->pointer, fault->expected);
  return BuildCluster(std::move(cluster), device, pool_devices);
}

}  // namespace moecast
