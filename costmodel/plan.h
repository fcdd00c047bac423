// How a training run is laid out: parallel sizes (Megatron's abbreviations), batch, schedule, and
// what each rank does (precision, recomputation, overlap, routing). Plain data; the Fields tables
// document every member and its default. What ops, costs and memory of one rank need of it is its
// ShardPlan (costmodel/shard.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"
#include "costmodel/collectives/choice.h"
#include "costmodel/overlap.h"
#include "costmodel/phase.h"
#include "costmodel/precision.h"
#include "costmodel/recompute.h"
#include "costmodel/routing_load.h"
#include "topology/placement.h"

namespace moecast {

struct Parallel {
  int tp = 1;
  int pp = 1;
  int vpp = 1;
  int ep = 1;
  std::optional<int> expert_tp;
  int cp = 1;
  int dp = 1;
  int zero = 1;
  bool sequence = true;
  std::vector<Axis> rank_order = {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp};

  bool operator==(const Parallel&) const = default;
  int64_t gpus() const { return int64_t{1} * tp * pp * cp * dp; }
  // Experts whole on their ranks, and spread over tp as well, where the rest is cut over it.
  bool whole_experts() const { return expert_tp.value_or(tp) < tp; }
  int ep_in_dp() const { return whole_experts() ? ep / tp : ep; }  // what ep takes of dp
  int edp() const { return dp / ep_in_dp(); }                      // replicas of a set of experts
};
inline auto MembersOf(const Parallel& parallel) {
  const auto& [tp, pp, vpp, ep, expert_tp, cp, dp, zero, sequence, rank_order] = parallel;
  return std::tie(tp, pp, vpp, ep, expert_tp, cp, dp, zero, sequence, rank_order);
}
const Fields<Parallel>& FieldsOf(const Parallel*);
// REQUIRES: rank_order has each axis once.
Placement PlacementOf(const Parallel& parallel);

enum class GradClip : uint8_t { kBarrier, kPostValidation, kNone };
template <>
struct EnumNames<GradClip> {
  static constexpr EnumName<GradClip> kNames[] = {{GradClip::kBarrier, "barrier"},
                                                  {GradClip::kPostValidation, "post-validation"},
                                                  {GradClip::kNone, "none"}};
};
struct Optimizer {
  GradClip grad_clip = GradClip::kBarrier;
  double offload = 0;  // fraction of its states in host memory
  bool operator==(const Optimizer&) const = default;
};
const Fields<Optimizer>& FieldsOf(const Optimizer*);

// What a rank may take of its device: bytes in all, or micro-batches kept alive. One of the two is
// set.
struct MemoryLimit {
  Bytes bytes;
  double micro_batches = 0;
  bool operator==(const MemoryLimit&) const = default;
};

// Layers of each virtual stage, or nothing for the split that makes the slowest stage as fast as
// possible.
struct StageLayers {
  std::vector<int> layers;
  bool balanced() const { return layers.empty(); }
  bool operator==(const StageLayers&) const = default;
};
struct Plan {
  std::vector<TrainingPhase> phases;
  int64_t micro_batch = 1;  // sequences
  Precision precision;
  Parallel parallel;
  StageLayers stage_layers;
  std::string schedule = "1f1b";
  std::optional<int> weight_delay;
  std::optional<MemoryLimit> memory_limit;
  std::vector<Recompute> recompute;
  bool fused_cross_entropy = false;
  Overlap overlap;
  CollectiveChoice collectives;
  RoutingLoad routing;
  Optimizer optimizer;

  bool operator==(const Plan&) const = default;
  bool Recomputes(Recompute what) const;
  // Sequences each data-parallel rank takes in a step, in micro-batches. REQUIRES: a plan that
  // CheckPlan passed.
  int64_t MicroBatches(const TrainingPhase& phase) const {
    return phase.global_batch / (micro_batch * parallel.dp);
  }
};
const Fields<Plan>& FieldsOf(const Plan*);

}  // namespace moecast
