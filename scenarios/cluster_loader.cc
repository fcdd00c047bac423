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
  const ClusterSpec spec = Codec<ClusterSpec>::Table().Parse(JsonCursor(ParseJson(named.text, named.file)));
  return BuildCluster(spec, LoadDevice(spec.device));
}

}  // namespace moecast
