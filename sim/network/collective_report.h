// Named collectives at once over a cluster: times, bandwidths and links, what `moecast collective` prints.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "costmodel/collectives/table.h"
#include "sim/network/collective_run.h"

namespace moecast {

struct NamedCollective {
  const CollectiveRow* row = nullptr;
  std::vector<int> group;  // GPUs, ascending, more than one
  Bytes bytes;             // as the row says, above 0
};

struct CollectiveReport {
  struct Job {
    NamedCollective collective;
    Seconds alone;                // at the analytic level, nothing failed
    std::optional<Seconds> time;  // none: it cannot end
    // nccl-tests' (costmodel/collectives/table.h); 0 without time.
    BytesPerSecond algorithm_bandwidth, bus_bandwidth;
    LinkId bottleneck = 0;  // of CollectiveRun
  };
  Level level = Level::kFluid;
  std::vector<Job> jobs;
  std::vector<LinkUse> links;
  std::vector<LinkId> blocked;
};

// All start at time zero. `helper` as for MakeNetwork.
CollectiveReport ReportCollectives(const Cluster& cluster, std::span<const NamedCollective> collectives,
                                   std::span<const CapacityChange> changes, Level level,
                                   std::unique_ptr<ChildProcess> helper = nullptr);

}  // namespace moecast
