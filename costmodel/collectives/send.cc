// Activations to the next pipeline stage and gradients back: every rank of the stage sends its part at once.
#include "base/check.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {

Traffic Send(Group from, Group to, Bytes bytes, const Routes& routes) {
  MOECAST_CHECK(from.size() == to.size());
  Traffic traffic;
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i] || bytes.value <= 0) continue;
    traffic.Add(routes.Between(from[i], to[i]), bytes);
    (routes.SameNode(from[i], to[i]) ? traffic.nvlink_steps : traffic.network_steps) = 1;
  }
  traffic.Merge();
  return traffic;
}

}  // namespace moecast
