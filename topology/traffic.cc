#include "topology/traffic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"

namespace moecast {
namespace {

// The places of paths by their links, equal paths in the order they were added. First links are
// numbers in a small range, so that counting puts them in order, and few paths share one.
std::vector<uint32_t> InOrder(const std::vector<PathLoad>& paths) {
  LinkId first = std::numeric_limits<LinkId>::max(), last = -1;
  for (const PathLoad& p : paths) {
    first = std::min(first, p.path.links[0]);
    last = std::max(last, p.path.links[0]);
  }
  std::vector<uint32_t> end(static_cast<size_t>(last - first) + 2);
  std::vector<uint32_t> order(paths.size());
  for (const PathLoad& p : paths) ++end[static_cast<size_t>(p.path.links[0] - first) + 1];
  for (size_t i = 1; i < end.size(); ++i) end[i] += end[i - 1];
  for (size_t i = 0; i < paths.size(); ++i)
    order[end[static_cast<size_t>(paths[i].path.links[0] - first)]++] = static_cast<uint32_t>(i);
  size_t begin = 0;
  for (size_t i = 0; i + 1 < end.size(); begin = end[i++]) {
    if (end[i] - begin < 2) continue;
    std::sort(order.begin() + static_cast<std::ptrdiff_t>(begin), order.begin() + end[i],
              [&](uint32_t a, uint32_t b) {
                const auto by_links = std::lexicographical_compare_three_way(
                    paths[a].path.span().begin(), paths[a].path.span().end(),
                    paths[b].path.span().begin(), paths[b].path.span().end());
                return by_links != 0 ? by_links < 0 : a < b;
              });
  }
  return order;
}

// Each path once, with all its bytes.
void MergePaths(std::vector<PathLoad>& paths) {
  if (paths.empty()) return;
  const std::vector<uint32_t> order = InOrder(paths);
  std::vector<PathLoad> merged;
  merged.reserve(paths.size());
  for (const uint32_t place : order) {
    const PathLoad& p = paths[place];
    if (!merged.empty() && std::ranges::equal(merged.back().path.span(), p.path.span()))
      merged.back().bytes += p.bytes;
    else
      merged.push_back(p);
  }
  paths = std::move(merged);
}

Seconds TimeOn(const Cluster& cluster, const LinkCosts& costs, const LinkLoad& load) {
  return load.bytes * costs.of(cluster, load.link) / CapacityOf(cluster, load.link);
}

Seconds SlowestLink(const Traffic& traffic, const Cluster& cluster, const LinkCosts& costs) {
  Seconds slowest;
  for (const LinkLoad& l : traffic.loads) slowest = std::max(slowest, TimeOn(cluster, costs, l));
  return slowest;
}

// What the pieces of the busiest NIC take beyond their bytes, over what the bytes take on the links
// of the network.
double StretchByPieces(const Traffic& traffic, const Cluster& cluster, const LinkCosts& costs,
                       BytesPerSecond pieces) {
  if (std::isinf(pieces.value)) return 1;
  Seconds on_links;
  Seconds beyond;
  for (const LinkLoad& l : traffic.loads) {
    if (!IsNetwork(cluster, l.link)) continue;
    on_links = std::max(on_links, TimeOn(cluster, costs, l));
    if (IsPort(cluster, l.link)) beyond = std::max(beyond, l.bytes / pieces);
  }
  return beyond.value > 0 ? 1 + beyond / on_links : 1;
}

// By NVLink and network, of the GPU that sends most. Paths lie by their first link, and so by GPU.
Bytes MostSent(const Traffic& traffic) {
  Bytes most;
  Bytes sent;
  int sender = -1;
  for (const PathLoad& p : traffic.paths) {
    const LinkId first = p.path.links[0];
    if (PortOf(first) != Port::kNvlinkOut && PortOf(first) != Port::kNicOut) continue;
    if (GpuOf(first) != std::exchange(sender, GpuOf(first))) sent = Bytes(0);
    sent += p.bytes;
    most = std::max(most, sent);
  }
  return most;
}

PortBytes MostBy(const Traffic& traffic, const Cluster& cluster, Port nvlink, Port nic) {
  PortBytes most;
  for (const LinkLoad& l : traffic.loads) {
    if (!IsPort(cluster, l.link)) break;  // ports come first
    if (PortOf(l.link) == nvlink) most.nvlink = std::max(most.nvlink, l.bytes);
    if (PortOf(l.link) == nic) most.network = std::max(most.network, l.bytes);
  }
  return most;
}

}  // namespace

void Traffic::Merge() {
  MergePaths(paths);
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
  const TransportCost cost = CostOf(cluster, traffic.transport);
  return cost.launch + cost.nvlink_step * traffic.nvlink_steps +
         cost.network_step * traffic.network_steps;
}

LinkCosts LinkCostsOf(const Traffic& traffic, const Cluster& cluster) {
  const TransportCost cost = CostOf(cluster, traffic.transport);
  LinkCosts links{cost.nvlink * traffic.stretch, cost.network * traffic.stretch};
  links.network *= StretchByPieces(traffic, cluster, links, cost.pieces);
  if (traffic.sms == 0 || traffic.empty()) return links;
  const Seconds by_links = SlowestLink(traffic, cluster, links),
                by_sms = MostSent(traffic) / RateOfSms(traffic.sms);
  const double held_back = std::max(1.0, by_sms / by_links);
  return {links.nvlink * held_back, links.network * held_back};
}

Seconds BusyTime(const Traffic& traffic, const Cluster& cluster) {
  if (traffic.unreachable > 0) return Seconds(std::numeric_limits<double>::infinity());
  return SlowestLink(traffic, cluster, LinkCostsOf(traffic, cluster));
}

Seconds TimeAlone(const Traffic& traffic, const Cluster& cluster) {
  return traffic.empty() && traffic.unreachable == 0
             ? Seconds(0)
             : AlphaOf(traffic, cluster) + BusyTime(traffic, cluster);
}

Seconds TimeAlone(std::span<const Traffic> parts, const Cluster& cluster) {
  Seconds sum;
  for (const Traffic& part : parts) sum += TimeAlone(part, cluster);
  return sum;
}

LinkId BusiestLink(const Traffic& traffic, const Cluster& cluster) {
  MOECAST_CHECK(!traffic.empty());
  const LinkCosts costs = LinkCostsOf(traffic, cluster);
  const auto busier = [&](const LinkLoad& a, const LinkLoad& b) {
    return TimeOn(cluster, costs, a) < TimeOn(cluster, costs, b);
  };
  return std::max_element(traffic.loads.begin(), traffic.loads.end(), busier)->link;
}

PortBytes BytesSent(const Traffic& traffic, const Cluster& cluster) {
  return MostBy(traffic, cluster, Port::kNvlinkOut, Port::kNicOut);
}
PortBytes BytesReceived(const Traffic& traffic, const Cluster& cluster) {
  return MostBy(traffic, cluster, Port::kNvlinkIn, Port::kNicIn);
}

}  // namespace moecast
