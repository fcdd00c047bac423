// Collectives as Traffic. Each function states its formula and source; the times NCCL would need follow from
// the traffic on a cluster. A group is its GPUs in ascending order.
#pragma once

#include <span>

#include "base/units.h"
#include "costmodel/expert_load.h"
#include "topology/routes.h"
#include "topology/traffic.h"

namespace moecast {

using Group = std::span<const int>;

// Ring (collectives/ring.cc). `bytes` is the gathered buffer, the buffer to be scattered, or the buffer to be
// reduced.
Traffic RingAllGather(Group group, Bytes bytes, const Routes& routes);
Traffic RingReduceScatter(Group group, Bytes bytes, const Routes& routes);
Traffic RingAllReduce(Group group, Bytes bytes, const Routes& routes);

// Tree (collectives/tree.cc), for few bytes over many ranks.
Traffic TreeAllReduce(Group group, Bytes bytes, const Routes& routes);

// Expert parallelism (collectives/expert_all_to_all.cc). `bytes` are a rank's tokens, each counted once; a
// token goes once to each device that holds one of its experts.
Traffic ExpertAllToAll(Group group, Bytes bytes, const TokenSpread& spread, const Routes& routes);

// Point to point (collectives/send.cc), from[i] to to[i] at once.
Traffic Send(Group from, Group to, Bytes bytes, const Routes& routes);

}  // namespace moecast
