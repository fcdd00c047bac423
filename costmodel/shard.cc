#include "costmodel/shard.h"

#include <cmath>

#include "costmodel/plan.h"

namespace moecast {

ShardPlan ShardOf(const Plan& plan) {
  const Parallel& p = plan.parallel;
  return {.tp = p.tp,
          .cp = p.cp,
          .ep = p.ep,
          .dp = p.dp,
          .zero = p.zero,
          .sequence = p.sequence,
          .precision = plan.precision,
          .overlap = plan.overlap,
          .collectives = plan.collectives,
          .topk_group = plan.routing.topk_group,
          .recompute = RecomputeSet(plan.recompute),
          .fused_cross_entropy = plan.fused_cross_entropy,
          .optimizer_offload = plan.optimizer.offload,
          .whole_experts = p.whole_experts()};
}

RankTokens RankTokensOf(const Work& work, const ShardPlan& shard) {
  const double in_tp = static_cast<double>(work.tokens) / shard.cp;
  // Of the rank that has most, where serving has fewer tokens than ranks.
  return {.in_tp = in_tp, .outside_tp = shard.sequence ? std::ceil(in_tp / shard.tp) : in_tp};
}

bool ReducesGradients(const ShardPlan& shard, int model_copies) {
  return shard.dp * shard.cp * model_copies > 1;
}

}  // namespace moecast
