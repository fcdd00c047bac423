#include "sim/training/step_flows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

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
    is_port_.push_back(IsPort(cluster, link));
  }
  return at->second;
}

// A member of each group of the stage that runs the collective: of all replicas, or of the first.
std::vector<RankCoordinates> StepFlows::MembersOf(const CollectiveQuery& query, int stage,
                                                  const Placement& placement) const {
  const std::vector<Axis> in_group = AxesOf(placement, query.group);
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

UnitCollective StepFlows::Lower(const CollectiveQuery& query, int from, int to,
                                const OpCosts& costs) {
  const OpCosts::Lowered alone = costs.Lower(query);
  UnitCollective unit;
  unit.alpha = alone.alpha;
  unit.per_byte = alone.per_byte;
  if (!alone.travels) return unit;
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

UnitCollective StepFlows::Fold(const CollectiveQuery& query, int from, int to,
                               const OpCosts& costs) {
  const Cluster& cluster = costs.cluster();
  const Placement& placement = costs.placement();
  const OpCosts::Lowered alone = costs.Lower(query);
  UnitCollective unit;
  unit.alpha = alone.alpha;
  unit.per_byte = alone.per_byte;

  // A network that does not block has the GPUs' ports alone, which are alike in all groups.
  std::vector<RankCoordinates> members = MembersOf(query, from, placement);
  if (NumberOfLinks(cluster) == cluster.ports()) members.resize(1);
  std::map<Ports, Folded> folded;
  double gpus = 0;
  for (const RankCoordinates& member : members) {
    gpus += static_cast<double>(placement.Group(member, AxesOf(placement, query.group)).size());
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

void StepFlows::Add(int stage, Sender sender, const CollectiveQuery& query, const OpCosts& costs) {
  const std::pair key{stage, KeyOf(query)};
  if (collectives_.contains(key)) return;
  const int communicator = stage * kGroupKinds + static_cast<int>(query.group);
  collectives_[key] = {Lower(query, stage, stage, costs),
                       2 * communicator + static_cast<int>(sender)};
}

void StepFlows::AddSend(int from, int to, const OpCosts& costs) {
  if (sends_.contains({from, to})) return;
  const CollectiveQuery send{CollectiveKind::kSend, GroupKind::kPipelineNext};
  sends_[{from, to}] = {Lower(send, from, to, costs), -1};
}

template <class Visit>
void StepFlows::EachEntry(Visit visit) {
  for (auto& [key, entry] : collectives_) visit(entry);
  for (auto& [key, entry] : sends_) visit(entry);
}

// Takes off links that can never be full: what all flows through it have together is held below its
// capacity by ports that they also go through and that stay, as what a port receives of one other
// is by that.
void StepFlows::DropLinksNeverFull() {
  std::vector<std::vector<std::pair<const UnitFlow*, double>>> through(links_.size());
  EachEntry([&](Entry& e) {
    for (const UnitFlow& f : e.unit.flows)
      for (const LinkShare& s : f.links) through[s.link].emplace_back(&f, s.share);
  });
  std::vector<char> dropped(links_.size(), 0);
  // By port: bytes on the link for a byte on the port, of the flow that has most.
  std::vector<double> most(links_.size(), 0);
  for (LinkId l = 0; l < static_cast<LinkId>(links_.size()); ++l) {
    std::vector<LinkId> holders;
    bool held = true;
    for (const auto& [flow, share] : through[l]) {
      const LinkShare* holder = nullptr;
      const auto rate = [&](const LinkShare& s) { return capacity_[s.link] / s.share; };
      for (const LinkShare& s : flow->links)
        if (s.link != l && is_port_[s.link] && !dropped[s.link] &&
            (!holder || rate(s) < rate(*holder)))
          holder = &s;
      held = held && holder;
      if (!held) break;
      if (most[holder->link] == 0) holders.push_back(holder->link);
      most[holder->link] = std::max(most[holder->link], share / holder->share);
    }
    BytesPerSecond sum;
    for (const LinkId port : holders) sum += capacity_[port] * std::exchange(most[port], 0);
    dropped[l] = held && sum <= capacity_[l];
  }
  EachEntry([&](Entry& e) {
    for (UnitFlow& f : e.unit.flows)
      std::erase_if(f.links, [&](const LinkShare& s) { return dropped[s.link]; });
  });
}

void StepFlows::FindShared() {
  constexpr int kSend = -1;
  DropLinksNeverFull();
  std::vector<std::set<int>> senders(links_.size());
  EachEntry([&](Entry& e) {
    for (const UnitFlow& f : e.unit.flows)
      for (const LinkShare& s : f.links) senders[s.link].insert(e.sender);
  });
  EachEntry([&](Entry& e) {
    std::set<LinkId> meets;
    for (const UnitFlow& f : e.unit.flows)
      for (const LinkShare& s : f.links)
        if (senders[s.link].size() > 1 || senders[s.link].contains(kSend)) meets.insert(s.link);
    e.unit.meets.assign(meets.begin(), meets.end());
    any_shared_ = any_shared_ || e.unit.shared();
  });
  shared_.assign(CollectiveAlgorithms().size() * kGroupKinds, 0);
  for (const auto& [key, entry] : collectives_)
    if (entry.unit.shared()) shared_[key.second] = 1;
  if (!any_shared_) return;
  FairShares shares(capacity_);
  EachEntry([&](Entry& e) { FindPhases(e.unit, shares); });
}

const UnitCollective& StepFlows::Of(int stage, const CollectiveQuery& query) const {
  return collectives_.at({stage, KeyOf(query)}).unit;
}

size_t StepFlows::HeldBytes() const {
  // Of a node of a map: three pointers and a colour.
  constexpr size_t kNode = 4 * sizeof(void*);
  const auto of = [](const auto& list) { return list.capacity() * sizeof(list[0]); };
  size_t bytes = of(links_) + of(capacity_) + of(is_port_) +
                 number_.size() * (kNode + sizeof(*number_.begin()));
  for (const auto* entries : {&collectives_, &sends_})
    for (const auto& entry : *entries) {
      const UnitCollective& unit = entry.second.unit;
      bytes += kNode + sizeof entry + of(unit.flows) + of(unit.meets) + of(unit.phases);
      for (const UnitFlow& flow : unit.flows) bytes += of(flow.links);
      for (const UnitCollective::Phase& phase : unit.phases)
        bytes += of(phase.rates) + of(phase.rated);
    }
  return bytes;
}

StepFlows FlowsOf(const StepSenders& senders, const OpCosts& costs) {
  StepFlows flows(senders.extent);
  for (const StepSenders::Collective& c : senders.collectives)
    flows.Add(c.stage, c.sender, {c.kind, c.group, Bytes(0), c.algorithm}, costs);
  for (const auto& [from, to] : senders.sends) flows.AddSend(from, to, costs);
  flows.FindShared();
  return flows;
}

}  // namespace moecast
