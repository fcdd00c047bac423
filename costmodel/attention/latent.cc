// Multi-head latent attention (arXiv 2405.04434, section 2.1): low-rank queries (or one full
// matrix), joint low-rank keys and values, and a RoPE key of their own that all heads share.
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
  return "MLA with " + text(a.heads) + " heads of " + text(h.qk_dim) + "/" + text(h.v_dim) +
         ", KV rank " + text(a.kv_lora_rank) + " + " + text(a.qk_rope_head_dim) +
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

// All heads read the latents, so every rank has them whole.
int64_t Cached(const Attention& a, int64_t context, int) {
  return context * KvWidth(a);
}

// In plain form, as in training and prefill: keys and values of all heads projected up.
double CoreFlopsOf(const Attention& a, int64_t sequence, PairsCounted counted) {
  return CoreFlops(HeadsOf(a), a, sequence, counted);
}

// To the latents of queries and of keys and values, on every tp rank whole, on its part of the
// tokens.
void AddDownProjections(BlockBuilder& b) {
  const Attention& a = b.model.attention;
  const double h = b.model.hidden;
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
              .n = static_cast<double>(KvWidth(a)),
              .k = h,
              .dtype = dtype,
              .input = low_rank_q ? LinearInput::kElsewhere : normed});
  b.Norm(OpName::kLatentNorm, b.local_tokens * (a.q_lora_rank + a.kv_lora_rank));
}

// The up-projections are cut by heads; latents are gathered before them.
Linear QUp(const BlockBuilder& b) {
  const Attention& a = b.model.attention;
  const bool low_rank_q = a.q_lora_rank > 0;
  return {.name = OpName::kQUp,
          .m = b.tokens,
          .n = static_cast<double>(a.heads) / b.tp * HeadsOf(a).qk_dim,
          .k = static_cast<double>(low_rank_q ? a.q_lora_rank : b.model.hidden),
          .tp = TpSide::kColumn,
          .dtype = b.shard.precision.gemm,
          .input = low_rank_q ? b.InputFrom(Recompute::kRmsNorm) : LinearInput::kElsewhere};
}

// Keys and values of `keys` tokens.
Linear KvUp(const BlockBuilder& b, double keys) {
  const Attention& a = b.model.attention;
  return {.name = OpName::kKvUp,
          .m = keys,
          .n = static_cast<double>(a.heads) / b.tp * (a.qk_nope_head_dim + a.v_head_dim),
          .k = static_cast<double>(a.kv_lora_rank),
          .tp = TpSide::kColumn,
          .dtype = b.shard.precision.gemm,
          .input = b.InputFrom(Recompute::kRmsNorm)};
}

// In plain form.
void Train(BlockBuilder& b) {
  const Attention& a = b.model.attention;
  const CoreHeads core = HeadsOf(a);
  const double heads = static_cast<double>(a.heads) / b.tp, keys = b.tokens * b.cp;
  AddDownProjections(b);
  b.KeepUntilBackward(OpName::kRope, TensorName::kRopeKey,
                      b.local_tokens * b.cp * a.qk_rope_head_dim * kBf16);
  const Linear q_up = QUp(b), kv_up = KvUp(b, keys);
  b.Multiply(q_up);
  AddContextGather(b, b.local_tokens * b.cp * static_cast<double>(KvWidth(a)));
  b.Multiply(kv_up);
  // RoPE on the queries' part; keys put together from their up-projection and the one shared RoPE
  // key.
  const double rope =
      heads * kBf16 *
      (b.tokens * 2 * a.qk_rope_head_dim + keys * (2 * a.qk_nope_head_dim + a.qk_rope_head_dim));
  b.Elementwise(OpName::kRope, ElementwiseKind::kRope, rope, rope);

  // Values are a slice of the up-projection's output, which stays whole for them.
  const double kept_queries = heads * kBf16 * b.tokens * core.qk_dim;
  const double kept_keys = keys * heads * core.qk_dim * kBf16;
  const double kept_output = keys * kv_up.n * kBf16;
  std::vector<Op> again;  // queries, keys and values, before the backward pass of the core
  if (b.Recomputes(Recompute::kMlaUp)) {
    for (const Linear& up : {q_up, kv_up})
      for (Op& op : b.ForwardOf(up)) again.push_back(BlockBuilder::Recomputed(std::move(op)));
    again.push_back(BlockBuilder::Recomputed(
        BlockBuilder::ElementwiseOp(OpName::kRope, ElementwiseKind::kRope, rope)));
    b.Transient(OpName::kAttention, TensorName::kQueriesKeysValues,
                kept_queries + kept_keys + kept_output, true);
  } else {
    b.KeepUntilBackward(OpName::kAttention, TensorName::kQueries, kept_queries);
    b.KeepUntilBackward(OpName::kAttention, TensorName::kKeys, kept_keys);
    b.KeepUntilBackward(OpName::kKvUp, TensorName::kOutput, kept_output);
  }
  AddTrainingCore(b, core, std::move(again));
  AddOutputProjection(b, core);
}

