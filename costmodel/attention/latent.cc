// Multi-head latent attention (arXiv 2405.04434, section 2.1): low-rank queries (or one full matrix), joint
// low-rank keys and values, and a RoPE key of their own that all heads share.
#include "costmodel/attention/core.h"

namespace moecast {
namespace {

constexpr double kBf16 = BlockBuilder::kBf16;

CoreHeads HeadsOf(const Attention& a) {
  return {.heads = a.heads,
          .kv_heads = a.kv_heads,
          .qk_dim = a.qk_nope_head_dim + a.qk_rope_head_dim,
          .v_dim = a.v_head_dim,
          .form = AttentionForm::kMla};
}

// Elements of a token that keys and values of all heads are made from.
int64_t KvWidth(const Attention& a) {
  return int64_t{a.kv_lora_rank} + a.qk_rope_head_dim;
}

std::string Describe(const Attention& a) {
  const auto text = [](int n) { return std::to_string(n); };
  const CoreHeads h = HeadsOf(a);
  return "MLA with " + text(a.heads) + " heads of " + text(h.qk_dim) + "/" + text(h.v_dim) + ", KV rank " +
         text(a.kv_lora_rank) + " + " + text(a.qk_rope_head_dim) +
         (a.q_lora_rank > 0 ? ", query rank " + text(a.q_lora_rank) : ", full-rank queries");
}

int64_t DownMatrices(const Attention& a, int64_t hidden) {
  return hidden * (a.q_lora_rank + KvWidth(a));
}

int64_t Matrices(const Attention& a, int64_t hidden) {
  const int64_t heads = a.heads, query = heads * HeadsOf(a).qk_dim;
  const int64_t q_up = (a.q_lora_rank > 0 ? a.q_lora_rank : hidden) * query;
  const int64_t kv_up = a.kv_lora_rank * heads * (a.qk_nope_head_dim + a.v_head_dim);
  return DownMatrices(a, hidden) + q_up + kv_up + heads * a.v_head_dim * hidden;
}

int64_t LatentNorms(const Attention& a) {
  return int64_t{a.q_lora_rank} + a.kv_lora_rank;
}

int64_t Vectors(const Attention& a, int64_t hidden) {
  const int64_t down_biases = a.qkv_bias ? a.q_lora_rank + KvWidth(a) : 0;
  return LatentNorms(a) + down_biases + (a.output_bias ? hidden : 0);
}

// Down-projections and the norms of their latents. Biases, a few vectors, are counted as if cut.
int64_t WholeOnTp(const Attention& a, int64_t hidden) {
  return DownMatrices(a, hidden) + LatentNorms(a);
}

int64_t Cached(const Attention& a, int64_t context) {
  return context * KvWidth(a);
}

// In plain form, as in training and prefill: keys and values of all heads projected up.
double CoreFlopsOf(const Attention& a, int64_t sequence, PairsCounted counted) {
  return CoreFlops(HeadsOf(a), a, sequence, counted);
}

// In plain form. The down-projections are replicated over tp and run on its part of the tokens; the latents
// are gathered before the up-projections, which are cut by heads. Returns what computes queries, keys and
// values again before the backward pass of the core.
std::vector<Op> AddProjections(BlockBuilder& b) {
  const Attention& a = b.model.attention;
  const double h = b.model.hidden, heads = static_cast<double>(a.heads) / b.tp, keys = b.tokens * b.cp;
  const double qk_dim = HeadsOf(a).qk_dim;
  const double q_width = heads * qk_dim, kv_width = heads * (a.qk_nope_head_dim + a.v_head_dim);
  const double kv_down = static_cast<double>(KvWidth(a));
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
  AddContextGather(b, b.local_tokens * b.cp * kv_down);
  b.Multiply(kv_up);
  // RoPE on the queries' part; keys put together from their up-projection and the one shared RoPE key.
  const double rope =
      heads * kBf16 *
      (b.tokens * 2 * a.qk_rope_head_dim + keys * (2 * a.qk_nope_head_dim + a.qk_rope_head_dim));
  b.Elementwise(OpName::kRope, ElementwiseKind::kRope, rope, rope);

  // Values are a slice of the up-projection's output, which stays whole for them.
  const double kept_queries = heads * kBf16 * b.tokens * qk_dim;
  const double kept_keys = keys * heads * qk_dim * kBf16;
  const double kept_output = keys * kv_width * kBf16;
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

void Train(BlockBuilder& b) {
  const CoreHeads heads = HeadsOf(b.model.attention);
  AddTrainingCore(b, heads, AddProjections(b));
  AddOutputProjection(b, heads);
}

}  // namespace

const AttentionKind kMlaAttention{
    .name = "mla",
    .help = "multi-head latent attention: keys and values of all heads from one low-rank latent",
    .describe = Describe,
    .matrices = Matrices,
    .vectors = Vectors,
    .whole_on_tp = WholeOnTp,
    .cached = Cached,
    .core_flops = CoreFlopsOf,
    .has_latents = true,
    .train = Train,
};

}  // namespace moecast
