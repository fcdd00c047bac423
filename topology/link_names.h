// Links and switches by name, as answers print them and `--fail` takes them.
//
//   node3.gpu5.nic-out          a port; of a NIC that GPUs share, the first of them names it
//   node3.nvswitch              all NVLink ports of a node
//   unit0.leaf3, pod1.spine7    a switch with all its cables
//   unit0.leaf3.up.spine7       a cable, one direction
//   unit0.leaf3.up, pod1.down   all cables of a leaf, or of a pod's spines, in one direction
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "topology/cluster.h"

namespace moecast {

// REQUIRES of both: 0 <= link < NumberOfLinks.
std::string LinkName(const Cluster& cluster, LinkId link);
std::string_view LinkKindName(const Cluster& cluster,
                              LinkId link);  // "nic-out", "leaf-up", "spine-down"

// The link of that name. Throws UserError naming `option`, with the nearest name there is.
LinkId LinkByName(const Cluster& cluster, std::string_view name,
                  const std::string& option = "--fail");

// The cluster with what the names say taken out, beside what it lacks already: ports are cut, links
// between switches keep the cables that are left. Throws as LinkByName does.
Cluster Without(const Cluster& cluster, std::span<const std::string> names,
                const std::string& option = "--fail");

}  // namespace moecast
