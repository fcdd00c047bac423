#include "sim/network/collective_report.h"

namespace moecast {
namespace {

// An even all-to-all goes by kinds of pairs, thousands of GPUs, millions of pairs. SimGrid is there
// to look at each.
bool GoesByKinds(const NamedCollective& c, const Cluster& cluster, Level level) {
  return c.algorithm->even && c.call.sms == 0 && level != Level::kSimgrid &&
         WaysFollowFromPlaces(cluster);
}

FlowChain ByKinds(const NamedCollective& c, const Cluster& cluster, const Routes& routes,
                  Level level, CollectiveReport::Job& job) {
  FlowChain chain;
  for (const EvenSends& sends : c.algorithm->even(c.call, routes)) {
    EvenPairs pairs(c.call.group, sends.bytes, cluster, routes);
    Traffic traffic = sends.steps;
    std::vector<double> crossed(static_cast<size_t>(NumberOfLinks(cluster)));
    pairs.AddTo(std::span(crossed), [&](const EvenPairs::Kind& kind, EvenPairs::Crossing crossing) {
      return kind.bytes.value * static_cast<double>(pairs.OnEach(kind, crossing));
    });
    for (size_t l = 0; l < crossed.size(); ++l)
      if (crossed[l] > 0) traffic.loads.push_back({static_cast<LinkId>(l), Bytes(crossed[l])});
    traffic.unreachable = pairs.unreachable();
    job.unreachable += traffic.unreachable;
    const Time start = Time::From(AlphaOf(traffic, cluster));
    job.alone += AlphaOf(traffic, cluster) + BusyTime(traffic, cluster);
    // As of ChainOf.
    if (chain.endless) continue;
    chain.endless = traffic.unreachable > 0;
    auto& stage = chain.stages.emplace_back();
    if (traffic.loads.empty()) continue;
    if (level == Level::kAnalytic)
      stage = {InStep(traffic, cluster, start)};
    else
      chain.even.push_back({.stage = chain.stages.size() - 1,
                            .start = start,
                            .pairs = std::move(pairs),
                            .costs = LinkCostsOf(traffic, cluster)});
  }
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
      chains.push_back(ByKinds(c, cluster, routes, level, job));
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
