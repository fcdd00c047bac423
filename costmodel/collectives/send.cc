// Activations to the next pipeline stage and gradients back: every rank of the stage sends its part
// at once. Over the network NCCL sends in pieces of 128 KiB, each at a cost
// (topology/transport.cc).
#include "base/check.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {

Traffic Send(Group from, Group to, Bytes bytes, const Routes& routes) {
  MOECAST_CHECK(from.size() == to.size());
  Traffic traffic{.transport = Transport::kPointToPoint};
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i] || bytes.value <= 0) continue;
    traffic.Add(routes.Between(from[i], to[i]), bytes);
    (routes.SameNode(from[i], to[i]) ? traffic.nvlink_steps : traffic.network_steps) = 1;
  }
  traffic.Merge();
  return traffic;
}

}  // namespace moecast
