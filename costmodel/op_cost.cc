#include "costmodel/op_cost.h"

#include <algorithm>

#include "base/check.h"
#include "base/known.h"

namespace moecast {
namespace {

// How far the rate of a link may be off, as the standard deviation of its logarithm.
constexpr Known kNvlinkSigma{
    0.10,
    "H800 all-to-all kernels reach 153-158 GB/s of about 160 usable (DeepEP); NCCL's rings "
    "inside an H800 node are not published"};
constexpr Known kNetworkSigma{
    0.10, "48-49 GB/s of 50 seen by NCCL over ConnectX-7; 43-47 by the first DeepEP, before tuning"};

// A collective leaves at least one SM in so many, whatever the plan says.
constexpr int kLeastSmsLeft = 20;

// Bytes through HBM for each byte that a rank sends: it is read where it is sent from and written where it
// arrives, and a rank receives what it sends; a reduction also reads what it adds to. (Buffers of NCCL and of
// DeepEP's normal kernels lie in HBM; what stays in L2 is not counted off.)
double HbmBytesPerByteSent(CollectiveKind kind) {
  const bool reduces = kind == CollectiveKind::kReduceScatter || kind == CollectiveKind::kAllReduce;
  return reduces ? 3 : 2;
}

}  // namespace

Placement PlacementOf(const Parallel& p) {
  std::array<Axis, kAxes> order{};
  MOECAST_CHECK(p.rank_order.size() == kAxes);
  std::copy(p.rank_order.begin(), p.rank_order.end(), order.begin());
  return Placement({p.tp, p.cp, p.ep, p.edp(), p.pp}, order);
}

OpCosts::OpCosts(KernelCosts& kernels, const Cluster& cluster, const Model& model, const Plan& plan,
                 int copies)
    : kernels_(kernels),
      cluster_(cluster),
      placement_(PlacementOf(plan.parallel)),
      copies_(copies),
      sms_left_(std::max((cluster.device.sms + kLeastSmsLeft - 1) / kLeastSmsLeft,
                         cluster.device.sms - plan.overlap.communication_sms)) {
  sources_ = kernels.calibration().sources();
  sources_.push_back(std::string("NVLink rate: ") + kNvlinkSigma.source);
  sources_.push_back(std::string("network rate: ") + kNetworkSigma.source);
  if (model.moe.experts > 0) {
    const auto group = placement_.Group({}, {Axis::kEp});
    int on_node = 0;
    for (const int gpu : group) on_node += cluster.NodeOf(gpu) == cluster.NodeOf(group[0]);
    spread_ = SpreadOf(model.moe, plan.parallel.ep, on_node);
  }
}

const OpCosts::Lowered& OpCosts::Lower(const CollectiveQuery& query) {
  // Dispatch and combine put the same bytes on the same links, the other way.
  const auto kind = query.kind == CollectiveKind::kCombine ? CollectiveKind::kDispatch : query.kind;
  auto& slot = lowered_[static_cast<size_t>(kind) * 8 + static_cast<size_t>(query.group)];
  if (slot) return *slot;

  // Gradients and weights of a piece of the model are reduced and gathered over all copies of it: those of
  // the first stage are the last's too.
  const auto of_copies = [&](std::initializer_list<Axis> axes) {
    std::vector<int> group = placement_.Group({}, axes);
    if (copies_ == 1) return group;
    RankCoordinates mirror;
    mirror[Axis::kPp] = placement_.Size(Axis::kPp) - 1;
    const std::vector<int> others = placement_.Group(mirror, axes);
    group.insert(group.end(), others.begin(), others.end());
    return group;
  };
  const auto group_of = [&](GroupKind g) {
    switch (g) {
      case GroupKind::kTp:
        return placement_.Group({}, {Axis::kTp});
      case GroupKind::kCp:
        return placement_.Group({}, {Axis::kCp});
      case GroupKind::kEp:
        return placement_.Group({}, {Axis::kEp});
      case GroupKind::kData:
        return of_copies({Axis::kCp, Axis::kEp, Axis::kEdp});
      case GroupKind::kExpertData:
        return of_copies({Axis::kCp, Axis::kEdp});
      case GroupKind::kPipelineNext:
      case GroupKind::kWorld:
        return placement_.Group({}, {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp});
    }
    MOECAST_CHECK(false);
  };
  const Routes routes(cluster_);
  const Bytes one(1);
  Lowered lowered;
  switch (kind) {
    case CollectiveKind::kAllGather:
      lowered.unit = RingAllGather(group_of(query.group), one, routes);
      break;
    case CollectiveKind::kReduceScatter:
      lowered.unit = RingReduceScatter(group_of(query.group), one, routes);
      break;
    case CollectiveKind::kAllReduce:
      // Over the world one number is summed, the gradient norm.
      lowered.unit = query.group == GroupKind::kWorld ? TreeAllReduce(group_of(query.group), one, routes)
                                                      : RingAllReduce(group_of(query.group), one, routes);
      break;
    case CollectiveKind::kDispatch:
    case CollectiveKind::kCombine:
      lowered.unit = ExpertAllToAll(group_of(query.group), one, spread_, routes);
      break;
    case CollectiveKind::kSend: {
      if (placement_.Size(Axis::kPp) < 2) break;
      RankCoordinates next;
      next[Axis::kPp] = 1;
      const auto axes = {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp};
      lowered.unit = Send(placement_.Group({}, axes), placement_.Group(next, axes), one, routes);
      break;
    }
  }
  if (!lowered.unit.empty()) {
    lowered.alpha = AlphaOf(lowered.unit, cluster_);
    lowered.per_byte = BusyTime(lowered.unit, cluster_);
    lowered.network = IsNetwork(BusiestLink(lowered.unit, cluster_));
  }
  lowered.sent = BytesSent(lowered.unit);
  return slot.emplace(std::move(lowered));
}

PortBytes OpCosts::UnitBytes(const CollectiveQuery& query) {
  return Lower(query).sent;
}

double OpCosts::Beside(const Op& op, const Cost& cost) {
  constexpr double kMostTaken = 0.95;
  if (const auto* collective = std::get_if<CollectiveQuery>(&op.query)) {
    if (cost.time.value <= 0) return 0;
    const PortBytes unit = UnitBytes(*collective);
    const Bytes moved =
        collective->bytes * (HbmBytesPerByteSent(collective->kind) * (unit.nvlink + unit.network).value);
    return std::min(kMostTaken, moved / cost.time / cluster_.device.hbm);
  }
  if (cost.bound != Bound::kCompute || sms_left_ == cluster_.device.sms) return 1;
  // Tiles of a GEMM go over fewer SMs, in whole waves.
  OpQuery query = op.query;
  if (auto* gemm = std::get_if<GemmQuery>(&query))
    gemm->sms = sms_left_;
  else if (auto* grouped = std::get_if<GroupedGemmQuery>(&query))
    grouped->sms = sms_left_;
  else
    return static_cast<double>(sms_left_) / cluster_.device.sms;
  return std::min(1.0, cost.time / kernels_.Of(query).time);
}

Cost OpCosts::Of(const Op& op) {
  const auto* collective = std::get_if<CollectiveQuery>(&op.query);
  if (!collective) return kernels_.Of(op.query);
  const Lowered& l = Lower(*collective);
  if (l.unit.empty() || collective->bytes.value <= 0) return {};
  // Behind the kernels' sources: NVLink, then network.
  const size_t source = sources_.size() - (l.network ? 1 : 2);
  return {.time = l.alpha + l.per_byte * collective->bytes.value,
          .sigma_table = l.network ? kNetworkSigma.value : kNvlinkSigma.value,
          .source = static_cast<uint16_t>(source),
          .bound = Bound::kMemory,
          .extrapolated = false};
}

}  // namespace moecast
