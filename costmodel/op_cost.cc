#include "costmodel/op_cost.h"

#include <algorithm>

#include "base/check.h"
#include "base/known.h"
#include "costmodel/collectives/rates.h"

namespace moecast {
namespace {

constexpr Known kPcieSigma{0.05,
                           "63 GB/s on the wire of a Gen5 x16 link, 57 left by the headers of "
                           "256-byte payloads, about 55 copied"};
// Share of a host's nominal memory bandwidth that Adam on its cores streams at.
constexpr Known kHostAdamEfficiency{
    0.43,
    "ZeRO-Offload (arXiv 2101.06840), table of CPU-Adam's latency: 10^10 "
    "parameters of 28 bytes in 2.57 s on two "
    "Xeon 8168, whose twelve channels of DDR4-2666 have 256 GB/s"};
constexpr Known kHostAdamSigma{0.3,
                               "between that share and the 0.8 of nominal that STREAM reaches on "
                               "Xeons with DDR5, as half a deviation"};

// Most that a collective takes of the HBM that a kernel beside it streams through: where both want
// all of it they get as much each, max-min fair as flows on a link. (One that wants more is slowed
// too; none of NVLink or a NIC of today does: three times NVLink's 450 GB/s is 0.4 of 3.35 TB/s.)
constexpr double kFairShare = 0.5;

constexpr std::string_view kChunks = "ring-chunks";

// What runs in parts, as one Traffic that takes as long on its links.
Traffic InOne(Parts parts, const Cluster& cluster) {
  if (parts.size() == 1) return std::move(parts[0]);
  Traffic all;
  Seconds busy;
  for (const Traffic& part : parts) {
    busy += BusyTime(part, cluster);
    all.transport = part.transport;
    all.unreachable += part.unreachable;
    for (const PathLoad& p : part.paths) all.paths.push_back({p.path, p.bytes * part.stretch});
  }
  all.Merge();
  if (!all.empty() && all.unreachable == 0) all.stretch = busy / BusyTime(all, cluster);
  return all;
}

// Through HBM goes what a GPU sends, read where it lies, and what it receives, written; a reduction
// of its SMs also reads what it adds to, one of the switch is done when it arrives. (Buffers of
// NCCL and of DeepEP's normal kernels lie in HBM; what stays in L2 is not counted off.)
Bytes ThroughHbm(CollectiveKind kind, const Traffic& part, const Cluster& cluster) {
  const bool adds =
      (kind == CollectiveKind::kReduceScatter || kind == CollectiveKind::kAllReduce) &&
      part.transport != Transport::kMulticast;
  const PortBytes out = BytesSent(part, cluster), in = BytesReceived(part, cluster);
  return out.nvlink + out.network + (in.nvlink + in.network) * (adds ? 2 : 1);
}

}  // namespace

FlopsPerSecond PeakOf(const Device& device, const OpQuery& query) {
  Dtype dtype = Dtype::kBf16;
  if (const auto* gemm = std::get_if<GemmQuery>(&query)) dtype = gemm->dtype;
  if (const auto* grouped = std::get_if<GroupedGemmQuery>(&query)) dtype = grouped->dtype;
  return dtype == Dtype::kFp8 || dtype == Dtype::kFp8Block ? device.fp8_peak : device.bf16_peak;
}

OpCosts::OpCosts(const KernelCosts& kernels, const Cluster& cluster, const ShardPlan& shard,
                 const Placement& placement, const ExpertSpread& spread,
                 const WholeStep& whole_step, int model_copies)
    : kernels_(kernels),
      cluster_(cluster),
      whole_step_(whole_step),
      placement_(placement),
      copies_(model_copies),
      communication_sms_(shard.overlap.communication_sms),
      sms_left_(cluster.device.sms - shard.overlap.communication_sms),
      tp_chunks_(shard.overlap.tp),
      choice_(shard.collectives),
      spread_(spread) {
  CostSources sources = kernels.calibration().sources();
  const auto add = [&](Resource resource, const char* name, const Known& known) {
    source_of_[static_cast<size_t>(resource)] = sources.Add(name, known.source);
  };
  add(Resource::kPcie, "PCIe rate", kPcieSigma);
  add(Resource::kHost, "host memory rate", kHostAdamEfficiency);
  add(Resource::kNvlink, "NVLink rate", kNvlinkSigma);
  add(Resource::kNetwork, "network rate", kNetworkSigma);
  sources_ = std::make_shared<const CostSources>(std::move(sources));
}

std::vector<Axis> AxesOf(const Placement& placement, GroupKind group) {
  switch (group) {
    case GroupKind::kTp:
      return {Axis::kTp};
    case GroupKind::kCp:
      return {Axis::kCp};
    case GroupKind::kEp:
      return placement.ExpertAxes();
    case GroupKind::kData:
      return {Axis::kCp, Axis::kEp, Axis::kEdp};
    case GroupKind::kExpertData:
      return {Axis::kCp, Axis::kEdp};
    case GroupKind::kPipelineNext:
      return {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp};
    case GroupKind::kWorld:
      return {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp};
  }
  MOECAST_CHECK(false);
}

std::vector<int> GroupOf(const Placement& placement, GroupKind group, const RankCoordinates& member,
                         int model_copies) {
  std::vector<int> gpus = placement.Group(member, AxesOf(placement, group));
  // Gradients and weights of a piece of the model are reduced and gathered over all copies of it:
  // those of the first stage are the last's too.
  if (model_copies > 1 && (group == GroupKind::kData || group == GroupKind::kExpertData)) {
    RankCoordinates other = member;
    other[Axis::kPp] = placement.Size(Axis::kPp) - 1 - member[Axis::kPp];
    const std::vector<int> others = placement.Group(other, AxesOf(placement, group));
    gpus.insert(gpus.end(), others.begin(), others.end());
    std::sort(gpus.begin(), gpus.end());
  }
  return gpus;
}

CollectiveCall OpCosts::UnitCall(CollectiveKind kind, GroupKind group,
                                 const RankCoordinates& member, int to_stage, Bytes bytes) const {
  CollectiveCall call{.kind = kind,
                      .group = GroupOf(placement_, group, member, copies_),
                      .bytes = bytes,
                      .spread = spread_.uniform,
                      .sms = kind == CollectiveKind::kDispatch ? communication_sms_ : 0};
  if (kind == CollectiveKind::kSend) {
    RankCoordinates there = member;
    there[Axis::kPp] = to_stage;
    const std::vector<int> to = placement_.Group(there, AxesOf(placement_, group));
    call.group.insert(call.group.end(), to.begin(), to.end());
  }
  return call;
}

Parts OpCosts::UnitParts(const CollectiveAlgorithm& algorithm, GroupKind group,
                         const RankCoordinates& member, int to_stage) const {
  const CollectiveCall call = UnitCall(algorithm.kind, group, member, to_stage, Bytes(1));
  const Routes routes(cluster_);
  // What runs in the first group may not in one that lies across nodes.
  if (Unfit(algorithm, call.group, routes).empty()) return moecast::Lower(algorithm, call, routes);
  return moecast::Lower(*AutomaticAlgorithms(call.kind, call.group, routes).front(), call, routes);
}

Traffic OpCosts::UnitTraffic(const CollectiveAlgorithm& algorithm, GroupKind group,
                             const RankCoordinates& member, int to_stage) const {
  return InOne(UnitParts(algorithm, group, member, to_stage), cluster_);
}

OpCosts::Lowered OpCosts::LowerBy(const CollectiveAlgorithm& algorithm, GroupKind group) const {
  Lowered lowered{.algorithm = &algorithm};
  Parts parts = UnitParts(algorithm, group, {}, NextStage());
  for (const Traffic& part : parts) {
    if (part.empty()) continue;
    lowered.alpha += AlphaOf(part, cluster_);
    lowered.per_byte += BusyTime(part, cluster_);
    const PortBytes sent = BytesSent(part, cluster_);
    lowered.sent.nvlink += sent.nvlink;
    lowered.sent.network += sent.network;
    lowered.through_hbm += ThroughHbm(algorithm.kind, part, cluster_);
  }
  const Traffic unit = InOne(std::move(parts), cluster_);
  lowered.travels = !unit.empty();
  if (lowered.travels) lowered.network = IsNetwork(cluster_, BusiestLink(unit, cluster_));
  return lowered;
}

std::vector<OpCosts::Candidate> OpCosts::CandidatesOf(const CollectiveQuery& query) const {
  // Dispatch and combine put the same bytes on the same links, the other way.
  const auto kind = query.kind == CollectiveKind::kCombine ? CollectiveKind::kDispatch : query.kind;
  const CollectiveCall call = UnitCall(kind, query.group, {}, NextStage(), Bytes(0));
  const Routes routes(cluster_);
  const std::string_view name = query.group == GroupKind::kTp && tp_chunks_ ? kChunks
                                : query.group == GroupKind::kWorld          ? kAutoAlgorithm
                                                                   : choice_.Of(query.kind);
  std::vector<Candidate> candidates;
  const auto add = [&](const CollectiveAlgorithm& algorithm) {
    Seconds alpha;
    for (const Traffic& part : moecast::Lower(algorithm, call, routes))
      alpha += AlphaOf(part, cluster_);
    candidates.push_back({&algorithm, alpha, std::nullopt});
  };
  const bool engine = name == kEngineAlgorithm;
  if (engine || name == kAutoAlgorithm) {
    for (const CollectiveAlgorithm* a : AutomaticAlgorithms(kind, call.group, routes, engine))
      add(*a);
  } else {
    const CollectiveAlgorithm* named = FindAlgorithm(kind, name);
    MOECAST_CHECK(named);
    add(*named);
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::alpha);
  return candidates;
}

OpCosts::Lowered OpCosts::Lower(const CollectiveQuery& query) const {
  const bool as_dispatch =
      query.kind == CollectiveKind::kCombine && choice_.combine == choice_.dispatch;
  const auto kind = as_dispatch ? CollectiveKind::kDispatch : query.kind;
  const std::lock_guard lock(lowering_);
  auto& candidates =
      candidates_[static_cast<size_t>(kind) * std::size(EnumNames<GroupKind>::kNames) +
                  static_cast<size_t>(query.group)];
  if (candidates.empty()) candidates = CandidatesOf({kind, query.group});
  const Lowered* fastest = nullptr;
  Seconds least;
  for (Candidate& c : candidates) {
    if (query.algorithm && query.algorithm != c.algorithm) continue;
    // Those behind it take longer to start.
    if (fastest && c.alpha > least) break;
    if (!c.lowered) c.lowered = LowerBy(*c.algorithm, query.group);
    const Seconds time = c.lowered->Time(query.bytes);
    if (fastest && (time > least || (time == least && fastest->algorithm < c.algorithm))) continue;
    fastest = &*c.lowered;
    least = time;
  }
  MOECAST_CHECK(fastest);
  return *fastest;
}

PortBytes OpCosts::UnitBytes(const CollectiveQuery& query) const {
  return Lower(query).sent;
}

// Ranks of a node have a PCIe link each and share the host's memory.
Cost OpCosts::HostCost(const HostQuery& query) const {
  const bool copy = query.work == HostWork::kCopy;
  const int sharers = std::min(cluster_.gpus_per_node, placement_.world());
  const BytesPerSecond rate = copy ? cluster_.device.pcie_usable
                                   : cluster_.host_bandwidth * kHostAdamEfficiency.value / sharers;
  const Resource resource = copy ? Resource::kPcie : Resource::kHost;
  return {.time = query.bytes / rate,
          .sigma_table = copy ? kPcieSigma.value : kHostAdamSigma.value,
          .source = SourceOf(resource),
          .bound = Bound::kLatency,
          .resource = resource};
}

double OpCosts::Beside(const Op& op, const Cost& cost) const {
  if (const auto* collective = std::get_if<CollectiveQuery>(&op.query)) {
    if (cost.time.value <= 0) return 0;
    const Bytes moved = collective->bytes * Lower(*collective).through_hbm.value;
    // An era stretches the kernels beside it alike.
    return std::min(kFairShare, moved / (cost.time / whole_step_.era) / cluster_.device.hbm);
  }
  if (cost.bound != Bound::kCompute || sms_left_ == cluster_.device.sms) return 1;
  // Tiles of a GEMM go over fewer SMs, in whole waves.
  Op squeezed = op;
  if (auto* gemm = std::get_if<GemmQuery>(&squeezed.query))
    gemm->sms = sms_left_;
  else if (auto* grouped = std::get_if<GroupedGemmQuery>(&squeezed.query))
    grouped->sms = sms_left_;
  else
    return static_cast<double>(sms_left_) / cluster_.device.sms;
  return std::min(1.0, cost.time / Of(squeezed).time);
}

Cost OpCosts::Of(const Op& op) const {
  if (const auto* host = std::get_if<HostQuery>(&op.query)) return HostCost(*host);
  const auto* collective = std::get_if<CollectiveQuery>(&op.query);
  if (!collective) {
    Cost cost = kernels_.Of(op.query);
    if (const double flops = FlopsOf(op.query).value; flops > 0)
      cost.utilisation = flops / (cost.time.value * PeakOf(cluster_.device, op.query).value);
    cost.resource = ResourceOf(cost.bound);
    return Sustained(cost, whole_step_);
  }
  const Lowered l = Lower(*collective);
  const Resource resource = l.network ? Resource::kNetwork : Resource::kNvlink;
  if (!l.travels || collective->bytes.value <= 0) return {.resource = resource};
  return SustainedCollective({.time = l.Time(collective->bytes),
                              .sigma_table = l.network ? kNetworkSigma.value : kNvlinkSigma.value,
                              .source = SourceOf(resource),
                              .bound = Bound::kMemory,
                              .resource = resource},
                             whole_step_);
}

}  // namespace moecast
