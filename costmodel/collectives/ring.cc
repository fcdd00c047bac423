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
// GEMM know neither: the buffer is cut into as many as there are ranks, and a step sends one whole
// (Transformer Engine, common/comm_gemm_overlap/comm_gemm_overlap.cpp, CommOverlapP2PBase: tp_size
// chunks, a userbuffers_send of one to the next rank in each of tp_size - 1 steps, beside the GEMM
// of the chunk before; its reduce-scatter sends each straight to its owner, as many bytes).
#include <algorithm>

#include "base/known.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

constexpr Known kRoundWait{
    0.5, "NCCL: two slices a piece; all-gather of NCCL 2.29 on 2 and 8 H100 fits 0.5"};

// Adds passes around the ring, in which every rank sends `sent` bytes in all. Without `closed`
// nothing is sent to the first rank.
//
// Between even nodes there are as many rings as a node has ranks: the r-th enters each node at its
// r-th rank, goes through all of its ranks, and leaves by the one before. So a rank's neighbour in
// its node is next in all rings but the one that leaves there.
void AddRing(Group group, Bytes sent, int passes, bool closed, const Routes& routes,
             Traffic& traffic) {
  const size_t n = group.size();
  const NodesOf on = NodesOfGroup(group, routes);
  traffic.network_steps += passes * (static_cast<int>(on.nodes) - 1);
  traffic.nvlink_steps += passes * static_cast<int>(n - on.nodes);
  if (sent.value <= 0) return;
  const auto send = [&](int from, int to, Bytes bytes) {
    if (closed || to != group[0]) traffic.Add(routes.Between(from, to), bytes);
  };
  if (on.nodes > 1 && on.even) {
    const size_t local = on.local;
    const Bytes of_ring = sent * (passes / static_cast<double>(local));
    for (size_t node = 0; node < n; node += local)
      for (size_t i = 0; i < local; ++i) {
        const int from = group[node + i];
        const size_t next = (i + 1) % local;
        if (local > 1) send(from, group[node + next], of_ring * static_cast<double>(local - 1));
        send(from, group[(node + local) % n + next], of_ring);
      }
  } else {
    for (size_t i = 0; i < n; ++i) send(group[i], group[(i + 1) % n], sent * passes);
  }
}

Traffic Ring(Group group, Bytes bytes, int passes, const Routes& routes, Transport transport) {
  Traffic traffic{.transport = transport};
  const int n = static_cast<int>(group.size());
  const int steps = passes * (n - 1);
  if (n < 2) return traffic;
  AddRing(group, bytes * (n - 1) / n, passes, true, routes, traffic);
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
  if (group.size() < 2) return traffic;
  AddRing(group, bytes, 1, false, routes, traffic);
  traffic.Merge();
  return traffic;
}

}  // namespace moecast
