// Ring collectives as NCCL runs them (NCCL-tests, doc/PERFORMANCE.md): n - 1 steps for all-gather
// and reduce-scatter, in each of which every rank sends 1/n of the buffer to its neighbour;
// all-reduce is one after the other. So a rank sends (n - 1)/n of the buffer, twice that for
// all-reduce: the bus-bandwidth factors. A broadcast goes down the ring from the first rank, all of
// it over every link but the last.
//
// Between nodes NCCL lays one ring for each GPU of a node, every one leaving the node by another
// GPU, so that all network cards work: each ring carries its share of the buffer. Of the n - 1
// steps that a part of the buffer takes, one less than there are nodes cross the network (NCCL
// 2.18, src/graph/tuning.cc: nInterSteps).
//
// A large buffer goes around in rounds, of each of which every rank sends one piece a step; a piece
// is passed on in two slices (NCCL: ALLGATHER_SLICESTEPS is half of ALLGATHER_CHUNKSTEPS), and a
// round ends with the wait for the last slice: half a step more than there are steps. Chunks of a
// GEMM know no rounds.
#include <algorithm>

#include "base/known.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

constexpr Known kRoundWait{
    0.5, "NCCL: two slices a piece; all-gather of NCCL 2.29 on 2 and 8 H100 fits 0.5"};

// Adds one pass around the ring, in which every rank sends `sent` bytes in all. Without `closed`
// nothing is sent to the first rank.
void AddRing(Group group, Bytes sent, bool closed, const Routes& routes, Traffic& traffic) {
  const size_t n = group.size();
  const NodesOf on = NodesOfGroup(group, routes);
  const bool spans = on.nodes > 1 && on.even;
  const size_t rings = spans ? on.local : 1;
  for (size_t r = 0; r < rings; ++r) {
    // Within each node the ring starts at its r-th rank, so that it enters there and leaves by the
    // one before.
    const auto at = [&](size_t i) {
      if (!spans) return group[i % n];
      const size_t j = i % n, node = j / on.local;
      return group[node * on.local + (j % on.local + r) % on.local];
    };
    for (size_t i = 0; i < n; ++i)
      if (closed || at(i + 1) != group[0])
        traffic.Add(routes.Between(at(i), at(i + 1)), sent / static_cast<double>(rings));
  }
  traffic.network_steps += static_cast<int>(on.nodes) - 1;
  traffic.nvlink_steps += static_cast<int>(n - on.nodes);
}

Traffic Ring(Group group, Bytes bytes, int passes, const Routes& routes, Transport transport) {
  Traffic traffic{.transport = transport};
  const int n = static_cast<int>(group.size()), steps = passes * (n - 1);
  if (n < 2 || bytes.value <= 0) return traffic;
  for (int pass = 0; pass < passes; ++pass)
    AddRing(group, bytes * (n - 1) / n, true, routes, traffic);
  if (transport != Transport::kChunks) traffic.stretch = (steps + kRoundWait.value) / steps;
  traffic.Merge();
  return traffic;
}

}  // namespace

Traffic RingAllGather(Group group, Bytes bytes, const Routes& routes, Transport transport) {
  return Ring(group, bytes, 1, routes, transport);
}
Traffic RingReduceScatter(Group group, Bytes bytes, const Routes& routes, Transport transport) {
  return Ring(group, bytes, 1, routes, transport);
}
Traffic RingAllReduce(Group group, Bytes bytes, const Routes& routes, Transport transport) {
  return Ring(group, bytes, 2, routes, transport);
}
Traffic RingBroadcast(Group group, Bytes bytes, const Routes& routes, Transport transport) {
  Traffic traffic{.transport = transport};
  if (group.size() < 2 || bytes.value <= 0) return traffic;
  AddRing(group, bytes, false, routes, traffic);
  traffic.Merge();
  return traffic;
}

}  // namespace moecast
