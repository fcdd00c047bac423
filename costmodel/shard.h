// What the ops, the costs and the memory of one rank need of how a model is laid out over ranks,
// for training and serving alike. What only says how ranks work together (pipeline, schedule,
// batch, where ranks lie) is left out, so plans that differ in that have equal ShardPlans and share
// what was found for one: it is a key.
#pragma once

#include <cstdint>
#include <optional>
#include <tuple>

#include "costmodel/collectives/choice.h"
#include "costmodel/overlap.h"
#include "costmodel/precision.h"
#include "costmodel/recompute.h"
#include "costmodel/work.h"

namespace moecast {

struct Plan;

struct ShardPlan {
  int tp = 1;  // tensor-parallel ranks
  int cp = 1;  // context-parallel ranks, which share the tokens of a sequence
  int ep = 1;  // expert-parallel ranks; a part of dp, or with whole experts of tp * dp
  int dp = 1;  // data-parallel ranks, the expert-parallel ones included
  int zero = 1;
  bool sequence = true;
  Precision precision;
  Overlap overlap;
  CollectiveChoice collectives;
  std::optional<int>
      topk_group;  // as RoutingLoad's: groups of experts a token goes to, in place of the model's
  RecomputeSet recompute;
  bool fused_cross_entropy = false;
  double optimizer_offload = 0;  // fraction of the optimizer's states in host memory
  double kv_bits = 16;           // serving: of an element that attention caches
  // Each expert is on one rank, and tp is among the ranks they are spread over; else tp cuts each.
  bool whole_experts = false;
  bool whole_shared_experts = false;  // on every rank, for its own tokens; else cut by tp
  // Serving: MLA attends in absorbed form with prompts behind fewer cached tokens in all.
  int64_t chunked_prefix_cache_threshold = 0;
  int redundant_experts = 0;  // serving: slots for copies of experts, beyond one an expert

  int ep_in_dp() const { return whole_experts ? ep / tp : ep; }  // what ep takes of dp
  int edp() const { return dp / ep_in_dp(); }                    // replicas of a set of experts
  bool operator==(const ShardPlan&) const = default;
};
inline auto MembersOf(const ShardPlan& shard) {
  const auto& [tp, cp, ep, dp, zero, sequence, precision, overlap, collectives, topk_group,
               recompute, fused_cross_entropy, optimizer_offload, kv_bits, whole_experts,
               whole_shared_experts, chunked_prefix_cache_threshold, redundant_experts] = shard;
  return std::tie(tp, cp, ep, dp, zero, sequence, precision, overlap, collectives, topk_group,
                  recompute, fused_cross_entropy, optimizer_offload, kv_bits, whole_experts,
                  whole_shared_experts, chunked_prefix_cache_threshold, redundant_experts);
}

ShardPlan ShardOf(const Plan& plan);

// Tokens of a Work on each rank.
struct RankTokens {
  double in_tp = 0;  // in tensor-parallel regions, where each tp rank has all of its cp rank's
  double outside_tp =
      0;  // outside these: norms, residuals, router, and what travels to other stages
};
RankTokens RankTokensOf(const Work& work, const ShardPlan& shard);

// Whether a parameter is on several ranks, so that its gradients are reduced. The pipeline holds
// `model_copies` of the whole model (2 with DualPipe).
bool ReducesGradients(const ShardPlan& shard, int model_copies);

}  // namespace moecast
