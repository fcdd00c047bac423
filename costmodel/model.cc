#include "costmodel/model.h"

namespace moecast {
namespace {

int MlpMatrices(MlpKind kind) {
  return kind == MlpKind::kSwiglu ? 3 : 2;
}

int64_t MlpWeights(const Model& m, int inter) {
  return int64_t{MlpMatrices(m.mlp)} * m.hidden * inter;
}

LayerParts LayerWithExperts(const Model& m, LayerKind kind, int routed) {
  LayerParts parts;
  parts.attention = AttentionParameters(m);
  parts.norms = 2 * NormParameters(m);
  if (kind == LayerKind::kDense) {
    parts.dense_mlp = MlpParameters(m, m.dense_inter);
  } else {
    parts.router = int64_t{m.moe.experts} * m.hidden + (m.moe.method->has_bias ? m.moe.experts : 0);
    parts.shared_experts = m.moe.shared_experts * MlpParameters(m, m.moe.inter);
    parts.routed_experts = routed * MlpParameters(m, m.moe.inter);
  }
  return parts;
}

int64_t OutsideLayers(const Model& m) {
  return EmbeddingParameters(m) + HeadParameters(m) + NormParameters(m);
}

}  // namespace

int Model::layers() const {
  int n = 0;
  for (const LayerRun& run : runs) n += run.count;
  return n;
}

int Model::layers(LayerKind kind) const {
  int n = 0;
  for (const LayerRun& run : runs) n += run.kind == kind ? run.count : 0;
  return n;
}

int64_t MlpParameters(const Model& m, int inter) {
  const int64_t biases = m.mlp_bias ? int64_t{MlpMatrices(m.mlp) - 1} * inter + m.hidden : 0;
  return MlpWeights(m, inter) + biases;
}

int64_t AttentionParameters(const Model& m) {
  const Attention& a = m.attention;
  return a.kind->matrices(a, m.hidden) + a.kind->vectors(a, m.hidden);
}

LayerParts LayerParameters(const Model& m, LayerKind kind) {
  return LayerWithExperts(m, kind, m.moe.experts);
}

LayerParts ActivatedLayerParameters(const Model& m, LayerKind kind) {
  return LayerWithExperts(m, kind, m.moe.top_k);
}

int64_t NormParameters(const Model& m) {
  return int64_t{m.norm_bias ? 2 : 1} * m.hidden;
}

int64_t EmbeddingParameters(const Model& m) {
  return int64_t{m.vocab} * m.hidden;
}

int64_t HeadParameters(const Model& m) {
  return m.tied_embeddings ? 0 : int64_t{m.vocab} * m.hidden;
}

int64_t TotalParameters(const Model& m) {
  int64_t total = OutsideLayers(m);
  for (const LayerRun& run : m.runs) total += run.count * LayerParameters(m, run.kind).total();
  return total;
}

int64_t ActivatedParameters(const Model& m, InputEmbedding input_embedding) {
  int64_t total = OutsideLayers(m);
  for (const LayerRun& run : m.runs)
    total += run.count * ActivatedLayerParameters(m, run.kind).total();
  const bool leave_out = input_embedding == InputEmbedding::kLeftOut && !m.tied_embeddings;
  return total - (leave_out ? EmbeddingParameters(m) : 0);
}

int64_t MtpParameters(const Model& m) {
  const int64_t hidden = m.hidden;
  const int64_t module =
      3 * NormParameters(m) + 2 * hidden * hidden + LayerParameters(m, m.runs.back().kind).total();
  return m.mtp_layers * module;
}

int64_t KvElements(const Model& m, int64_t context, int tp) {
  return m.layers() * m.attention.kind->cached(m.attention, context, tp);
}

int64_t KvElementsPerToken(const Model& m) {
  return KvElements(m, 1);
}

Bytes KvBytesPerToken(const Model& m, double bits_per_element) {
  return Bytes(static_cast<double>(KvElementsPerToken(m)) * bits_per_element / 8);
}

LayerFlops ForwardLayerFlops(const Model& m, LayerKind kind, int64_t sequence) {
  const Attention& a = m.attention;
  LayerFlops flops;
  flops.attention_projections = 2 * static_cast<double>(a.kind->matrices(a, m.hidden));
  flops.attention_core = a.kind->core_flops(a, sequence, PairsCounted::kCausal);
  if (kind == LayerKind::kDense) {
    flops.dense_mlp = 2 * static_cast<double>(MlpWeights(m, m.dense_inter));
  } else {
    const double expert = 2 * static_cast<double>(MlpWeights(m, m.moe.inter));
    flops.router = 2.0 * m.hidden * m.moe.experts;
    flops.shared_experts = m.moe.shared_experts * expert;
    flops.routed_experts = m.moe.top_k * expert;
  }
  return flops;
}

double HeadFlops(const Model& m) {
  return 2.0 * m.hidden * m.vocab;
}

double ForwardFlopsPerToken(const Model& m, int64_t sequence) {
  double flops = HeadFlops(m);
  for (const LayerRun& run : m.runs)
    flops += run.count * ForwardLayerFlops(m, run.kind, sequence).total();
  return flops;
}

double MtpForwardFlopsPerToken(const Model& m, int64_t sequence) {
  const double projection = 2 * (2.0 * m.hidden * m.hidden);
  return m.mtp_layers *
         (projection + ForwardLayerFlops(m, m.runs.back().kind, sequence).total() + HeadFlops(m));
}

double TrainingFlopsPerToken(const Model& m, int64_t sequence) {
  return 3 * ForwardFlopsPerToken(m, sequence);
}

double TrainingFlopsPerTokenNotHalved(const Model& m, int64_t sequence) {
  const Attention& a = m.attention;
  const double other_half = a.kind->core_flops(a, sequence, PairsCounted::kAll) -
                            a.kind->core_flops(a, sequence, PairsCounted::kCausal);
  return TrainingFlopsPerToken(m, sequence) + 3 * m.layers() * other_half;
}

}  // namespace moecast
