// Grouped-query attention (arXiv 2305.13245); multi-head where kv_heads == heads, multi-query where
// it is 1.
#include <algorithm>

#include "costmodel/attention/core.h"

namespace moecast {
namespace {

CoreHeads HeadsOf(const Attention& a) {
  return {.heads = a.heads, .kv_heads = a.kv_heads, .qk_dim = a.head_dim, .v_dim = a.head_dim};
}

std::string Describe(const Attention& a) {
  const auto text = [](int n) { return std::to_string(n); };
  const bool grouped = a.kv_heads != a.heads;
  return (grouped ? "GQA" : "MHA") + (" with " + text(a.heads)) + " heads of " + text(a.head_dim) +
         (grouped ? ", " + text(a.kv_heads) + " KV heads" : "") +
         (a.sliding_window > 0 ? ", window " + text(a.sliding_window) : "");
}

int64_t Matrices(const Attention& a, int64_t hidden) {
  return 2 * hidden * a.heads * a.head_dim + 2 * hidden * a.kv_heads * a.head_dim;
}

// One weight of head_dim for all query heads, one for all key heads.
int64_t QkNorms(const Attention& a) {
  return a.qk_norm ? 2 * int64_t{a.head_dim} : 0;
}

int64_t Vectors(const Attention& a, int64_t hidden) {
  const int64_t qkv = (int64_t{a.heads} + 2 * a.kv_heads) * a.head_dim;
  return (a.qkv_bias ? qkv : 0) + (a.output_bias ? hidden : 0) + QkNorms(a);
}

// Biases of the output, a vector, are counted as if cut.
int64_t WholeOnTp(const Attention& a, int64_t) {
  return QkNorms(a);
}

int64_t Cached(const Attention& a, int64_t context, int tp) {
  const int64_t tokens =
      a.sliding_window > 0 ? std::min<int64_t>(context, a.sliding_window) : context;
  return 2 * tokens * std::max(1, a.kv_heads / tp) * a.head_dim;
}

double CoreFlopsOf(const Attention& a, int64_t sequence, PairsCounted counted) {
  return CoreFlops(HeadsOf(a), a, sequence, counted);
}

// Heads of a rank. tp beyond the KV heads replicates these.
double HeadsOn(const BlockBuilder& b) {
  return static_cast<double>(b.model.attention.heads) / b.tp;
}
double KvHeadsOn(const BlockBuilder& b) {
  return std::max(1.0, static_cast<double>(b.model.attention.kv_heads) / b.tp);
}

void AddQkv(BlockBuilder& b) {
  b.Multiply({.name = OpName::kQkv,
              .m = b.tokens,
              .n = (HeadsOn(b) + 2 * KvHeadsOn(b)) * b.model.attention.head_dim,
              .k = static_cast<double>(b.model.hidden),
              .tp = TpSide::kColumn,
              .dtype = b.shard.precision.gemm,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  if (b.model.attention.qk_norm)
    b.Norm(OpName::kQkNorm, b.tokens * (HeadsOn(b) + KvHeadsOn(b)) * b.model.attention.head_dim);
}

void Train(BlockBuilder& b) {
  const Attention& a = b.model.attention;
  const double heads = HeadsOn(b);
  const double kv_heads = KvHeadsOn(b);
  const double d = a.head_dim;
  const double keys = b.tokens * b.cp;
  AddQkv(b);
  const double rope = 2 * b.tokens * (heads + kv_heads) * d * BlockBuilder::kBf16;
  b.Elementwise(OpName::kRope, ElementwiseKind::kRope, rope, rope);
  b.KeepUntilBackward(OpName::kAttention, TensorName::kQueries,
                      b.tokens * heads * d * BlockBuilder::kBf16);
  b.KeepUntilBackward(OpName::kAttention, TensorName::kKeysAndValues,
                      keys * 2 * kv_heads * d * BlockBuilder::kBf16);
  AddContextGather(b, keys * 2 * kv_heads * d);
  AddTrainingCore(b, HeadsOf(a), {});
  AddOutputProjection(b, HeadsOf(a));
}

// RoPE and the write to the cache are in the times of serving's attention kernels.
void Attend(BlockBuilder& b, const Work& part) {
  AddServingCore(b, HeadsOf(b.model.attention), part);
}

void Output(BlockBuilder& b) {
  AddOutputProjection(b, HeadsOf(b.model.attention));
}

}  // namespace

const AttentionKind kGqaAttention{
    .name = "gqa",
    .help =
        "grouped-query attention; multi-head with as many KV heads as heads, multi-query with one",
    .describe = Describe,
    .matrices = Matrices,
    .vectors = Vectors,
    .whole_on_tp = WholeOnTp,
    .cached = Cached,
    .core_flops = CoreFlopsOf,
    .has_latents = false,
    .train = Train,
    .project = AddQkv,
    .attend = Attend,
    .output = Output,
};

}  // namespace moecast
