// All-to-all of tokens to their experts' devices. Under uniform routing each device is equally
// likely, the sender's own included, whose tokens stay.
//
// Two hops: inside a node every rank sends straight to its peers; across nodes once to each node
// that has one of the token's experts, over the network to the GPU of the sender's own index, from
// there over NVLink to the devices (DeepSeek-V3, arXiv 2412.19437, section 3.2.2). Pipelined, as
// DeepEP's normal kernels are, both hops run at once and the busier link counts; store-and-forward,
// as a framework's two collectives, their times add. Direct: to each device straight, over the
// network as often as there are devices. Low latency: to the rank of each expert, a copy for each
// expert, as DeepEP's low-latency kernels do, over NVLink inside the node since June 2025.
#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

// Two hops need as many GPUs of the group, and more than one, on each of several nodes.
bool TwoHops(const NodesOf& on) {
  return on.nodes > 1 && on.local > 1 && on.even;
}

// Of as many experts or devices as a token has.
EvenSends Straight(Group group, Bytes bytes, double copies, Transport transport,
                   const Routes& routes) {
  const NodesOf on = NodesOfGroup(group, routes);
  const Bytes to_rank = bytes * (copies / static_cast<double>(group.size()));
  return {.steps = {.nvlink_steps = on.nodes < group.size() ? 1 : 0,
                    .network_steps = on.nodes > 1 ? 1 : 0,
                    .transport = transport},
          .bytes = {.inside = to_rank, .rail = to_rank, .across = to_rank}};
}

// Over the network to the rank of the sender's index. REQUIRES: TwoHops.
EvenSends ToNodes(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes) {
  const NodesOf on = NodesOfGroup(group, routes);
  return {.steps = {.network_steps = 1, .transport = Transport::kTokens},
          .bytes = {.rail = bytes * (spread.nodes / static_cast<double>(on.nodes))}};
}
// What a rank sends to its neighbours: its own, and what has come to it from those of its index.
EvenSends ToNeighbours(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes) {
  const NodesOf on = NodesOfGroup(group, routes);
  const Bytes to_device = bytes * (spread.devices / static_cast<double>(group.size()));
  return {.steps = {.nvlink_steps = 1, .transport = Transport::kTokens},
          .bytes = {.inside = to_device * static_cast<double>(on.nodes)}};
}

Traffic WrittenOut(Group group, const EvenSends& sends, const Routes& routes) {
  Traffic traffic = sends.steps;
  std::vector<int> index;  // of a rank among those of its node
  for (size_t i = 0; i < group.size(); ++i)
    index.push_back(i > 0 && routes.SameNode(group[i - 1], group[i]) ? index.back() + 1 : 0);
  const EvenBytes& bytes = sends.bytes;
  for (size_t i = 0; i < group.size(); ++i)
    for (size_t j = 0; j < group.size(); ++j) {
      const Bytes of_pair = routes.SameNode(group[i], group[j]) ? bytes.inside
                            : index[i] == index[j]              ? bytes.rail
                                                                : bytes.across;
      if (of_pair.value > 0) traffic.Add(routes.Between(group[i], group[j]), of_pair);
    }
  traffic.Merge();
  return traffic;
}

}  // namespace

Parts WrittenOut(Group group, std::span<const EvenSends> sends, const Routes& routes) {
  Parts parts;
  for (const EvenSends& part : sends) parts.push_back(WrittenOut(group, part, routes));
  return parts;
}

std::vector<EvenSends> TwoHopAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                      const Routes& routes) {
  if (!TwoHops(NodesOfGroup(group, routes)))
    return {Straight(group, bytes, spread.devices, Transport::kTokens, routes)};
  EvenSends both = ToNodes(group, bytes, spread, routes);
  const EvenSends second = ToNeighbours(group, bytes, spread, routes);
  both.steps.nvlink_steps = second.steps.nvlink_steps;
  both.bytes.inside = second.bytes.inside;
  return {both};
}

std::vector<EvenSends> StoreAndForwardAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                               const Routes& routes) {
  if (!TwoHops(NodesOfGroup(group, routes))) return TwoHopAllToAll(group, bytes, spread, routes);
  return {ToNodes(group, bytes, spread, routes), ToNeighbours(group, bytes, spread, routes)};
}

std::vector<EvenSends> DirectAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                      const Routes& routes) {
  EvenSends sends = Straight(group, bytes, spread.devices, Transport::kBulk, routes);
  // The part that stays is copied by the same kernel, counted as half a part sent: assumed, as a
  // ring's round waits (ring.cc), and within a tenth of NCCL's all-to-all of 64 MiB and more on 4
  // and 8 H100.
  const double n = static_cast<double>(group.size());
  sends.steps.stretch = n > 1 ? (n - 0.5) / (n - 1) : 1;
  return {sends};
}

std::vector<EvenSends> LowLatencyAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                                          const Routes& routes) {
  return {Straight(group, bytes, spread.experts, Transport::kLowLatency, routes)};
}

}  // namespace moecast
