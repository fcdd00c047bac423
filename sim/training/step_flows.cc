#include "sim/training/step_flows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/check.h"

namespace moecast {
namespace {

// The ports that a path takes, without the switches between them.
using Ports = std::vector<Port>;

struct Folded {
  Bytes bytes;
  double flows = 0;
  std::map<LinkId, Bytes> switches;
};

// Whether the port is the receiver's: what comes after the network, or after NVLink where nothing
// else does.
bool Receives(const Ports& ports, size_t i) {
  const auto nic = std::find(ports.begin(), ports.end(), Port::kNicIn);
  const auto at = static_cast<ptrdiff_t>(i);
  return nic == ports.end() ? ports[i] == Port::kNvlinkIn : at >= nic - ports.begin();
}

}  // namespace

int StepFlows::KeyOf(const CollectiveQuery& query) {
  MOECAST_CHECK(query.algorithm);
  const auto row = query.algorithm - CollectiveAlgorithms().data();
  return static_cast<int>(row) * kGroupKinds + static_cast<int>(query.group);
}

LinkId StepFlows::Number(const Cluster& cluster, LinkId link) {
  const auto [at, is_new] = number_.try_emplace(link, static_cast<LinkId>(links_.size()));
  if (is_new) {
    links_.push_back(link);
    capacity_.push_back(CapacityOf(cluster, link));
  }
  return at->second;
}

// A member of each group of the stage that runs the collective: of all replicas, or of the first.
std::vector<RankCoordinates> StepFlows::MembersOf(const CollectiveQuery& query, int stage,
                                                  const Placement& placement) const {
  const std::vector<Axis> in_group = AxesOf(query.group);
  RankCoordinates at;
  at[Axis::kPp] = stage;
  std::vector<RankCoordinates> members{at};
  for (const Axis axis : {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp}) {
    if (std::find(in_group.begin(), in_group.end(), axis) != in_group.end()) continue;
    if (axis == Axis::kEdp && extent_ == StepExtent::kReplica) continue;
    const size_t before = members.size();
    for (int i = 1; i < placement.Size(axis); ++i)
      for (size_t m = 0; m < before; ++m) {
        members.push_back(members[m]);
        members.back()[axis] = i;
      }
  }
  return members;
}

UnitCollective StepFlows::Lower(const CollectiveQuery& query, int from, int to, OpCosts& costs) {
  const OpCosts::Lowered& alone = costs.Lower(query);
  UnitCollective unit{
      .alpha = alone.alpha, .per_byte = alone.per_byte, .flows = {}, .shared = false};
  if (alone.unit.empty()) return unit;
  if (extent_ == StepExtent::kOneGpuPerStage) return Fold(query, from, to, costs);
  const auto in_replica = [&](LinkId link) {
    MOECAST_CHECK(IsPort(costs.cluster(), link));
    return costs.placement().CoordinatesOf(GpuOf(link))[Axis::kEdp] == 0;
  };
  for (const RankCoordinates& member : MembersOf(query, from, costs.placement())) {
    const Traffic traffic = costs.UnitTraffic(*alone.algorithm, query.group, member, to);
    const LinkCosts taken = LinkCostsOf(traffic, costs.cluster());
    for (const PathLoad& p : traffic.paths) {
      const auto links = p.path.span();
      if (std::none_of(links.begin(), links.end(), in_replica)) continue;
      unit.flows.push_back({.links = {}, .bytes = p.bytes * taken.of(costs.cluster(), p.path)});
      for (const LinkId l : links) unit.flows.back().links.push_back({Number(costs.cluster(), l)});
    }
  }
  return unit;
}

UnitCollective StepFlows::Fold(const CollectiveQuery& query, int from, int to, OpCosts& costs) {
  const Cluster& cluster = costs.cluster();
  const Placement& placement = costs.placement();
  const OpCosts::Lowered& alone = costs.Lower(query);
  UnitCollective unit{
      .alpha = alone.alpha, .per_byte = alone.per_byte, .flows = {}, .shared = false};

  // A network that does not block has the GPUs' ports alone, which are alike in all groups.
  std::vector<RankCoordinates> members = MembersOf(query, from, placement);
  if (NumberOfLinks(cluster) == cluster.ports()) members.resize(1);
  std::map<Ports, Folded> folded;
  double gpus = 0;
  for (const RankCoordinates& member : members) {
    gpus += static_cast<double>(placement.Group(member, AxesOf(query.group)).size());
    const Traffic traffic = costs.UnitTraffic(*alone.algorithm, query.group, member, to);
    const LinkCosts taken = LinkCostsOf(traffic, cluster);
    for (const PathLoad& p : traffic.paths) {
      const Bytes bytes = p.bytes * taken.of(cluster, p.path);
      Ports ports;
      for (const LinkId l : p.path.span())
        if (IsPort(cluster, l)) ports.push_back(PortOf(l));
      Folded& f = folded[ports];
      f.bytes += bytes;
      f.flows += 1;
      for (const LinkId l : p.path.span())
        if (!IsPort(cluster, l)) f.switches[l] += bytes;
    }
  }
  // The port of the GPU that stands for a stage.
  const auto port_of = [&](int stage, Port port) {
    RankCoordinates first;
    first[Axis::kPp] = stage;
    const int gpu = placement.GpuOf(first);
    return Number(cluster, LinkOf(IsNic(port) ? cluster.NicOwner(gpu) : gpu, port));
  };
  Seconds busiest;
  std::map<LinkId, Bytes> load;
  for (const auto& [ports, f] : folded) {
    const int flows = std::max(1, static_cast<int>(std::lround(f.flows / gpus)));
    const Bytes each = f.bytes / (gpus * flows);
    UnitFlow& flow =
        unit.flows.emplace_back(UnitFlow{.links = {}, .bytes = each, .multiplicity = flows});
    for (size_t i = 0; i < ports.size(); ++i)
      flow.links.push_back({port_of(Receives(ports, i) ? to : from, ports[i])});
    for (const auto& [link, bytes] : f.switches)
      flow.links.push_back({Number(cluster, link), bytes / (each * flows)});
    for (const LinkShare& s : flow.links) {
      load[s.link] += each * (s.share * flows);
      busiest = std::max(busiest, load[s.link] / capacity_[static_cast<size_t>(s.link)]);
    }
  }
  // Where ranks are not alike the busiest decides: the one that stands for them carries its load.
  if (busiest < alone.per_byte)
    for (UnitFlow& flow : unit.flows) flow.bytes = flow.bytes * (alone.per_byte / busiest);
  return unit;
}

void StepFlows::Add(int stage, Sender sender, const CollectiveQuery& query, OpCosts& costs) {
  const std::pair key{stage, KeyOf(query)};
  if (collectives_.contains(key)) return;
  collectives_[key] = {Lower(query, stage, stage, costs), 2 * stage + static_cast<int>(sender)};
}

void StepFlows::AddSend(int from, int to, OpCosts& costs) {
  if (sends_.contains({from, to})) return;
  const CollectiveQuery send{CollectiveKind::kSend, GroupKind::kPipelineNext};
  sends_[{from, to}] = {Lower(send, from, to, costs), -1};
}

void StepFlows::FindShared() {
  constexpr int kSend = -1;
  std::vector<std::set<int>> senders(links_.size());
  const auto visit = [&](auto&& each) {
    for (auto& [key, entry] : collectives_) each(entry);
    for (auto& [key, entry] : sends_) each(entry);
  };
  visit([&](Entry& e) {
    for (const UnitFlow& f : e.unit.flows)
      for (const LinkShare& s : f.links) senders[static_cast<size_t>(s.link)].insert(e.sender);
  });
  visit([&](Entry& e) {
    e.unit.shared = false;
    for (const UnitFlow& f : e.unit.flows)
      for (const LinkShare& s : f.links) {
        const auto& on_link = senders[static_cast<size_t>(s.link)];
        e.unit.shared = e.unit.shared || on_link.size() > 1 || on_link.contains(kSend);
      }
    any_shared_ = any_shared_ || e.unit.shared;
  });
}

const UnitCollective& StepFlows::Of(int stage, const CollectiveQuery& query) const {
  return collectives_.at({stage, KeyOf(query)}).unit;
}

}  // namespace moecast
