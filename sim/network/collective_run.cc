#include "sim/network/collective_run.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "topology/link_names.h"

namespace moecast {
namespace {

// Bytes a link can carry until `end`.
std::vector<double> Carriable(std::span<const BytesPerSecond> capacity,
                              std::span<const CapacityChange> changes, Time end) {
  std::vector<double> bytes(capacity.size());
  for (size_t l = 0; l < capacity.size(); ++l) bytes[l] = (capacity[l] * end.seconds()).value;
  std::vector<CapacityChange> in_time(changes.begin(), changes.end());
  std::stable_sort(in_time.begin(), in_time.end(),
                   [](const CapacityChange& a, const CapacityChange& b) { return a.at < b.at; });
  std::vector<BytesPerSecond> now(capacity.begin(), capacity.end());
  for (const CapacityChange& c : in_time) {
    if (c.at >= end) break;
    bytes[c.link] += ((c.capacity - now[c.link]) * (end - c.at).seconds()).value;
    now[c.link] = c.capacity;
  }
  return bytes;
}

}  // namespace

std::vector<BytesPerSecond> LinkCapacities(const Cluster& cluster) {
  std::vector<BytesPerSecond> capacity(static_cast<size_t>(NumberOfLinks(cluster)));
  for (size_t l = 0; l < capacity.size(); ++l) capacity[l] = CapacityOf(cluster, static_cast<LinkId>(l));
  return capacity;
}

CollectiveRun RunCollectives(const Cluster& cluster, std::span<const CollectiveJob> jobs,
                             std::span<const CapacityChange> changes, Level level,
                             std::unique_ptr<ChildProcess> helper) {
  std::vector<Flow> flows;
  std::vector<size_t> first_flow;
  for (const CollectiveJob& job : jobs) {
    MOECAST_CHECK(!job.traffic.empty());
    first_flow.push_back(flows.size());
    const Time start = job.start + Time::From(AlphaOf(job.traffic, cluster));
    if (level == Level::kAnalytic)
      flows.push_back(InStep(job.traffic, cluster, start));
    else
      for (Flow& f : FlowsOf(job.traffic, cluster, start)) flows.push_back(std::move(f));
  }
  first_flow.push_back(flows.size());

  const std::vector<BytesPerSecond> capacity = LinkCapacities(cluster);
  const auto network = MakeNetwork(level, capacity, std::move(helper));
  const FlowEnds ends = RunFlows(*network, flows, changes);

  CollectiveRun run{.blocked = ends.blocked};
  std::vector<Flow> ended;
  for (size_t f = 0; f < flows.size(); ++f) {
    if (ends.end[f] == kNever) continue;
    run.last = std::max(run.last, ends.end[f]);
    ended.push_back(flows[f]);
  }
  const std::vector<Bytes> carried = BytesByLink(ended, capacity.size());
  const std::vector<double> carriable = Carriable(capacity, changes, run.last);
  std::vector<double> utilisation(capacity.size());
  for (size_t l = 0; l < capacity.size(); ++l) {
    if (carried[l].value <= 0) continue;
    // Rounded, so that equals are equal.
    utilisation[l] = std::round(carried[l].value / carriable[l] * 1e12) * 1e-12;
    run.links.push_back({static_cast<LinkId>(l), utilisation[l]});
  }
  std::stable_sort(run.links.begin(), run.links.end(),
                   [](const LinkUse& a, const LinkUse& b) { return a.utilisation > b.utilisation; });

  for (size_t j = 0; j < jobs.size(); ++j) {
    CollectiveRun::Job& job = run.jobs.emplace_back();
    job.end = *std::max_element(ends.end.begin() + static_cast<ptrdiff_t>(first_flow[j]),
                                ends.end.begin() + static_cast<ptrdiff_t>(first_flow[j + 1]));
    const auto better = [&](const LinkLoad& a, const LinkLoad& b) {
      const auto blocks = [&](LinkId l) { return std::ranges::binary_search(run.blocked, l); };
      if (job.end == kNever && blocks(a.link) != blocks(b.link)) return blocks(b.link);
      return utilisation[a.link] < utilisation[b.link];
    };
    job.bottleneck = std::ranges::max_element(jobs[j].traffic.loads, better)->link;
  }
  return run;
}

}  // namespace moecast
