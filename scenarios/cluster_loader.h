// Devices and clusters by built-in name or by the path of a file. Unknown names list the nearest.
#pragma once

#include <string>

#include "topology/cluster.h"

namespace moecast {

Device LoadDevice(const std::string& name_or_path);
Cluster LoadCluster(const std::string& name_or_path);
// `file` is for messages.
Cluster ClusterFromText(const std::string& text, const std::string& file);

}  // namespace moecast
