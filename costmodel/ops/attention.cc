#include <algorithm>
#include <cmath>

#include "costmodel/ops/parts.h"

namespace moecast {
namespace {

constexpr double kBf16 = BlockBuilder::kBf16, kFp32 = BlockBuilder::kFp32;

// Context parallelism: every rank gathers the keys and values (MLA: the latents) of the whole sequence and
// keeps them; backward scatters their gradients (arXiv 2407.21783, section 3.3.2). `elements` of the whole.
void ContextGather(BlockBuilder& b, double elements) {
  if (b.cp == 1) return;
  const double bytes = elements * kBf16;
  b.Forward(BlockBuilder::Collective(OpName::kCpGather, CollectiveKind::kAllGather, GroupKind::kCp, bytes));
  b.Backward(
      {BlockBuilder::Collective(OpName::kCpScatter, CollectiveKind::kReduceScatter, GroupKind::kCp, bytes)});
}

void GqaProjections(BlockBuilder& b) {
  const Attention& a = b.model.attention;
  // tp beyond the KV heads replicates them.
  const double kv_heads = std::max(1.0, static_cast<double>(a.kv_heads) / b.tp);
  const double heads = static_cast<double>(a.heads) / b.tp, d = a.head_dim, keys = b.tokens * b.cp;
  b.Multiply({.name = OpName::kQkv,
              .m = b.tokens,
              .n = (heads + 2 * kv_heads) * d,
              .k = static_cast<double>(b.model.hidden),
              .tp = TpSide::kColumn,
              .dtype = b.shard.precision.gemm,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  const double rope = 2 * b.tokens * (heads + kv_heads) * d * kBf16;
  b.Elementwise(OpName::kRope, ElementwiseKind::kRope, rope, rope);
  b.KeepUntilBackward(OpName::kAttention, TensorName::kQueries, b.tokens * heads * d * kBf16);
  b.KeepUntilBackward(OpName::kAttention, TensorName::kKeysAndValues, keys * 2 * kv_heads * d * kBf16);
  ContextGather(b, keys * 2 * kv_heads * d);
}

// Low-rank queries (or one full matrix), joint low-rank keys and values with a RoPE key of their own (arXiv
// 2405.04434, section 2.1), in plain form. The down-projections are replicated over tp and run on its part of
// the tokens; the latents are gathered before the up-projections, which are cut by heads. Returns what
// computes queries, keys and values again before the backward pass of the core attention.
std::vector<Op> MlaProjections(BlockBuilder& b) {
  const Attention& a = b.model.attention;
  const double h = b.model.hidden, heads = static_cast<double>(a.heads) / b.tp, keys = b.tokens * b.cp;
  const double q_width = heads * a.qk_dim(), kv_width = heads * (a.qk_nope_head_dim + a.v_head_dim);
  const double kv_down = a.kv_lora_rank + a.qk_rope_head_dim;
  const Dtype dtype = b.shard.precision.gemm;
  const LinearInput normed = b.InputFrom(Recompute::kRmsNorm);
  const bool low_rank_q = a.q_lora_rank > 0;
  // The layer's normed input is kept once: by q-down, or by kv-down where queries have no latent.
  if (low_rank_q)
    b.Multiply({.name = OpName::kQDown,
                .m = b.local_tokens,
                .n = static_cast<double>(a.q_lora_rank),
                .k = h,
                .dtype = dtype,
                .input = normed});
  b.Multiply({.name = OpName::kKvDown,
              .m = b.local_tokens,
              .n = kv_down,
              .k = h,
              .dtype = dtype,
              .input = low_rank_q ? LinearInput::kElsewhere : normed});
  b.Norm(OpName::kLatentNorm, b.local_tokens * (a.q_lora_rank + a.kv_lora_rank));
  b.KeepUntilBackward(OpName::kRope, TensorName::kRopeKey,
                      b.local_tokens * b.cp * a.qk_rope_head_dim * kBf16);

  const Linear q_up{.name = OpName::kQUp,
                    .m = b.tokens,
                    .n = q_width,
                    .k = low_rank_q ? a.q_lora_rank : h,
                    .tp = TpSide::kColumn,
                    .dtype = dtype,
                    .input = low_rank_q ? normed : LinearInput::kElsewhere};
  const Linear kv_up{.name = OpName::kKvUp,
                     .m = keys,
                     .n = kv_width,
                     .k = static_cast<double>(a.kv_lora_rank),
                     .tp = TpSide::kColumn,
                     .dtype = dtype,
                     .input = normed};
  b.Multiply(q_up);
  ContextGather(b, b.local_tokens * b.cp * kv_down);
  b.Multiply(kv_up);
  // RoPE on the queries' part; keys put together from their up-projection and the one shared RoPE key.
  const double rope =
      heads * kBf16 *
      (b.tokens * 2 * a.qk_rope_head_dim + keys * (2 * a.qk_nope_head_dim + a.qk_rope_head_dim));
  b.Elementwise(OpName::kRope, ElementwiseKind::kRope, rope, rope);

  // Values are a slice of the up-projection's output, which stays whole for them.
  const double kept_queries = heads * kBf16 * b.tokens * a.qk_dim(),
               kept_keys = keys * heads * a.qk_dim() * kBf16, kept_output = keys * kv_width * kBf16;
  std::vector<Op> again;
  if (b.Recomputes(Recompute::kMlaUp)) {
    for (const Linear& up : {q_up, kv_up})
      for (Op& op : b.ForwardOf(up)) again.push_back(BlockBuilder::Recomputed(std::move(op)));
    again.push_back(
        BlockBuilder::Recomputed(BlockBuilder::ElementwiseOp(OpName::kRope, ElementwiseKind::kRope, rope)));
    b.Transient(OpName::kAttention, TensorName::kQueriesKeysValues, kept_queries + kept_keys + kept_output,
                true);
  } else {
    b.KeepUntilBackward(OpName::kAttention, TensorName::kQueries, kept_queries);
    b.KeepUntilBackward(OpName::kAttention, TensorName::kKeys, kept_keys);
    b.KeepUntilBackward(OpName::kKvUp, TensorName::kOutput, kept_output);
  }
  return again;
}

void CoreAttention(BlockBuilder& b, std::vector<Op> before_backward) {
  const Attention& a = b.model.attention;
  const int64_t sequence = b.work.tokens / b.work.sequences;
  AttentionQuery q{.phase = AttentionPhase::kTrainForward,
                   .heads = a.heads / b.tp,
                   .kv_heads = std::max(1, a.kv_heads / b.tp),
                   .qk_dim = a.qk_dim(),
                   .v_dim = a.v_dim(),
                   .batch = b.work.sequences,
                   .query = sequence / b.cp,
                   .context = sequence,
                   .causal = true,
                   .form = a.kind == AttentionKind::kMla ? AttentionForm::kMla : AttentionForm::kHeads};
  // A context-parallel rank has two slices of the sequence, one from each end, so that causal work is even:
  // the average query meets half of the sequence, as it would at the end of a shorter one.
  if (b.cp > 1) q.context = (q.context + q.query) / 2;
  // A window: as many keys for every query as the average one meets.
  if (a.sliding_window > 0 && a.sliding_window < sequence) {
    q.context = std::llround(MeanContext(a, sequence));
    q.causal = false;
  }
  b.Forward({.name = OpName::kAttention, .query = q, .after = kSerial});
  q.phase = AttentionPhase::kTrainBackward;
  b.Backward({{.name = OpName::kAttention, .query = q, .after = kSerial}});
  b.Backward(std::move(before_backward));
  // Log-sum-exp in fp32. The output is kept by the output projection, whose input it is.
  b.KeepUntilBackward(OpName::kAttention, TensorName::kLogSumExp, b.tokens * a.heads / b.tp * kFp32);
}

}  // namespace

void AddAttention(BlockBuilder& b) {
  b.Norm(OpName::kInputNorm, b.local_tokens * b.model.hidden);
  const Attention& a = b.model.attention;
  std::vector<Op> recomputed;
  if (a.kind == AttentionKind::kMla)
    recomputed = MlaProjections(b);
  else
    GqaProjections(b);
  CoreAttention(b, std::move(recomputed));
  b.Multiply({.name = OpName::kOutput,
              .m = b.tokens,
              .n = static_cast<double>(b.model.hidden),
              .k = static_cast<double>(a.heads) / b.tp * a.v_dim(),
              .tp = TpSide::kRow,
              .dtype = b.shard.precision.gemm});
  b.Residual();
}

}  // namespace moecast
