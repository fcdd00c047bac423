#include "sim/network/collective_report.h"

namespace moecast {

CollectiveReport ReportCollectives(const Cluster& cluster, std::span<const NamedCollective> collectives,
                                   std::span<const CapacityChange> changes, Level level,
                                   std::unique_ptr<ChildProcess> helper) {
  const Routes routes(cluster);
  std::vector<CollectiveJob> jobs;
  for (const NamedCollective& c : collectives)
    jobs.push_back({.traffic = c.row->traffic(c.group, c.bytes, routes)});
  CollectiveRun run = RunCollectives(cluster, jobs, changes, level, std::move(helper));

  CollectiveReport report{.level = level, .links = std::move(run.links), .blocked = std::move(run.blocked)};
  for (size_t j = 0; j < jobs.size(); ++j) {
    const NamedCollective& c = collectives[j];
    CollectiveReport::Job& job = report.jobs.emplace_back(CollectiveReport::Job{
        .collective = c, .alone = TimeAlone(jobs[j].traffic, cluster), .bottleneck = run.jobs[j].bottleneck});
    if (run.jobs[j].end == kNever) continue;
    job.time = run.jobs[j].end.seconds();
    job.algorithm_bandwidth = c.bytes / *job.time;
    job.bus_bandwidth = job.algorithm_bandwidth * c.row->bus_factor(static_cast<int>(c.group.size()));
  }
  return report;
}

}  // namespace moecast
