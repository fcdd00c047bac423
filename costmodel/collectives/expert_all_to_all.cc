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
#include <algorithm>

#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

// The hops of what leaves or stays in a node; two-hop traffic needs as many GPUs of the group, and
// more than one, on each of several nodes.
struct Hops {
  Traffic first, second;
};

bool TwoHops(const NodesOf& on) {
  return on.nodes > 1 && on.local > 1 && on.even;
}

Traffic StraightSteps(Group group, Transport transport, const Routes& routes) {
  const NodesOf on = NodesOfGroup(group, routes);
  return {.nvlink_steps = on.nodes < group.size() ? 1 : 0,
          .network_steps = on.nodes > 1 ? 1 : 0,
          .transport = transport};
}

// `to_device` bytes from every rank to every other, straight.
Traffic Straight(Group group, Bytes to_device, Transport transport, const Routes& routes) {
  if (group.size() < 2 || to_device.value <= 0) return {.transport = transport};
  Traffic traffic = StraightSteps(group, transport, routes);
  for (const int from : group)
    for (const int to : group) traffic.Add(routes.Between(from, to), to_device);
  traffic.Merge();
  return traffic;
}

Hops TwoHopTraffic(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes) {
  const NodesOf on = NodesOfGroup(group, routes);
  const size_t n = group.size(), local = on.local;
  const Bytes to_device = bytes * (spread.devices / static_cast<double>(n)),
              to_node = bytes * (spread.nodes / static_cast<double>(on.nodes));
  Hops hops{{.network_steps = 1, .transport = Transport::kTokens},
            {.nvlink_steps = 1, .transport = Transport::kTokens}};
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const size_t relay = j / local * local + i % local;
      if (i / local == j / local)
        hops.second.Add(routes.Between(group[i], group[j]), to_device);
      else if (relay == j)
        hops.first.Add(routes.Between(group[i], group[relay]), to_node);
      else
        hops.second.Add(routes.Between(group[relay], group[j]), to_device);
    }
  }
  return hops;
}

}  // namespace

Traffic ExpertAllToAll(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes) {
  if (bytes.value <= 0 || !TwoHops(NodesOfGroup(group, routes)))
    return Straight(group, bytes * (spread.devices / static_cast<double>(group.size())),
                    Transport::kTokens, routes);
  Hops hops = TwoHopTraffic(group, bytes, spread, routes);
  Traffic& all = hops.first;
  all.paths.insert(all.paths.end(), hops.second.paths.begin(), hops.second.paths.end());
  all.nvlink_steps = hops.second.nvlink_steps;
  all.unreachable += hops.second.unreachable;
  all.Merge();
  return std::move(all);
}

Parts StoreAndForwardAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                              const Routes& routes) {
  if (bytes.value <= 0 || !TwoHops(NodesOfGroup(group, routes)))
    return {ExpertAllToAll(group, bytes, spread, routes)};
  Hops hops = TwoHopTraffic(group, bytes, spread, routes);
  hops.first.Merge();
  hops.second.Merge();
  return {std::move(hops.first), std::move(hops.second)};
}

Traffic DirectAllToAllSteps(Group group, const Routes& routes) {
  const double n = static_cast<double>(group.size());
  Traffic traffic = StraightSteps(group, Transport::kBulk, routes);
  // The part that stays is copied by the same kernel, counted as half a part sent: assumed, as a
  // ring's round waits (ring.cc), and within a tenth of NCCL's all-to-all of 64 MiB and more on 4
  // and 8 H100.
  traffic.stretch = n > 1 ? (n - 0.5) / (n - 1) : 1;
  return traffic;
}

Traffic DirectAllToAll(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes) {
  Traffic traffic = Straight(group, bytes * (spread.devices / static_cast<double>(group.size())),
                             Transport::kBulk, routes);
  traffic.stretch = DirectAllToAllSteps(group, routes).stretch;
  return traffic;
}

Traffic LowLatencyAllToAll(Group group, Bytes bytes, const TokenSpread& spread,
                           const Routes& routes) {
  return Straight(group, bytes * (spread.experts / static_cast<double>(group.size())),
                  Transport::kLowLatency, routes);
}

}  // namespace moecast
