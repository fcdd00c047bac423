#include "sim/network/collective_report.h"

namespace moecast {
namespace {

// An even direct all-to-all goes by kinds of pairs, thousands of GPUs, millions of pairs. SimGrid
// is there to look at each.
bool GoesByKinds(const NamedCollective& c, const Cluster& cluster, Level level) {
  return c.algorithm->name == "direct" && c.call.kind != CollectiveKind::kSend && c.call.sms == 0 &&
         level != Level::kSimgrid && WaysFollowFromPlaces(cluster);
}

FlowChain ByKinds(const CollectiveCall& call, const Cluster& cluster, const Routes& routes,
                  Level level, CollectiveReport::Job& job) {
  const Bytes to_device =
      call.bytes * (call.spread.devices / static_cast<double>(call.group.size()));
  EvenPairs pairs(call.group, cluster, routes);
  Traffic traffic = DirectAllToAllSteps(call.group, routes);
  std::vector<double> crossed(static_cast<size_t>(NumberOfLinks(cluster)));
  pairs.AddTo(std::span(crossed), [&](const EvenPairs::Kind& kind, EvenPairs::Crossing crossing) {
    return static_cast<double>(pairs.OnEach(kind, crossing));
  });
  for (size_t l = 0; l < crossed.size(); ++l)
    if (crossed[l] > 0) traffic.loads.push_back({static_cast<LinkId>(l), to_device * crossed[l]});
  traffic.unreachable = job.unreachable = pairs.unreachable();
  job.alone = AlphaOf(traffic, cluster) + BusyTime(traffic, cluster);
  const Time start = Time::From(AlphaOf(traffic, cluster));
  FlowChain chain{.stages = {{}}, .endless = traffic.unreachable > 0};
  if (traffic.loads.empty()) return chain;
  if (level == Level::kAnalytic)
    chain.stages[0] = {InStep(traffic, cluster, start)};
  else
    chain.even.push_back({.stage = 0,
                          .start = start,
                          .pairs = std::move(pairs),
                          .bytes = to_device,
                          .costs = LinkCostsOf(traffic, cluster)});
  return chain;
}

}  // namespace

CollectiveReport ReportCollectives(const Cluster& cluster,
                                   std::span<const NamedCollective> collectives,
                                   std::span<const CapacityChange> changes, Level level,
                                   std::unique_ptr<ChildProcess> helper) {
  const Routes routes(cluster);
  CollectiveReport report{.level = level};
  std::vector<FlowChain> chains;
  for (const NamedCollective& c : collectives) {
    CollectiveReport::Job& job = report.jobs.emplace_back();
    job.collective = c;
    if (GoesByKinds(c, cluster, level)) {
      chains.push_back(ByKinds(c.call, cluster, routes, level, job));
      continue;
    }
    const Parts parts = Lower(*c.algorithm, c.call, routes);
    job.alone = TimeAlone(parts, cluster);
    for (const Traffic& part : parts) job.unreachable += part.unreachable;
    chains.push_back(ChainOf(parts, cluster, level));
  }
  CollectiveRun run = RunCollectives(cluster, std::move(chains), changes, level, std::move(helper));
  report.links = std::move(run.links);
  report.blocked = std::move(run.blocked);
  for (size_t j = 0; j < collectives.size(); ++j) {
    CollectiveReport::Job& job = report.jobs[j];
    const CollectiveCall& call = collectives[j].call;
    job.bottleneck = run.jobs[j].bottleneck;
    if (run.jobs[j].end == kNever) continue;
    job.time = run.jobs[j].end.seconds();
    job.algorithm_bandwidth = call.bytes / *job.time;
    job.bus_bandwidth =
        job.algorithm_bandwidth * BusFactor(call.kind, static_cast<int>(call.group.size()));
  }
  return report;
}

}  // namespace moecast
