// Collectives over a network level, one or several at once: when each ends, and how busy that makes
// the links.
//
// The steps of a collective are one flow for each pair of neighbours, with all that crosses between
// the two: as if cut so finely that every step works at once, which is what NCCL's pipelining comes
// near to. The latency of all steps lies before the flows. At the analytic level that is the
// collective's time alone (TimeAlone). Where one of its links is slowed by others, only the flows
// over that link are; in a real ring the neighbours would come to wait for them, so that links
// beside are free a little early here, and the collective's end, that of its last flow, is the
// same.
//
// A link that fails at a time stays in the routes of what is under way: subnet managers and NCCL
// take seconds to find another way. What then cannot end is an answer, and so is traffic without a
// path.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sim/network/flows.h"
#include "sim/network/level.h"
#include "topology/traffic.h"

namespace moecast {

// Usable rates of the cluster's links, by LinkId.
std::vector<BytesPerSecond> LinkCapacities(const Cluster& cluster);

// Of a collective's parts, each starting when all flows of the one before have ended. At the
// analytic level a part is one start (InStep), otherwise its paths are. REQUIRES: Merge() has been
// called on each.
FlowChain ChainOf(std::span<const Traffic> parts, const Cluster& cluster, Level level,
                  Time start = {});

struct LinkUse {
  LinkId link = 0;
  // Of the link's usable rate until the last end, new capacities counted, what flows that have
  // ended took (LinkCostsOf). Above 1 at the analytic level where collectives that do not see each
  // other overlap.
  double utilisation = 0;
};

struct CollectiveRun {
  struct Job {
    Time end{};  // kNever: it cannot end
    // The busiest of the links it uses; where it cannot end, the first without capacity. None where
    // it uses none.
    std::optional<LinkId> bottleneck;
  };
  std::vector<Job> jobs;
  Time last;  // end of the last that ends
  std::vector<LinkUse>
      links;  // that have carried flows to their ends, busiest first, equals by number
  std::vector<LinkId> blocked;  // without capacity and needed by what cannot end
};

// At the level fluid flows that are alike run as one (GroupFlows); even starts are for that level
// alone. Jobs of the run are those given, in their order. `helper` as for MakeNetwork; throws
// UserError where it fails.
CollectiveRun RunCollectives(const Cluster& cluster, std::vector<FlowChain> jobs,
                             std::span<const CapacityChange> changes, Level level,
                             std::unique_ptr<ChildProcess> helper = nullptr);

}  // namespace moecast
