// What the ops of a plan cost on a cluster: kernels by the calibration, collectives by their
// Traffic alone on idle links; both as they are in a long run.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "costmodel/collectives/collectives.h"
#include "costmodel/cost.h"
#include "costmodel/kernel_costs.h"
#include "costmodel/op.h"
#include "costmodel/plan.h"
#include "costmodel/shard.h"
#include "costmodel/spread.h"
#include "costmodel/whole_step.h"
#include "topology/cluster.h"
#include "topology/placement.h"
#include "topology/traffic.h"

namespace moecast {

// The axes that a group varies; of kPipelineNext those of all senders.
std::vector<Axis> AxesOf(GroupKind group);

// Costs ops of one plan. A collective is lowered to Traffic once per kind and group, for one byte;
// its time is linear in the bytes. Groups of the same kind are alike, so the first rank's stands
// for all.
class OpCosts {
 public:
  // The pipeline keeps `model_copies` of the model, one of which runs from the last stage to the
  // first. REQUIRES: the shard, the placement and the spread are of one plan that fits the cluster;
  // `kernels` and `cluster` outlive this.
  OpCosts(KernelCosts& kernels, const Cluster& cluster, const ShardPlan& shard,
          const Placement& placement, const ExpertSpread& spread, const WholeStep& whole_step,
          int model_copies);

  Cost Of(const Op& op);
  // How an op of this cost fares while an op of the other stream runs: the rate (full: 1) of a
  // kernel on the SMs that a collective leaves it, for those that compute bounds; of a collective,
  // the share it takes of the HBM bandwidth, which kernels that memory bounds lose.
  double Beside(const Op& op, const Cost& cost);
  // What the busiest GPU sends of one byte of the collective.
  PortBytes UnitBytes(const CollectiveQuery& query);
  // A collective of one byte, in the first of the groups that run it.
  struct Lowered {
    Traffic unit;
    PortBytes sent;
    Seconds alpha, per_byte;  // alone on idle links
    bool network = false;     // what bounds it
  };
  const Lowered& Lower(const CollectiveQuery& query);
  // The same in the group of `member`, of a send to `to_stage`.
  Traffic UnitTraffic(const CollectiveQuery& query, const RankCoordinates& member,
                      int to_stage = 0) const;
  // Of all costs: the calibration's, then PCIe, host memory, NVLink and network.
  const std::shared_ptr<const CostSources>& sources() const { return sources_; }
  const Placement& placement() const { return placement_; }
  const ExpertSpread& spread() const { return spread_; }
  const Cluster& cluster() const { return cluster_; }

 private:
  Cost HostCost(const HostQuery& query) const;
  // Of what is no kernel.
  SourceId SourceOf(Resource resource) const { return source_of_[static_cast<size_t>(resource)]; }

  KernelCosts& kernels_;
  const Cluster& cluster_;
  WholeStep whole_step_;
  Placement placement_;
  int copies_;
  int sms_left_;  // beside a collective
  Transport tp_transport_;
  ExpertSpread spread_;
  std::shared_ptr<const CostSources> sources_;
  std::array<SourceId, static_cast<size_t>(Resource::kNetwork) + 1> source_of_{};
  std::array<std::optional<Lowered>, 64> lowered_;
};

}  // namespace moecast
