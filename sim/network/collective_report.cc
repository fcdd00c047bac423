#include "sim/network/collective_report.h"

#include <algorithm>

namespace moecast {
namespace {

// Two starts stand for all pairs of a direct all-to-all that runs alone over nodes with as many GPUs and like
// links each, exactly (EvenAllToAll): thousands of GPUs, millions of pairs, take milliseconds.
bool TwoStartsSuffice(const NamedCollective& c, const Cluster& cluster, const Routes& routes) {
  const CollectiveCall& call = c.call;
  if (c.algorithm->name != "direct" || call.kind == CollectiveKind::kSend || call.sms != 0) return false;
  return routes.plain() && NodesOfGroup(call.group, routes).even &&
         std::ranges::all_of(EnumNames<Port>::kNames, [&](const auto& port) {
           const BytesPerSecond rate = CapacityOf(cluster, LinkOf(call.group[0], port.value));
           return std::ranges::all_of(
               call.group, [&](int gpu) { return CapacityOf(cluster, LinkOf(gpu, port.value)) == rate; });
         });
}

FlowChain TwoStarts(const CollectiveCall& call, const Cluster& cluster, const Routes& routes) {
  const Traffic steps = DirectAllToAllSteps(call.group, routes);
  const LinkCosts costs = LinkCostsOf(steps, cluster);
  const Bytes to_device = call.bytes * (call.spread.devices / static_cast<double>(call.group.size()));
  FlowChain chain;
  auto& starts = chain.stages.emplace_back(
      EvenAllToAll(call.group, to_device, routes, Time::From(AlphaOf(steps, cluster))));
  for (Flow& f : starts) f.bytes = f.bytes * costs.of(cluster, f.links.front().link);
  return chain;
}

}  // namespace

CollectiveReport ReportCollectives(const Cluster& cluster, std::span<const NamedCollective> collectives,
                                   std::span<const CapacityChange> changes, Level level,
                                   std::unique_ptr<ChildProcess> helper) {
  const Routes routes(cluster);
  CollectiveReport report{.level = level};
  std::vector<FlowChain> chains;
  // SimGrid is there to look at each pair.
  const bool alone = collectives.size() == 1 && changes.empty() && level != Level::kSimgrid;
  for (const NamedCollective& c : collectives) {
    CollectiveReport::Job& job = report.jobs.emplace_back();
    job.collective = c;
    if (alone && TwoStartsSuffice(c, cluster, routes)) {
      chains.push_back(TwoStarts(c.call, cluster, routes));
      continue;
    }
    const Parts parts = Lower(*c.algorithm, c.call, routes);
    job.alone = TimeAlone(parts, cluster);
    for (const Traffic& part : parts) job.unreachable += part.unreachable;
    chains.push_back(ChainOf(parts, cluster, level));
  }
  CollectiveRun run = RunCollectives(cluster, chains, changes, level, std::move(helper));
  report.links = std::move(run.links);
  report.blocked = std::move(run.blocked);
  for (size_t j = 0; j < collectives.size(); ++j) {
    CollectiveReport::Job& job = report.jobs[j];
    const CollectiveCall& call = collectives[j].call;
    job.bottleneck = run.jobs[j].bottleneck;
    if (run.jobs[j].end == kNever) continue;
    job.time = run.jobs[j].end.seconds();
    if (job.alone == Seconds(0)) job.alone = *job.time;
    job.algorithm_bandwidth = call.bytes / *job.time;
    job.bus_bandwidth = job.algorithm_bandwidth * BusFactor(call.kind, static_cast<int>(call.group.size()));
  }
  return report;
}

}  // namespace moecast