// Prompts in plain form: cached latents, which every rank of tp has, are projected up again with
// those of the new tokens.
void Prefill(BlockBuilder& b, const Work& part) {
  Linear up = KvUp(b, static_cast<double>(part.context_sum));
  up.tp = TpSide::kNone;
  b.Multiply(up);
  AddServingCore(b, HeadsOf(b.model.attention), part);
}

// Absorbed (arXiv 2405.04434, section 2.1.2): each head's up-projection of keys is applied to its
// query, that of values to what it has attended to, so that all heads read the cached latents as
// they are. Bf16, as the core. All queries of a sequence read them once, as so many more heads
// (FlashMLA's num_heads_per_head_k).
void Decode(BlockBuilder& b, const Work& part) {
  const Attention& a = b.model.attention;
  const int64_t heads = a.heads / b.tp;
  // Many queries of a sequence meet half of themselves; of a few drafts all are counted.
  const int64_t context =
      part.pass == Pass::kDecode ? MeanKeys(part) : part.query_key_pairs / part.tokens;
  const auto each_head = [&](OpName name, int64_t n, int64_t k) {
    b.Forward({.name = name,
               .query = GroupedGemmQuery{.groups = heads,
                                         .rows_total = part.tokens * heads,
                                         .n = n,
                                         .k = k,
                                         .batched = true},
               .after = kSerial});
  };
  each_head(OpName::kQAbsorb, a.kv_lora_rank, a.qk_nope_head_dim);
  b.Forward({.name = OpName::kAttention,
             .query = MlaDecodeQuery{.heads = heads * MeanQueries(part),
                                     .batch = part.sequences,
                                     .context = context,
                                     .kv_bits = b.shard.kv_bits,
                                     .latent = {.qk = KvWidth(a), .v = a.kv_lora_rank}},
             .after = kSerial});
  each_head(OpName::kVUp, a.v_head_dim, a.kv_lora_rank);
}

void Project(BlockBuilder& b) {
  AddDownProjections(b);
  b.Multiply(QUp(b));
  // All ranks of tp cache the latents of all tokens.
  if (b.tp > 1 && b.shard.sequence)
    b.Forward(BlockBuilder::Collective(
        OpName::kTpGather, CollectiveKind::kAllGather, GroupKind::kTp,
        b.tokens * static_cast<double>(KvWidth(b.model.attention)) * kBf16));
}

// Prompts behind little that is cached may attend in absorbed form too, which has more to multiply
// and nothing to project up (SGLang, attention_backend_handler.py). RoPE and the write to the cache
// are in the times of serving's attention kernels.
void Attend(BlockBuilder& b, const Work& part) {
  const int64_t cached = part.context_sum - part.tokens;
  const bool absorbs =
      part.pass == Pass::kDecode || (cached > 0 && cached < b.shard.chunked_prefix_cache_threshold);
  (absorbs ? Decode : Prefill)(b, part);
}

void Output(BlockBuilder& b) {
  AddOutputProjection(b, HeadsOf(b.model.attention));
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
    .project = Project,
    .attend = Attend,
    .output = Output,
};

}  // namespace moecast
