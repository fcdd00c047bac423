#include "topology/traffic.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace moecast {

void Traffic::Merge() {
  const auto before = [](const PathLoad& a, const PathLoad& b) {
    const auto x = a.path.span(), y = b.path.span();
    return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end());
  };
  std::stable_sort(paths.begin(), paths.end(), before);
  size_t kept = 0;
  for (const PathLoad& p : paths) {
    if (kept > 0 && std::ranges::equal(paths[kept - 1].path.span(), p.path.span()))
      paths[kept - 1].bytes += p.bytes;
    else
      paths[kept++] = p;
  }
  paths.resize(kept);

  // Collectives touch most links of their GPUs, so a sum per link number beats sorting.
  LinkId first = std::numeric_limits<LinkId>::max(), last = -1;
  for (const PathLoad& p : paths)
    for (const LinkId link : p.path.span()) {
      first = std::min(first, link);
      last = std::max(last, link);
    }
  std::vector<Bytes> sum(last < 0 ? 0 : static_cast<size_t>(last - first) + 1);
  for (const PathLoad& p : paths)
    for (const LinkId link : p.path.span()) sum[link - first] += p.bytes;
  loads.clear();
  for (size_t i = 0; i < sum.size(); ++i)
    if (sum[i].value > 0) loads.push_back({first + static_cast<LinkId>(i), sum[i]});
}

Seconds AlphaOf(const Traffic& traffic, const Cluster& cluster) {
  return cluster.collective_launch + cluster.nvlink_step * traffic.nvlink_steps +
         cluster.network_step * traffic.network_steps;
}

Seconds BusyTime(const Traffic& traffic, const Cluster& cluster) {
  if (traffic.unreachable > 0) return Seconds(std::numeric_limits<double>::infinity());
  Seconds slowest;
  for (const LinkLoad& l : traffic.loads) slowest = std::max(slowest, l.bytes / CapacityOf(cluster, l.link));
  return slowest;
}

Seconds TimeAlone(const Traffic& traffic, const Cluster& cluster) {
  return traffic.empty() && traffic.unreachable == 0 ? Seconds(0)
                                                     : AlphaOf(traffic, cluster) + BusyTime(traffic, cluster);
}

LinkId BusiestLink(const Traffic& traffic, const Cluster& cluster) {
  MOECAST_CHECK(!traffic.empty());
  const auto busier = [&](const LinkLoad& a, const LinkLoad& b) {
    return a.bytes / CapacityOf(cluster, a.link) < b.bytes / CapacityOf(cluster, b.link);
  };
  return std::max_element(traffic.loads.begin(), traffic.loads.end(), busier)->link;
}

PortBytes BytesSent(const Traffic& traffic, const Cluster& cluster) {
  PortBytes most;
  for (const LinkLoad& l : traffic.loads) {
    if (!IsPort(cluster, l.link)) break;  // ports come first
    if (PortOf(l.link) == Port::kNvlinkOut) most.nvlink = std::max(most.nvlink, l.bytes);
    if (PortOf(l.link) == Port::kNicOut) most.network = std::max(most.network, l.bytes);
  }
  return most;
}

}  // namespace moecast
