#include "sim/network/collective_report.h"

#include "sim/network/even_all_to_all.h"

namespace moecast {
namespace {

// An even direct all-to-all that runs alone goes by kinds of pairs: thousands of GPUs, millions of pairs,
// take milliseconds.
bool GoesByKinds(const NamedCollective& c, const Cluster& cluster) {
  return c.algorithm->name == "direct" && c.call.kind != CollectiveKind::kSend && c.call.sms == 0 &&
         WaysFollowFromPlaces(cluster);
}

FlowChain ByKinds(const CollectiveCall& call, const Cluster& cluster, const Routes& routes, Level level,
                  CollectiveReport::Job& job) {
  Traffic traffic = DirectAllToAllSteps(call.group, routes);
  const LinkCosts costs = LinkCostsOf(traffic, cluster);
  const Time start = Time::From(AlphaOf(traffic, cluster));
  const Bytes to_device = call.bytes * (call.spread.devices / static_cast<double>(call.group.size()));
  EvenAllToAll pairs = EvenAllToAllOf(call.group, to_device, cluster, routes, start);
  const std::vector<Bytes> bytes = BytesByLink(pairs.starts, static_cast<size_t>(NumberOfLinks(cluster)));
  for (size_t l = 0; l < bytes.size(); ++l)
    if (bytes[l] > Bytes(0)) traffic.loads.push_back({static_cast<LinkId>(l), bytes[l]});
  traffic.unreachable = job.unreachable = pairs.unreachable;
  job.alone = AlphaOf(traffic, cluster) + BusyTime(traffic, cluster);
  for (Flow& f : pairs.starts) f.bytes = f.bytes * costs.of(cluster, f.links.front().link);
  if (level == Level::kAnalytic && !traffic.loads.empty()) pairs.starts = {InStep(traffic, cluster, start)};
  return {.stages = {std::move(pairs.starts)}, .endless = pairs.unreachable > 0};
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
    if (alone && GoesByKinds(c, cluster)) {
      chains.push_back(ByKinds(c.call, cluster, routes, level, job));
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
    job.algorithm_bandwidth = call.bytes / *job.time;
    job.bus_bandwidth = job.algorithm_bandwidth * BusFactor(call.kind, static_cast<int>(call.group.size()));
  }
  return report;
}

}  // namespace moecast
