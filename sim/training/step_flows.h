// The collectives of a training step as flows that share links. Replicas are alike and each stage's
// ranks run in lockstep, so one GPU of each stage can stand for all: by symmetry it receives what
// it sends, and a path between two ranks of the stage leads from its own out-ports to its own
// in-ports. Or one whole replica, every pair of ranks a flow of its own, as a check.
#pragma once

#include <cstddef>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "costmodel/op_cost.h"
#include "sim/engine/linked_schedule.h"
#include "sim/network/network.h"

namespace moecast {

enum class StepExtent : uint8_t { kOneGpuPerStage, kReplica };

class StepFlows {
 public:
  // Who may communicate at the same time as others: of a stage each communicator of its compute
  // lane's blocks, each lane of data parallelism, and what the stage sends to another, which may
  // also meet itself.
  enum class Sender : uint8_t { kBlocks, kDataParallel };

  explicit StepFlows(StepExtent extent) : extent_(extent) {}

  // Collects the collectives of a stage, and the sends of one stage to another; then finds which
  // share links.
  void Add(int stage, Sender sender, const CollectiveQuery& query, const OpCosts& costs);
  void AddSend(int from, int to, const OpCosts& costs);
  void FindShared();

  const UnitCollective& Of(int stage, const CollectiveQuery& query) const;
  bool any_shared() const { return any_shared_; }
  // Whether a stage shares links with it.
  bool IsShared(const CollectiveQuery& query) const { return shared_[KeyOf(query)]; }
  const UnitCollective& OfSend(int from, int to) const { return sends_.at({from, to}).unit; }
  const std::vector<BytesPerSecond>& capacities() const { return capacity_; }
  // Of the cluster, by our numbers.
  const std::vector<LinkId>& links() const { return links_; }
  // About what this holds beside itself.
  size_t HeldBytes() const;

 private:
  struct Entry {
    UnitCollective unit;
    int sender = 0;  // equal: never at the same time
  };
  static int KeyOf(const CollectiveQuery& query);
  UnitCollective Lower(const CollectiveQuery& query, int from, int to, const OpCosts& costs);
  UnitCollective Fold(const CollectiveQuery& query, int from, int to, const OpCosts& costs);
  std::vector<RankCoordinates> MembersOf(const CollectiveQuery& query, int stage,
                                         const Placement& placement) const;
  LinkId Number(const Cluster& cluster, LinkId link);
  template <class Visit>
  void EachEntry(Visit visit);
  void DropLinksNeverFull();

  StepExtent extent_;
  bool any_shared_ = false;
  std::vector<char> shared_;                          // by KeyOf
  std::map<std::pair<int, int>, Entry> collectives_;  // by stage and KeyOf
  std::map<std::pair<int, int>, Entry> sends_;
  std::map<LinkId, LinkId> number_;  // of a link of the cluster, among ours
  std::vector<LinkId> links_;
  std::vector<BytesPerSecond> capacity_;
  std::vector<char> is_port_;
};

// Who sends what in a step: all that its flows depend on beside its costs.
struct StepSenders {
  struct Collective {
    int stage = 0;
    StepFlows::Sender sender{};
    CollectiveKind kind{};
    GroupKind group{};
    const CollectiveAlgorithm* algorithm = nullptr;
    bool operator==(const Collective&) const = default;
  };
  StepExtent extent = StepExtent::kOneGpuPerStage;
  std::vector<Collective> collectives;     // each once
  std::vector<std::pair<int, int>> sends;  // from a stage to another, each once
  bool operator==(const StepSenders&) const = default;
};

inline auto MembersOf(const StepSenders::Collective& collective) {
  const auto& [stage, sender, kind, group, algorithm] = collective;
  return std::tie(stage, sender, kind, group, algorithm);
}
inline auto MembersOf(const StepSenders& senders) {
  const auto& [extent, collectives, sends] = senders;
  return std::tie(extent, collectives, sends);
}

// The flows that the collectives are, of which those that share links are found.
StepFlows FlowsOf(const StepSenders& senders, const OpCosts& costs);

}  // namespace moecast
