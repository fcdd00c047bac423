// All-to-all of tokens to their experts' devices. Inside a node every rank sends straight to its peers.
// Across nodes in two hops: once to each node that has one of the token's experts, over the network to the
// GPU of the sender's own index, from there over NVLink to the devices (DeepSeek-V3, arXiv 2412.19437,
// section 3.2.2). Both hops run at once, so the busier link counts. Under uniform routing each device is
// equally likely, the sender's own included, whose tokens stay.
#include <algorithm>

#include "costmodel/collectives/collectives.h"

namespace moecast {

Traffic ExpertAllToAll(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes) {
  Traffic traffic;
  const size_t n = group.size();
  if (n < 2 || bytes.value <= 0) return traffic;
  const Bytes to_device = bytes * (spread.devices / static_cast<double>(n));
  size_t local = 1;
  while (local < n && routes.SameNode(group[0], group[local])) ++local;
  const size_t nodes = (n + local - 1) / local;
  const Bytes to_node = bytes * (spread.nodes / static_cast<double>(nodes));
  // One GPU a node: what goes to the node goes to the device.
  const bool two_hops = nodes > 1 && local > 1 && n % local == 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      if (i == j) continue;
      if (!two_hops || i / local == j / local) {
        traffic.Add(routes.Between(group[i], group[j]), to_device);
        continue;
      }
      const size_t relay = j / local * local + i % local;
      if (relay == j)
        traffic.Add(routes.Between(group[i], group[relay]), to_node);
      else
        traffic.Add(routes.Between(group[relay], group[j]), to_device);
    }
  }
  traffic.nvlink_steps = local > 1 ? 1 : 0;
  traffic.network_steps = nodes > 1 ? 1 : 0;
  traffic.Merge();
  return traffic;
}

}  // namespace moecast
