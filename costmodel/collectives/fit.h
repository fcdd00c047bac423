// A cluster's rates and latencies from measured collectives: what makes the model's times come
// nearest, in the least squares of ln(model / measured).
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "costmodel/collectives/algorithms.h"

namespace moecast {

struct MeasuredCollective {
  CollectiveCall call;
  Seconds time;
};

struct ClusterFit {
  Cluster cluster;                       // as given, with what could be fitted
  std::vector<std::string_view> fitted;  // names of cluster fields
  std::vector<Seconds> predicted;        // by measurement, of the fastest automatic algorithm
};

// Groups on one node tell nvlink_usable, collective_launch and bulk_launch, and nvlink_step where
// they have different numbers of ranks; groups on several nodes nic_usable and network_step. What
// the measurements do not tell stays as it is. REQUIRES: measured is not empty; times above 0.
ClusterFit FitCluster(const Cluster& start, std::span<const MeasuredCollective> measured);

}  // namespace moecast
