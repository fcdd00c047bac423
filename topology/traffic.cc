#include "topology/traffic.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

void Traffic::Merge() {
  std::sort(loads.begin(), loads.end(), [](const LinkLoad& a, const LinkLoad& b) { return a.link < b.link; });
  size_t kept = 0;
  for (size_t i = 0; i < loads.size(); ++i) {
    if (kept > 0 && loads[kept - 1].link == loads[i].link)
      loads[kept - 1].bytes += loads[i].bytes;
    else
      loads[kept++] = loads[i];
  }
  loads.resize(kept);
}

Seconds AlphaOf(const Traffic& traffic, const Cluster& cluster) {
  return cluster.collective_launch + cluster.nvlink_step * traffic.nvlink_steps +
         cluster.network_step * traffic.network_steps;
}

Seconds BusyTime(const Traffic& traffic, const Cluster& cluster) {
  Seconds slowest;
  for (const LinkLoad& l : traffic.loads) slowest = std::max(slowest, l.bytes / CapacityOf(cluster, l.link));
  return slowest;
}

Seconds TimeAlone(const Traffic& traffic, const Cluster& cluster) {
  return traffic.empty() ? Seconds(0) : AlphaOf(traffic, cluster) + BusyTime(traffic, cluster);
}

LinkId BusiestLink(const Traffic& traffic, const Cluster& cluster) {
  MOECAST_CHECK(!traffic.empty());
  const auto busier = [&](const LinkLoad& a, const LinkLoad& b) {
    return a.bytes / CapacityOf(cluster, a.link) < b.bytes / CapacityOf(cluster, b.link);
  };
  return std::max_element(traffic.loads.begin(), traffic.loads.end(), busier)->link;
}

PortBytes BytesSent(const Traffic& traffic) {
  PortBytes most;
  for (const LinkLoad& l : traffic.loads) {
    if (PortOf(l.link) == Port::kNvlinkOut) most.nvlink = std::max(most.nvlink, l.bytes);
    if (PortOf(l.link) == Port::kNicOut) most.network = std::max(most.network, l.bytes);
  }
  return most;
}

}  // namespace moecast
