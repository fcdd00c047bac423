#include "sim/network/collective_run.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "sim/network/fluid_network.h"
#include "sim/network/grouping.h"

namespace moecast {
namespace {

// Bytes each link can carry until `end`.
std::vector<double> Carriable(std::span<const BytesPerSecond> capacity,
                              std::span<const CapacityChange> changes, Time end) {
  std::vector<double> bytes(capacity.size());
  for (size_t l = 0; l < capacity.size(); ++l) bytes[l] = (capacity[l] * end.seconds()).value;
  std::vector<CapacityChange> in_time(changes.begin(), changes.end());
  std::ranges::stable_sort(in_time, {}, &CapacityChange::at);
  std::vector<BytesPerSecond> now(capacity.begin(), capacity.end());
  for (const CapacityChange& c : in_time) {
    if (c.at >= end) break;
    bytes[c.link] += ((c.capacity - now[c.link]) * (end - c.at).seconds()).value;
    now[c.link] = c.capacity;
  }
  return bytes;
}

// The busiest link, of what is stuck one without capacity if there is; of equals the first by
// number.
std::optional<LinkId> BottleneckOf(const FlowChain& job, bool stuck,
                                   std::span<const double> utilisation,
                                   std::span<const LinkId> blocked) {
  const auto rank = [&](LinkId l) {
    return std::tuple(stuck && std::ranges::binary_search(blocked, l), utilisation[l], -l);
  };
  std::optional<LinkId> worst;
  for (const auto& stage : job.stages)
    for (const Flow& f : stage)
      for (const LinkShare& s : f.links)
        if (!worst || rank(s.link) > rank(*worst)) worst = s.link;
  return worst;
}

CollectiveRun RunOn(Network& network, std::span<const BytesPerSecond> capacity,
                    std::span<const FlowChain> jobs, std::span<const CapacityChange> changes) {
  ChainEnds ends = RunChains(network, capacity.size(), jobs, changes);
  CollectiveRun run{.last = ends.last, .blocked = std::move(ends.blocked)};
  const std::vector<double> carriable = Carriable(capacity, changes, run.last);
  std::vector<double> utilisation(capacity.size());
  for (size_t l = 0; l < capacity.size(); ++l) {
    if (ends.carried[l].value <= 0) continue;
    // Rounded, so that equals are equal.
    utilisation[l] = std::round(ends.carried[l].value / carriable[l] * 1e12) * 1e-12;
    run.links.push_back({static_cast<LinkId>(l), utilisation[l]});
  }
  std::ranges::stable_sort(run.links, std::ranges::greater{}, &LinkUse::utilisation);
  for (size_t j = 0; j < jobs.size(); ++j)
    run.jobs.push_back(
        {ends.end[j], BottleneckOf(jobs[j], ends.end[j] == kNever, utilisation, run.blocked)});
  return run;
}

// What a color's one link has, all of them have.
CollectiveRun RunGrouped(const GroupedFlows& flows) {
  FluidNetwork network(flows.capacity);
  const CollectiveRun colors = RunOn(network, flows.capacity, flows.chains, flows.changes);
  CollectiveRun run{.jobs = colors.jobs, .last = colors.last};
  for (auto& job : run.jobs)
    if (job.bottleneck) job.bottleneck = flows.first_of[static_cast<size_t>(*job.bottleneck)];
  std::vector<double> utilisation(flows.capacity.size());
  std::vector<char> blocked(flows.capacity.size());
  for (const LinkUse& use : colors.links)
    utilisation[static_cast<size_t>(use.link)] = use.utilisation;
  for (const LinkId color : colors.blocked) blocked[static_cast<size_t>(color)] = 1;
  for (size_t l = 0; l < flows.color_of.size(); ++l) {
    if (flows.color_of[l] < 0) continue;
    const auto color = static_cast<size_t>(flows.color_of[l]);
    if (utilisation[color] > 0) run.links.push_back({static_cast<LinkId>(l), utilisation[color]});
    if (blocked[color]) run.blocked.push_back(static_cast<LinkId>(l));
  }
  std::ranges::stable_sort(run.links, std::ranges::greater{}, &LinkUse::utilisation);
  return run;
}

}  // namespace

std::vector<BytesPerSecond> LinkCapacities(const Cluster& cluster) {
  std::vector<BytesPerSecond> capacity(static_cast<size_t>(NumberOfLinks(cluster)));
  for (size_t l = 0; l < capacity.size(); ++l)
    capacity[l] = CapacityOf(cluster, static_cast<LinkId>(l));
  return capacity;
}

FlowChain ChainOf(std::span<const Traffic> parts, const Cluster& cluster, Level level, Time start) {
  FlowChain chain;
  for (const Traffic& part : parts) {
    // What cannot all arrive keeps the parts behind it from starting.
    if (chain.endless) break;
    chain.endless = part.unreachable > 0;
    const Time at = Time::From(AlphaOf(part, cluster)) + (chain.stages.empty() ? start : Time{});
    auto& stage = chain.stages.emplace_back();
    if (level != Level::kAnalytic)
      stage = FlowsOf(part, cluster, at);
    else if (!part.empty())
      stage = {InStep(part, cluster, at)};
  }
  return chain;
}

CollectiveRun RunCollectives(const Cluster& cluster, std::vector<FlowChain> jobs,
                             std::span<const CapacityChange> changes, Level level,
                             std::unique_ptr<ChildProcess> helper) {
  const std::vector<BytesPerSecond> capacity = LinkCapacities(cluster);
  if (level == Level::kFluid)
    return RunGrouped(GroupFlows(std::move(jobs), capacity, changes, cluster));
  const auto network = MakeNetwork(level, capacity, std::move(helper));
  return RunOn(*network, capacity, jobs, changes);
}

}  // namespace moecast
