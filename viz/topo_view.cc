#include "viz/topo_view.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "topology/graph.h"
#include "topology/link_names.h"
#include "viz/table.h"

namespace moecast {
namespace {

std::string Rate(BytesPerSecond rate) {
  return Printf("%.6g GB/s", rate.value / 1e9);
}

std::string Counted(int n, const char* noun) {
  return Thousands(n) + " " + noun + (n == 1 ? "" : "s");
}

std::vector<LinkId> LinksOf(const Cluster& cluster) {
  std::vector<LinkId> links;
  const bool network = cluster.nodes() > 1 || cluster.switches.value;
  for (LinkId link = 0; link < NumberOfLinks(cluster); ++link)
    if (Exists(cluster, link) && (network || !IsNetwork(cluster, link))) links.push_back(link);
  return links;
}

// Links of one name and rate.
struct LinkKind {
  std::string name;
  BytesPerSecond datasheet, usable;
  int count = 0;
};
std::vector<LinkKind> KindsOf(const Cluster& cluster) {
  std::vector<LinkKind> kinds;
  std::map<std::tuple<std::string_view, double, double>, size_t> known;
  for (const LinkId link : LinksOf(cluster)) {
    const LinkKind kind{std::string(LinkKindName(cluster, link)), DatasheetRate(cluster, link),
                        CapacityOf(cluster, link)};
    const auto [at, is_new] = known.try_emplace(
        {LinkKindName(cluster, link), kind.datasheet.value, kind.usable.value}, kinds.size());
    if (is_new) kinds.push_back(kind);
    ++kinds[at->second].count;
  }
  // What lost capacity stands beside its like.
  const auto place = [&](const LinkKind& kind) {
    return std::find_if(kinds.begin(), kinds.end(),
                        [&](const LinkKind& k) { return k.name == kind.name; }) -
           kinds.begin();
  };
  std::vector<std::pair<std::ptrdiff_t, LinkKind>> placed;
  for (const LinkKind& kind : kinds) placed.emplace_back(place(kind), kind);
  std::stable_sort(placed.begin(), placed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < kinds.size(); ++i) kinds[i] = placed[i].second;
  return kinds;
}

Json ReachJson(const Reach& r) {
  return {{"over_nvlink", r.over_nvlink},
          {"over_nics", r.over_nics},
          {"forwarded", r.forwarded},
          {"unreachable", r.unreachable},
          {"gpus_cut_off", r.cut_off}};
}

Json FabricJson(const FatTree& t) {
  return {{"units", t.units},
          {"pods", t.pods},
          {"planes", t.planes},
          {"leaves", t.leaves()},
          {"spines", t.spines_in_all()},
          {"cores", t.planes * t.cores_in_plane()},
          {"cables", t.cables()},
          {"load_balancing", NameOf(t.load_balancing)}};
}

std::string FabricText(const Cluster& c) {
  const FatTree& t = c.switches.value->tree();
  std::string text = c.fabric.rail_optimised ? "rail-optimised fat tree" : "fat tree";
  if (t.planes > 1) text += " in " + std::to_string(t.planes) + " planes";
  text += ": " + Thousands(t.leaves()) + " leaves" + ", " + Counted(t.spines_in_all(), "spine");
  if (t.spine_cables > 0) text += ", " + Counted(t.planes * t.cores_in_plane(), "core");
  return text + ", " + Counted(t.cables(), "cable") + ", " + std::string(NameOf(t.load_balancing));
}

std::string PairsText(const Reach& r) {
  std::string text;
  const auto add = [&](int64_t n, const char* how) {
    if (n == 0) return;
    const double percent = 100.0 * static_cast<double>(n) / static_cast<double>(r.pairs());
    text += (text.empty() ? "" : ", ") + Printf("%.4g%% ", percent) + how;
  };
  add(r.over_nvlink, "over NVLink");
  add(r.over_nics, "over their NICs");
  add(r.forwarded, "forwarded by a neighbour over NVLink");
  add(r.unreachable, "cut off");
  return text;
}

}  // namespace

Json TopoJson(const Survey& s) {
  const Cluster& c = s.cluster;
  Json kinds = Json::array(), links = Json::array();
  for (const LinkKind& kind : KindsOf(c))
    kinds.push_back({{"kind", kind.name},
                     {"count", kind.count},
                     {"capacity_bytes_per_s", kind.datasheet.value},
                     {"usable_bytes_per_s", kind.usable.value}});
  for (const LinkId link : LinksOf(c))
    links.push_back({{"name", LinkName(c, link)},
                     {"capacity_bytes_per_s", DatasheetRate(c, link).value},
                     {"usable_bytes_per_s", CapacityOf(c, link).value}});
  Json json = {{"name", c.name},
               {"device", c.device.name},
               {"gpus", c.gpus},
               {"nodes", c.nodes()},
               {"gpus_per_node", c.gpus_per_node},
               {"nics_per_node", c.nics()},
               {"host_memory_bytes", c.host_memory.value},
               {"host_bandwidth_bytes_per_s", c.host_bandwidth.value},
               {"collective_launch_s", c.collective_launch.value},
               {"bulk_launch_s", c.bulk_launch.value},
               {"token_launch_s", c.token_launch.value},
               {"low_latency_launch_s", c.low_latency_launch.value},
               {"nvlink_step_s", c.nvlink_step.value},
               {"network_step_s", c.network_step.value},
               {"send_piece_s", c.send_piece.value},
               {"token_nvlink_share", c.token_nvlink_share},
               {"token_nic_share", c.token_nic_share},
               {"bisection_bytes_per_s", s.bisection.value},
               {"pairs", ReachJson(s.reach)}};
  if (c.switches.value) json["fabric"] = FabricJson(c.switches.value->tree());
  if (!s.failed.empty()) {
    Json degraded = Json::array();
    for (size_t i = 0; i < s.degraded.size(); ++i)
      degraded.push_back({{"name", LinkName(c, s.degraded[i])},
                          {"capacity_bytes_per_s", DatasheetRate(c, s.degraded[i]).value},
                          {"healthy_bytes_per_s", s.healthy_rate[i].value}});
    json["failed"] = s.failed;
    json["degraded_links"] = std::move(degraded);
    json["healthy_bisection_bytes_per_s"] = s.healthy_bisection.value;
    json["healthy_pairs"] = ReachJson(s.healthy_reach);
  }
  json["link_kinds"] = std::move(kinds);
  json["links"] = std::move(links);
  return json;
}

std::string TopoText(const Survey& s) {
  const Cluster& c = s.cluster;
  std::string text = c.name + ": " + Counted(c.gpus, "GPU") +
                     (c.pools.empty() ? " (" + c.device.name + ")" : "") + " in " +
                     Counted(c.nodes(), "node") + "\n";
  for (size_t i = 0; i < c.pools.size(); ++i)
    text += std::string(i == 0 ? "  pools      " : "             ") +
            Counted(c.pools[i].nodes, "node") + " of " + c.pools[i].device_name + "\n";
  if (c.switches.value) text += "  fabric     " + FabricText(c) + "\n";
  text += "  bisection  " + Rate(s.bisection) + "  from the first half of the GPUs to the second\n";
  if (c.gpus > 1 && (c.switches.value || !s.failed.empty()))
    text += "  pairs      " + PairsText(s.reach) + "\n";
  if (!s.failed.empty()) {
    std::vector<std::string_view> names(s.failed.begin(), s.failed.end());
    text += "  without    " + Join(names) + ": " +
            Counted(static_cast<int>(s.degraded.size()), "link") + " slower or gone, " +
            Counted(s.reach.cut_off, "GPU") + " cut off\n";
    text += "  healthy    " + Rate(s.healthy_bisection) + ", " + PairsText(s.healthy_reach) + "\n";
  }
  Rows rows = {{"links", "count", "datasheet", "usable"}};
  for (const LinkKind& kind : KindsOf(c))
    rows.push_back({kind.name, Thousands(kind.count), Rate(kind.datasheet), Rate(kind.usable)});
  return text + "\n" + Aligned(rows, "lrrr");
}

}  // namespace moecast
