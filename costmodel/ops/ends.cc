#include "costmodel/ops/parts.h"

namespace moecast {
namespace {

// The last token of each prompt and all that decode are multiplied with the vocabulary; every tp
// rank gathers the logits, whose probabilities are written in fp32 and read to draw the next token.
void AddSampling(BlockBuilder& b) {
  double rows = 0;
  for (const Work& part : b.parts)
    rows += static_cast<double>(part.pass == Pass::kDecode ? part.tokens : part.sequences);
  const double logits = rows * b.model.vocab;
  b.Multiply({.name = OpName::kHead,
              .m = rows,
              .n = static_cast<double>(b.model.vocab) / b.tp,
              .k = static_cast<double>(b.model.hidden),
              .tp = TpSide::kColumn});
  if (b.tp > 1)
    b.Forward(BlockBuilder::Collective(OpName::kTpGather, CollectiveKind::kAllGather,
                                       GroupKind::kTp, logits * BlockBuilder::kBf16));
  b.Forward(BlockBuilder::ElementwiseOp(OpName::kSampling, ElementwiseKind::kSoftmax,
                                        logits * (BlockBuilder::kBf16 + 2 * BlockBuilder::kFp32)));
}

}  // namespace

// The table is cut over tp by its vocabulary: a rank reads its rows and writes zeros for the other
// tokens, and the sum over the ranks is what is looked up.
void AddEmbedding(BlockBuilder& b) {
  const double h = b.model.hidden;
  const double whole = b.tokens * h;
  const double own = whole / b.tp;
  b.Forward(BlockBuilder::ElementwiseOp(OpName::kEmbedding, ElementwiseKind::kEmbedding,
                                        (own + whole) * BlockBuilder::kBf16));
  if (b.tp > 1) {
    const bool sequence = b.shard.sequence;
    b.Forward(BlockBuilder::Collective(
        OpName::kTpScatter, sequence ? CollectiveKind::kReduceScatter : CollectiveKind::kAllReduce,
        GroupKind::kTp, whole * BlockBuilder::kBf16));
    if (sequence)
      b.Backward({BlockBuilder::Collective(OpName::kTpGather, CollectiveKind::kAllGather,
                                           GroupKind::kTp, whole * BlockBuilder::kBf16)});
  }
  // The gradient is added to the rows of the table: read, add, write.
  b.Weight(BlockBuilder::ElementwiseOp(
      OpName::kEmbedding, ElementwiseKind::kEmbedding,
      own * (BlockBuilder::kBf16 + 2 * ElementBytes(b.shard.precision.main_grad))));
  b.KeepForWeight(OpName::kEmbedding, TensorName::kOutputGradient, whole * BlockBuilder::kBf16);
}

void AddHead(BlockBuilder& b) {
  const double h = b.model.hidden, logits = b.tokens * b.model.vocab / b.tp;
  b.Norm(OpName::kFinalNorm, b.local_tokens * h);
  if (!b.trains()) return AddSampling(b);
  b.Multiply({.name = OpName::kHead,
              .m = b.tokens,
              .n = static_cast<double>(b.model.vocab) / b.tp,
              .k = h,
              .tp = TpSide::kColumn,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  // Cross-entropy: the bf16 logits are read and written as fp32, read for the maximum and sum, and
  // their exponentials are written; fused, they are read and the exponentials written. Backward
  // reads these and writes bf16 gradients. Unfused, the fp32 logits live beside the exponentials
  // for a while.
  const bool fused = b.shard.fused_cross_entropy;
  b.Elementwise(OpName::kLoss, ElementwiseKind::kSoftmax,
                logits * (BlockBuilder::kBf16 + (fused ? 1 : 3) * BlockBuilder::kFp32),
                logits * (BlockBuilder::kFp32 + BlockBuilder::kBf16));
  b.KeepUntilBackward(OpName::kLoss, TensorName::kExponentials, logits * BlockBuilder::kFp32);
  b.Transient(OpName::kLoss, TensorName::kLogits,
              logits * (BlockBuilder::kBf16 + (fused ? 0 : BlockBuilder::kFp32)));
}

}  // namespace moecast
