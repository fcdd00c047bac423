#include "costmodel/layer_ops.h"

#include "base/check.h"
#include "costmodel/ops/parts.h"

namespace moecast {
namespace {

template <LayerKind kKind>
void AddLayer(BlockBuilder& b) {
  AddAttention(b);
  b.Norm(OpName::kMlpNorm, b.local_tokens * b.model.hidden);
  if constexpr (kKind == LayerKind::kMoe)
    AddMoe(b);
  else
    AddMlp(b);
  b.Residual();
  if (b.shard.recompute.Has(Recompute::kLayer)) b.RecomputeAll();
}

// DeepSeek-V3's multi-token prediction (arXiv 2412.19437, section 2.2): norms of hidden state and
// embedding, projection of both, a layer, the shared head. The embedding is looked up once more, in
// a copy where other stages lie between it and the head.
void AddMtp(BlockBuilder& b) {
  const double h = b.model.hidden;
  AddEmbedding(b);
  b.Norm(OpName::kInputNorm, 2 * b.local_tokens * h);
  b.Multiply({.name = OpName::kMtpProjection,
              .m = b.local_tokens,
              .n = h,
              .k = 2 * h,
              .dtype = b.shard.precision.gemm,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  if (b.model.runs.back().kind == LayerKind::kMoe)
    AddLayer<LayerKind::kMoe>(b);
  else
    AddLayer<LayerKind::kDense>(b);
  AddHead(b);
}

BlockParameters OfEmbedding(const Model& model, const ShardPlan& shard, bool) {
  return {.data = static_cast<double>(EmbeddingParameters(model)) / shard.tp};
}

BlockParameters OfLayer(const Model& model, const ShardPlan& shard, LayerKind kind) {
  const LayerParts parts = LayerParameters(model, kind);
  // Whole on every rank of tp: norms, router, what attention says, shared experts if they are.
  const Attention& a = model.attention;
  const auto whole =
      static_cast<double>(parts.norms + parts.router + a.kind->whole_on_tp(a, model.hidden) +
                          (shard.whole_shared_experts ? parts.shared_experts : 0));
  const double data = static_cast<double>(parts.total() - parts.routed_experts);
  const double copies = model.moe.experts > 0
                            ? 1 + static_cast<double>(shard.redundant_experts) / model.moe.experts
                            : 1;
  return {whole + (data - whole) / shard.tp, static_cast<double>(parts.routed_experts) * copies /
                                                 (shard.whole_experts ? 1 : shard.tp) / shard.ep};
}

template <LayerKind kKind>
BlockParameters OfLayer(const Model& model, const ShardPlan& shard, bool) {
  return OfLayer(model, shard, kKind);
}

// A tied head on another stage than the embedding is a copy.
BlockParameters OfHead(const Model& model, const ShardPlan& shard, bool) {
  const double h = model.hidden;
  return {.data = static_cast<double>(model.vocab) * h / shard.tp +
                  static_cast<double>(NormParameters(model))};
}

BlockParameters OfMtp(const Model& model, const ShardPlan& shard, bool ends_apart) {
  const double h = model.hidden;
  BlockParameters p = OfLayer(model, shard, model.runs.back().kind);
  p.data += 2 * h * h + 3 * static_cast<double>(NormParameters(model));
  if (ends_apart) p.data += OfEmbedding(model, shard, ends_apart).data;
  return p;
}

// What each kind of block runs and holds.
struct BlockRow {
  BlockKind kind;
  void (*add)(BlockBuilder& b);
  BlockParameters (*parameters)(const Model& model, const ShardPlan& shard, bool ends_apart);
};
constexpr BlockRow kBlocks[] = {
    {BlockKind::kEmbedding, AddEmbedding, OfEmbedding},
    {BlockKind::kDense, AddLayer<LayerKind::kDense>, OfLayer<LayerKind::kDense>},
    {BlockKind::kMoe, AddLayer<LayerKind::kMoe>, OfLayer<LayerKind::kMoe>},
    {BlockKind::kHead, AddHead, OfHead},
    {BlockKind::kMtp, AddMtp, OfMtp},
};

const BlockRow& RowOf(BlockKind kind) {
  const BlockRow& row = kBlocks[static_cast<size_t>(kind)];
  MOECAST_CHECK(row.kind == kind);
  return row;
}

}  // namespace

BlockOps TrainingOpsOf(BlockKind kind, const Model& model, const ShardPlan& shard,
                       const TokenSpread& spread, const Work& work) {
  MOECAST_CHECK(IsTraining(work.pass));
  BlockBuilder b(model, shard, spread, {&work, 1}, BlockBuilder::Collects::kStep);
  RowOf(kind).add(b);
  return b.Finish();
}

std::vector<Op> OpsOf(BlockKind kind, const Model& model, const ShardPlan& shard,
                      const TokenSpread& spread, std::span<const Work> parts) {
  MOECAST_CHECK(!parts.empty());
  const Pass pass = parts.front().pass;
  MOECAST_CHECK(IsTraining(pass) ? parts.size() == 1 : shard.cp == 1);
  for (const Work& part : parts) {
    MOECAST_CHECK(part.pass != Pass::kDecode || part.tokens % part.sequences == 0);
    MOECAST_CHECK(IsTraining(part.pass) == IsTraining(pass));
  }
  BlockBuilder b(model, shard, spread, parts, BlockBuilder::Collects::kPass);
  RowOf(kind).add(b);
  const Pass listed = IsTraining(pass) ? pass : Pass::kForward;
  return std::move(b.Finish().pass[static_cast<size_t>(listed)]);
}

std::vector<Op> AttentionOpsOf(const Model& model, const ShardPlan& shard,
                               const TokenSpread& spread, const Work& part) {
  MOECAST_CHECK(!IsTraining(part.pass));
  BlockBuilder b(model, shard, spread, {&part, 1}, BlockBuilder::Collects::kPass);
  model.attention.kind->attend(b, part);
  return std::move(b.Finish().pass[static_cast<size_t>(Pass::kForward)]);
}

BlockParameters ParametersOf(BlockKind kind, const Model& model, const ShardPlan& shard,
                             bool ends_apart) {
  return RowOf(kind).parameters(model, shard, ends_apart);
}

}  // namespace moecast
