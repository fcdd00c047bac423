#include "costmodel/layer_ops.h"

#include "base/check.h"
#include "costmodel/ops/parts.h"

namespace moecast {
namespace {

constexpr double kBf16 = BlockBuilder::kBf16, kFp32 = BlockBuilder::kFp32;

// The table is cut over tp by its vocabulary: a rank reads its rows and writes zeros for the other tokens,
// and the sum over the ranks is what is looked up.
void AddEmbedding(BlockBuilder& b) {
  const double h = b.model.hidden, whole = b.tokens * h, own = whole / b.tp;
  b.Forward(
      BlockBuilder::ElementwiseOp(OpName::kEmbedding, ElementwiseKind::kEmbedding, (own + whole) * kBf16));
  if (b.tp > 1) {
    const bool sequence = b.shard.sequence;
    b.Forward(BlockBuilder::Collective(OpName::kTpScatter,
                                       sequence ? CollectiveKind::kReduceScatter : CollectiveKind::kAllReduce,
                                       GroupKind::kTp, whole * kBf16));
    if (sequence)
      b.Backward({BlockBuilder::Collective(OpName::kTpGather, CollectiveKind::kAllGather, GroupKind::kTp,
                                           whole * kBf16)});
  }
  // The gradient is added to the rows of the table: read, add, write.
  b.Weight(BlockBuilder::ElementwiseOp(OpName::kEmbedding, ElementwiseKind::kEmbedding,
                                       own * (kBf16 + 2 * ElementBytes(b.shard.precision.main_grad))));
  b.KeepForWeight(OpName::kEmbedding, TensorName::kOutputGradient, whole * kBf16);
}

void AddLayer(BlockBuilder& b, LayerKind kind) {
  AddAttention(b);
  b.Norm(OpName::kMlpNorm, b.local_tokens * b.model.hidden);
  if (kind == LayerKind::kMoe)
    AddMoe(b);
  else
    AddMlp(b);
  b.Residual();
  if (b.shard.recompute.Has(Recompute::kLayer)) b.RecomputeAll();
}

void AddHead(BlockBuilder& b) {
  const double h = b.model.hidden, logits = b.tokens * b.model.vocab / b.tp;
  b.Norm(OpName::kFinalNorm, b.local_tokens * h);
  b.Multiply({.name = OpName::kHead,
              .m = b.tokens,
              .n = static_cast<double>(b.model.vocab) / b.tp,
              .k = h,
              .tp = TpSide::kColumn,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  // Cross-entropy: the bf16 logits are read and written as fp32, read for the maximum and sum, and their
  // exponentials are written; fused, they are read and the exponentials written. Backward reads these and
  // writes bf16 gradients. Unfused, the fp32 logits live beside the exponentials for a while.
  const bool fused = b.shard.fused_cross_entropy;
  b.Elementwise(OpName::kLoss, ElementwiseKind::kSoftmax, logits * (kBf16 + (fused ? 1 : 3) * kFp32),
                logits * (kFp32 + kBf16));
  b.KeepUntilBackward(OpName::kLoss, TensorName::kExponentials, logits * kFp32);
  b.Transient(OpName::kLoss, TensorName::kLogits, logits * (kBf16 + (fused ? 0 : kFp32)));
}

// DeepSeek-V3's multi-token prediction (arXiv 2412.19437, section 2.2): norms of hidden state and embedding,
// projection of both, a layer, the shared head. The embedding is looked up once more, in a copy where other
// stages lie between it and the head.
void AddMtp(BlockBuilder& b, LayerKind kind) {
  const double h = b.model.hidden;
  AddEmbedding(b);
  b.Norm(OpName::kInputNorm, 2 * b.local_tokens * h);
  b.Multiply({.name = OpName::kMtpProjection,
              .m = b.local_tokens,
              .n = h,
              .k = 2 * h,
              .dtype = b.shard.precision.gemm,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  AddLayer(b, kind);
  AddHead(b);
}

void Build(BlockKind kind, BlockBuilder& b) {
  switch (kind) {
    case BlockKind::kEmbedding:
      AddEmbedding(b);
      break;
    case BlockKind::kDense:
      AddLayer(b, LayerKind::kDense);
      break;
    case BlockKind::kMoe:
      AddLayer(b, LayerKind::kMoe);
      break;
    case BlockKind::kHead:
      AddHead(b);
      break;
    case BlockKind::kMtp:
      AddMtp(b, b.model.runs.back().kind);
      break;
  }
}

BlockParameters LayerParametersOf(const Model& model, const ShardPlan& shard, LayerKind kind) {
  const LayerParts parts = LayerParameters(model, kind);
  // Whole on every rank of tp: norms, router and what attention says.
  const Attention& a = model.attention;
  const auto whole =
      static_cast<double>(parts.norms + parts.router + a.kind->whole_on_tp(a, model.hidden));
  const double data = static_cast<double>(parts.total() - parts.routed_experts);
  return {whole + (data - whole) / shard.tp,
          static_cast<double>(parts.routed_experts) / shard.tp / shard.ep};
}

}  // namespace

BlockMemory SumOf(const std::vector<KeptTensor>& tensors) {
  BlockMemory sum;
  for (const KeptTensor& t : tensors) {
    switch (t.lifetime) {
      case Lifetime::kUntilBackward:
        sum.until_backward += t.bytes;
        break;
      case Lifetime::kUntilWeight:
        sum.until_weight += t.bytes;
        break;
      case Lifetime::kForWeight:
        sum.gradients += t.bytes;
        break;
      case Lifetime::kWithinPass:
        sum.transient += t.bytes;
        break;
    }
  }
  return sum;
}

BlockOps TrainingOpsOf(BlockKind kind, const Model& model, const ShardPlan& shard, const TokenSpread& spread,
                       const Work& work) {
  BlockBuilder b(model, shard, spread, work, BlockBuilder::Collects::kStep);
  Build(kind, b);
  return b.Finish();
}

std::vector<Op> OpsOf(BlockKind kind, const Model& model, const ShardPlan& shard, const TokenSpread& spread,
                      const Work& work) {
  MOECAST_CHECK(IsTraining(work.pass));
  BlockBuilder b(model, shard, spread, work, BlockBuilder::Collects::kPass);
  Build(kind, b);
  return std::move(b.Finish().pass[static_cast<size_t>(work.pass)]);
}

BlockParameters ParametersOf(BlockKind kind, const Model& model, const ShardPlan& shard, bool ends_apart) {
  const double tp = shard.tp, h = model.hidden;
  switch (kind) {
    case BlockKind::kEmbedding:
      return {static_cast<double>(EmbeddingParameters(model)) / tp, 0};
    case BlockKind::kDense:
      return LayerParametersOf(model, shard, LayerKind::kDense);
    case BlockKind::kMoe:
      return LayerParametersOf(model, shard, LayerKind::kMoe);
    case BlockKind::kHead:
      // A tied head on another stage than the embedding is a copy.
      return {static_cast<double>(model.vocab) * h / tp + h, 0};
    case BlockKind::kMtp: {
      BlockParameters p = LayerParametersOf(model, shard, model.runs.back().kind);
      p.data += 2 * h * h + 3 * h;
      if (ends_apart) p.data += static_cast<double>(EmbeddingParameters(model)) / tp;
      return p;
    }
  }
  MOECAST_CHECK(false);
}

}  // namespace moecast
