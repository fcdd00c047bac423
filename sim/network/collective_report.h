// Named collectives at once over a cluster: times, bandwidths and links, what `moecast collective`
// prints.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "costmodel/collectives/algorithms.h"
#include "sim/network/collective_run.h"

namespace moecast {

struct NamedCollective {
  CollectiveCall call;  // more than one GPU, bytes above 0
  const CollectiveAlgorithm* algorithm = nullptr;
};

struct CollectiveReport {
  struct Job {
    NamedCollective collective;
    Seconds alone;                // at the analytic level, the links as they are at the start
    std::optional<Seconds> time;  // none: it cannot end
    // As nccl-tests counts: call.bytes over time, and that times BusFactor. 0 without time.
    BytesPerSecond algorithm_bandwidth;
    BytesPerSecond bus_bandwidth;
    std::optional<LinkId> bottleneck;  // of CollectiveRun
    int64_t unreachable = 0;           // sends that no path is left for
  };
  Level level = Level::kFluid;
  std::vector<Job> jobs;
  std::vector<LinkUse> links;
  std::vector<LinkId> blocked;
};

// All start at time zero. Jobs are those of `collectives`, in their order. `helper` as for
// MakeNetwork; throws UserError where it fails. REQUIRES: each call fits its algorithm.
CollectiveReport ReportCollectives(const Cluster& cluster,
                                   std::span<const NamedCollective> collectives,
                                   std::span<const CapacityChange> changes, Level level,
                                   std::unique_ptr<ChildProcess> helper = nullptr);

}  // namespace moecast
