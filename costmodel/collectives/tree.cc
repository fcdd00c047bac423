// All-reduce up a tree and down again, as NCCL does where latency counts (NCCL 2.18,
// src/graph/tuning.cc): a chain through the ranks of each node, a binary tree over the nodes' first
// ranks. 2 (local - 1) steps inside nodes and 2 log2(nodes) between them, where a ring takes 2 (n -
// 1). Of NCCL's two complementary trees, each with half of the buffer, one is laid here: for the
// few bytes this is for, links do not matter.
#include <bit>

#include "costmodel/collectives/collectives.h"

namespace moecast {

Traffic TreeAllReduce(Group group, Bytes bytes, const Routes& routes) {
  Traffic traffic{.transport = Transport::kLines};
  if (group.size() < 2) return traffic;
  const auto both_ways = [&](int a, int b) {
    if (bytes.value <= 0) return;
    traffic.Add(routes.Between(a, b), bytes);
    traffic.Add(routes.Between(b, a), bytes);
  };
  std::vector<int> heads;  // the first rank of each node
  size_t longest = 0;
  size_t chain = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    if (i > 0 && routes.SameNode(group[i - 1], group[i])) {
      both_ways(group[i - 1], group[i]);
      longest = std::max(longest, ++chain);
    } else {
      heads.push_back(group[i]);
      chain = 0;
    }
  }
  for (size_t i = 1; i < heads.size(); ++i) both_ways(heads[i], heads[(i - 1) / 2]);
  traffic.nvlink_steps = 2 * static_cast<int>(longest);
  traffic.network_steps = 2 * (static_cast<int>(std::bit_width(heads.size())) - 1);
  traffic.Merge();
  return traffic;
}

}  // namespace moecast
