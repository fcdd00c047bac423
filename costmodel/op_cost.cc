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

// Bytes through HBM for each byte that a rank sends: it is read where it is sent from and written
// where it arrives, and a rank receives what it sends; a reduction also reads what it adds to.
// (Buffers of NCCL and of DeepEP's normal kernels lie in HBM; what stays in L2 is not counted off.)
double HbmBytesPerByteSent(CollectiveKind kind) {
  const bool reduces = kind == CollectiveKind::kReduceScatter || kind == CollectiveKind::kAllReduce;
  return reduces ? 3 : 2;
}

}  // namespace

FlopsPerSecond PeakOf(const Device& device, const OpQuery& query) {
  Dtype dtype = Dtype::kBf16;
  if (const auto* gemm = std::get_if<GemmQuery>(&query)) dtype = gemm->dtype;
  if (const auto* grouped = std::get_if<GroupedGemmQuery>(&query)) dtype = grouped->dtype;
  return dtype == Dtype::kFp8 || dtype == Dtype::kFp8Block ? device.fp8_peak : device.bf16_peak;
}

OpCosts::OpCosts(KernelCosts& kernels, const Cluster& cluster, const ShardPlan& shard,
                 const Placement& placement, const ExpertSpread& spread,
                 const WholeStep& whole_step, int model_copies)
    : kernels_(kernels),
      cluster_(cluster),
      whole_step_(whole_step),
      placement_(placement),
      copies_(model_copies),
      sms_left_(std::max((cluster.device.sms + kLeastSmsLeft - 1) / kLeastSmsLeft,
                         cluster.device.sms - shard.overlap.communication_sms)),
      tp_transport_(shard.overlap.tp ? Transport::kChunks : Transport::kBulk),
      spread_(spread) {
  std::vector<std::string> sources = kernels.calibration().sources();
  const auto add = [&](Resource resource, const char* name, const Known& known) {
    source_of_[static_cast<size_t>(resource)] = static_cast<uint16_t>(sources.size());
    sources.push_back(std::string(name) + ": " + known.source);
  };
  add(Resource::kPcie, "PCIe rate", kPcieSigma);
  add(Resource::kHost, "host memory rate", kHostAdamEfficiency);
  add(Resource::kNvlink, "NVLink rate", kNvlinkSigma);
  add(Resource::kNetwork, "network rate", kNetworkSigma);
  sources_ = std::make_shared<const std::vector<std::string>>(std::move(sources));
}

std::vector<Axis> AxesOf(GroupKind group) {
  switch (group) {
    case GroupKind::kTp:
      return {Axis::kTp};
    case GroupKind::kCp:
      return {Axis::kCp};
    case GroupKind::kEp:
      return {Axis::kEp};
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

Traffic OpCosts::UnitTraffic(const CollectiveQuery& query, const RankCoordinates& member,
                             int to_stage) const {
  std::vector<int> group = placement_.Group(member, AxesOf(query.group));
  const auto on_stage = [&](int stage) {
    RankCoordinates there = member;
    there[Axis::kPp] = stage;
    return placement_.Group(there, AxesOf(query.group));
  };
  // Gradients and weights of a piece of the model are reduced and gathered over all copies of it:
  // those of the first stage are the last's too.
  if (copies_ > 1 && (query.group == GroupKind::kData || query.group == GroupKind::kExpertData)) {
    const std::vector<int> others = on_stage(placement_.Size(Axis::kPp) - 1 - member[Axis::kPp]);
    group.insert(group.end(), others.begin(), others.end());
    std::sort(group.begin(), group.end());
  }
  const Routes routes(cluster_);
  const Bytes one(1);
  const Transport transport = query.group == GroupKind::kTp ? tp_transport_ : Transport::kBulk;
  switch (query.kind) {
    case CollectiveKind::kAllGather:
      return RingAllGather(group, one, routes, transport);
    case CollectiveKind::kReduceScatter:
      return RingReduceScatter(group, one, routes, transport);
    case CollectiveKind::kAllReduce:
      // Over the world one number is summed, the gradient norm.
      return query.group == GroupKind::kWorld ? TreeAllReduce(group, one, routes)
                                              : RingAllReduce(group, one, routes, transport);
    case CollectiveKind::kDispatch:
    case CollectiveKind::kCombine:
      return ExpertAllToAll(group, one, spread_.uniform, routes);
    case CollectiveKind::kSend:
      return Send(group, on_stage(to_stage), one, routes);
    default:  // no op of a step
      MOECAST_CHECK(query.kind == CollectiveKind::kSend);
      return {};
  }
}

const OpCosts::Lowered& OpCosts::Lower(const CollectiveQuery& query) {
  // Dispatch and combine put the same bytes on the same links, the other way.
  const auto kind = query.kind == CollectiveKind::kCombine ? CollectiveKind::kDispatch : query.kind;
  auto& slot = lowered_[static_cast<size_t>(kind) * 8 + static_cast<size_t>(query.group)];
  if (slot) return *slot;
  Lowered lowered;
  if (kind != CollectiveKind::kSend || placement_.Size(Axis::kPp) > 1)
    lowered.unit = UnitTraffic({kind, query.group}, {}, 1);
  if (!lowered.unit.empty()) {
    lowered.alpha = AlphaOf(lowered.unit, cluster_);
    lowered.per_byte = BusyTime(lowered.unit, cluster_);
    lowered.network = IsNetwork(cluster_, BusiestLink(lowered.unit, cluster_));
  }
  lowered.sent = BytesSent(lowered.unit, cluster_);
  return slot.emplace(std::move(lowered));
}

PortBytes OpCosts::UnitBytes(const CollectiveQuery& query) {
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

double OpCosts::Beside(const Op& op, const Cost& cost) {
  if (const auto* collective = std::get_if<CollectiveQuery>(&op.query)) {
    if (cost.time.value <= 0) return 0;
    const PortBytes unit = UnitBytes(*collective);
    const Bytes moved = collective->bytes * (HbmBytesPerByteSent(collective->kind) *
                                             (unit.nvlink + unit.network).value);
    // An era stretches the kernels beside it alike.
    return std::min(kMostHbmTaken, moved / (cost.time / whole_step_.era) / cluster_.device.hbm);
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

Cost OpCosts::Of(const Op& op) {
  if (const auto* host = std::get_if<HostQuery>(&op.query)) return HostCost(*host);
  const auto* collective = std::get_if<CollectiveQuery>(&op.query);
  if (!collective) {
    Cost cost = kernels_.Of(op.query);
    if (const double flops = FlopsOf(op.query).value; flops > 0)
      cost.utilisation = flops / (cost.time.value * PeakOf(cluster_.device, op.query).value);
    cost.resource = ResourceOf(cost.bound);
    return Sustained(cost, whole_step_);
  }
  const Lowered& l = Lower(*collective);
  const Resource resource = l.network ? Resource::kNetwork : Resource::kNvlink;
  if (l.unit.empty() || collective->bytes.value <= 0) return {.resource = resource};
  return SustainedCollective({.time = l.alpha + l.per_byte * collective->bytes.value,
                              .sigma_table = l.network ? kNetworkSigma.value : kNvlinkSigma.value,
                              .source = SourceOf(resource),
                              .bound = Bound::kMemory,
                              .resource = resource},
                             whole_step_);
}

}  // namespace moecast
