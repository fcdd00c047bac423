// Ring collectives as NCCL runs them (NCCL-tests, doc/PERFORMANCE.md): n - 1 steps for all-gather and
// reduce-scatter, in each of which every rank sends 1/n of the buffer to its neighbour; all-reduce is one
// after the other. So a rank sends (n - 1)/n of the buffer, twice that for all-reduce: the bus-bandwidth
// factors.
//
// Between nodes NCCL lays one ring for each GPU of a node, every one leaving the node by another GPU, so that
// all network cards work: each ring carries its share of the buffer. Of the n - 1 steps that a part of the
// buffer takes, one less than there are nodes cross the network (NCCL 2.18, src/graph/tuning.cc:
// nInterSteps).
#include <algorithm>

#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

// Adds the traffic of one pass around the ring, in which every rank sends `sent` bytes in all.
void AddRing(Group group, Bytes sent, const Routes& routes, Traffic& traffic) {
  const size_t n = group.size();
  size_t local = 1;  // ranks on the first node; nodes of a plan's group hold equally many
  while (local < n && routes.SameNode(group[0], group[local])) ++local;
  const bool spans = local < n && n % local == 0;
  const size_t rings = spans ? local : 1;
  for (size_t r = 0; r < rings; ++r) {
    // Within each node the ring starts at its r-th rank, so that it enters there and leaves by the one
    // before.
    const auto at = [&](size_t i) {
      if (!spans) return group[i % n];
      const size_t j = i % n, node = j / local;
      return group[node * local + (j % local + r) % local];
    };
    for (size_t i = 0; i < n; ++i)
      traffic.Add(routes.Between(at(i), at(i + 1)), sent / static_cast<double>(rings));
  }
  int nodes = 1;
  for (size_t i = 0; i + 1 < n; ++i) nodes += !routes.SameNode(group[i], group[i + 1]);
  traffic.network_steps += nodes - 1;
  traffic.nvlink_steps += static_cast<int>(n) - nodes;
}

Traffic Ring(Group group, Bytes bytes, int passes, const Routes& routes) {
  Traffic traffic;
  const int n = static_cast<int>(group.size());
  if (n < 2 || bytes.value <= 0) return traffic;
  for (int pass = 0; pass < passes; ++pass) AddRing(group, bytes * (n - 1) / n, routes, traffic);
  traffic.Merge();
  return traffic;
}

}  // namespace

Traffic RingAllGather(Group group, Bytes bytes, const Routes& routes) {
  return Ring(group, bytes, 1, routes);
}
Traffic RingReduceScatter(Group group, Bytes bytes, const Routes& routes) {
  return Ring(group, bytes, 1, routes);
}
Traffic RingAllReduce(Group group, Bytes bytes, const Routes& routes) {
  return Ring(group, bytes, 2, routes);
}

}  // namespace moecast
