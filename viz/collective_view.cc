#include "viz/collective_view.h"

#include "base/quantity_text.h"
#include "topology/link_names.h"
#include "viz/table.h"

namespace moecast {
namespace {

constexpr size_t kShownLinks = 8;

Json JobJson(const Cluster& cluster, const CollectiveReport::Job& job) {
  const auto& [call, algorithm] = job.collective;
  const auto number = [&](double x) { return job.time ? Json(x) : Json(); };
  return {{"kind", NameOf(call.kind)},
          {"algorithm", algorithm->name},
          {"ranks", call.group.size()},
          {"bytes", call.bytes.value},
          {"finishes", job.time.has_value()},
          {"time_s", number(job.time.value_or(Seconds(0)).value)},
          {"time_alone_s", job.unreachable > 0 ? Json() : Json(job.alone.value)},
          {"algorithm_bandwidth", number(job.algorithm_bandwidth.value)},
          {"bus_bandwidth", number(job.bus_bandwidth.value)},
          {"bottleneck", job.bottleneck ? Json(LinkName(cluster, *job.bottleneck)) : Json()},
          {"unreachable_sends", job.unreachable}};
}

std::string Rate(BytesPerSecond rate) {
  return Printf("%.4g GB/s", rate.value / 1e9);
}

}  // namespace

Json CollectiveJson(const Cluster& cluster, const CollectiveReport& report) {
  // The first is what was asked for; the others run beside it.
  Json json = JobJson(cluster, report.jobs.front());
  Json jobs = Json::array();
  Json links = Json::array();
  Json blocked = Json::array();
  for (const auto& job : report.jobs) jobs.push_back(JobJson(cluster, job));
  for (const LinkUse& use : report.links)
    links.push_back({{"name", LinkName(cluster, use.link)}, {"utilisation", use.utilisation}});
  for (const LinkId link : report.blocked) blocked.push_back(LinkName(cluster, link));
  json["cluster"] = cluster.name;
  json["level"] = NameOf(report.level);
  json["jobs"] = std::move(jobs);
  json["links"] = std::move(links);
  json["blocked_links"] = std::move(blocked);
  return json;
}

std::string CollectiveText(const Cluster& cluster, const CollectiveReport& report) {
  Rows rows = {{"collective", "algorithm", "GPUs", "bytes", "time", "alone", "algorithm bandwidth",
                "bus bandwidth", "bottleneck"}};
  bool all_end = true;
  int64_t unreachable = 0;
  for (const auto& job : report.jobs) {
    const auto& [call, algorithm] = job.collective;
    const bool ends = job.time.has_value();
    all_end = all_end && ends;
    unreachable += job.unreachable;
    rows.push_back({std::string(NameOf(call.kind)), std::string(algorithm->name),
                    Thousands(static_cast<int64_t>(call.group.size())), PrintBytes(call.bytes),
                    ends ? ShowSeconds(*job.time, 4) : "never",
                    job.unreachable > 0 ? "never" : ShowSeconds(job.alone, 4),
                    ends ? Rate(job.algorithm_bandwidth) : "", ends ? Rate(job.bus_bandwidth) : "",
                    job.bottleneck ? LinkName(cluster, *job.bottleneck) : ""});
  }
  std::string text = cluster.name + ", level " + std::string(NameOf(report.level)) + "\n\n" +
                     Aligned(rows, "llrrrrrrl");
  if (unreachable > 0)
    text += "\ndoes not end: no path is left for " + Thousands(unreachable) + " sends\n";
  if (!report.blocked.empty()) {
    text += "\ndoes not end: ";
    for (size_t i = 0; i < report.blocked.size() && i < kShownLinks; ++i)
      text += (i > 0 ? ", " : "") + LinkName(cluster, report.blocked[i]);
    if (report.blocked.size() > kShownLinks)
      text +=
          " and " + Thousands(static_cast<int64_t>(report.blocked.size() - kShownLinks)) + " more";
    text += " without capacity\n";
  }
  if (!all_end && unreachable == 0 && report.blocked.empty())
    text += "\ndoes not end within 106 days\n";
  if (report.links.empty()) return text;
  Rows links = {{"busiest links", "used"}};
  for (size_t i = 0; i < report.links.size() && i < kShownLinks; ++i)
    links.push_back({LinkName(cluster, report.links[i].link),
                     Printf("%.1f%%", 100 * report.links[i].utilisation)});
  text += "\n" + Aligned(links, "lr");
  if (report.links.size() > kShownLinks)
    text +=
        "  and " + Thousands(static_cast<int64_t>(report.links.size() - kShownLinks)) + " more\n";
  return text;
}

}  // namespace moecast
