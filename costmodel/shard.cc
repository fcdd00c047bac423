#include "costmodel/shard.h"

#include "base/mixer.h"
#include "costmodel/plan.h"

namespace moecast {

size_t HashOf(const ShardPlan& s) {
  const Precision& p = s.precision;
  const Overlap& o = s.overlap;
  const CollectiveChoice& c = s.collectives;
  return Mixer()(s.tp, s.cp, s.ep, s.dp, s.zero, s.sequence, p.gemm, p.dispatch, p.combine,
                 p.saved_activations, p.saved_swiglu, p.weight_format(), p.main_grad, p.grad_reduce,
                 p.master, p.moments, o.shared_experts, o.tp, o.grad_reduce, o.param_gather,
                 o.offload, o.communication_sms, c.all_gather, c.reduce_scatter, c.all_reduce,
                 c.dispatch, c.combine, s.topk_group.value_or(0), s.recompute.bits(),
                 s.fused_cross_entropy, s.optimizer_offload, s.kv_cache);
}

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
          .optimizer_offload = plan.optimizer.offload};
}

RankTokens RankTokensOf(const Work& work, const ShardPlan& shard) {
  const double in_tp = static_cast<double>(work.tokens) / shard.cp;
  return {.in_tp = in_tp, .outside_tp = shard.sequence ? in_tp / shard.tp : in_tp};
}

bool ReducesGradients(const ShardPlan& shard, int model_copies) {
  return shard.dp * shard.cp * model_copies > 1;
}

}  // namespace moecast
