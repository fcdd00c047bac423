// What the ops of a plan cost on a cluster: kernels by the calibration, collectives by their
// Traffic alone on idle links; both as they are in a long run.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "costmodel/collectives/algorithms.h"
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
std::vector<Axis> AxesOf(const Placement& placement, GroupKind group);

// A member's group in the placement of a plan, ascending; the pipeline keeps `model_copies` of the
// model, of which those of a piece reduce and gather together.
std::vector<int> GroupOf(const Placement& placement, GroupKind group, const RankCoordinates& member,
                         int model_copies);

// Costs ops of one plan. A collective is lowered to Traffic once per kind, group and algorithm, for
// one byte; its time is linear in the bytes, and of the algorithms that may run it
// (costmodel/collectives/choice.h) it takes the least. Groups of the same kind are alike, so the
// first rank's stands for all. Kernels of tokens run on the SMs that the plan's overlap has for
// collectives; others take what they need. Several threads may ask at once.
class OpCosts {
 public:
  // The pipeline keeps `model_copies` of the model, one of which runs from the last stage to the
  // first. REQUIRES: the shard, the placement and the spread are of one plan that fits the cluster;
  // `kernels` and `cluster` outlive this.
  OpCosts(const KernelCosts& kernels, const Cluster& cluster, const ShardPlan& shard,
          const Placement& placement, const ExpertSpread& spread, const WholeStep& whole_step,
          int model_copies);

  Cost Of(const Op& op) const;
  // How an op of this cost fares while an op of the other stream runs: the rate (full: 1) of a
  // kernel on the SMs that a collective leaves it, for those that compute bounds; of a collective,
  // the share it takes of the HBM bandwidth, which kernels that memory bounds lose.
  double Beside(const Op& op, const Cost& cost) const;
  // What the busiest GPU sends of one byte of the collective.
  PortBytes UnitBytes(const CollectiveQuery& query) const;
  // A collective of one byte, in the first of the groups that run it.
  struct Lowered {
    const CollectiveAlgorithm* algorithm = nullptr;  // of a combine, dispatch's of that name
    bool travels = false;                            // something is sent
    PortBytes sent;
    Bytes through_hbm;
    Seconds alpha, per_byte;  // alone on idle links
    bool network = false;     // what bounds it
    Seconds Time(Bytes bytes) const { return alpha + per_byte * bytes.value; }
  };
  // By the query's algorithm; where it has none by the one that takes the least time for its bytes,
  // of equal ones the first of the table.
  Lowered Lower(const CollectiveQuery& query) const;
  // A byte in the group of `member`, of a send to `to_stage`. What runs in parts is one Traffic,
  // stretched to take as long on its links as its parts do one after the other.
  Traffic UnitTraffic(const CollectiveAlgorithm& algorithm, GroupKind group,
                      const RankCoordinates& member, int to_stage = 0) const;
  // Of all costs: the calibration's, then PCIe, host memory, NVLink and network.
  const std::shared_ptr<const CostSources>& sources() const { return sources_; }
  const Placement& placement() const { return placement_; }
  const ExpertSpread& spread() const { return spread_; }
  const Cluster& cluster() const { return cluster_; }

 private:
  Cost HostCost(const HostQuery& query) const;
  // May run a collective, with what it takes alone.
  struct Candidate {
    const CollectiveAlgorithm* algorithm;
    Seconds alpha;
    std::optional<Lowered> lowered;  // where it may be the fastest
  };
  std::vector<Candidate> CandidatesOf(const CollectiveQuery& query) const;
  CollectiveCall UnitCall(CollectiveKind kind, GroupKind group, const RankCoordinates& member,
                          int to_stage, Bytes bytes) const;
  Parts UnitParts(const CollectiveAlgorithm& algorithm, GroupKind group,
                  const RankCoordinates& member, int to_stage) const;
  // Of the first; the first itself where it is the only one.
  int NextStage() const { return placement_.Size(Axis::kPp) > 1 ? 1 : 0; }
  Lowered LowerBy(const CollectiveAlgorithm& algorithm, GroupKind group) const;
  // Of what is no kernel.
  SourceId SourceOf(Resource resource) const { return source_of_[static_cast<size_t>(resource)]; }

  const KernelCosts& kernels_;
  const Cluster& cluster_;
  WholeStep whole_step_;
  Placement placement_;
  int copies_;
  int communication_sms_;
  int sms_left_;  // beside a collective
  bool tp_chunks_;
  CollectiveChoice choice_;
  ExpertSpread spread_;
  std::shared_ptr<const CostSources> sources_;
  std::array<SourceId, static_cast<size_t>(Resource::kNetwork) + 1> source_of_{};
  mutable std::mutex lowering_;
  // By kind and group, by alpha; empty until asked for.
  mutable std::array<std::vector<Candidate>, std::size(EnumNames<CollectiveKind>::kNames) *
                                                 std::size(EnumNames<GroupKind>::kNames)>
      candidates_;
};

}  // namespace moecast
