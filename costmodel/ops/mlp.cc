#include "costmodel/ops/parts.h"

namespace moecast {

double UpFactor(MlpKind kind) {
  return kind == MlpKind::kSwiglu ? 2 : 1;
}

// Forward reads gate and up and writes their product; backward reads them and the gradient and
// writes two. In another format than bf16 a copy of gate and up is kept, which forward writes too.
void AddActivation(BlockBuilder& b, OpName name, double elements, bool beside) {
  const Dtype saved = b.shard.precision.saved_swiglu;
  const double up = UpFactor(b.model.mlp);
  const double bytes = elements * BlockBuilder::kBf16;
  const double kept = up * elements * ElementBytes(saved);
  const double copy = saved == Dtype::kBf16 || !b.trains() ? 0 : kept;
  const int16_t after = beside ? kBeside : kSerial;
  b.Elementwise(name, ElementwiseKind::kSwiGlu, (up + 1) * bytes + copy, kept + (up + 1) * bytes,
                after);
  b.KeepUntilBackward(name, TensorName::kInput, kept);
  if (b.Recomputes(Recompute::kSwiGlu))
    b.Backward({BlockBuilder::Recomputed(
        BlockBuilder::ElementwiseOp(name, ElementwiseKind::kSwiGlu, kept + bytes, after))});
}

void AddMlp(BlockBuilder& b, const MlpNames& names, double inter, LinearInput input, bool beside,
            MlpOnTp on_tp) {
  const bool cut = on_tp != MlpOnTp::kWhole;
  const double h = b.model.hidden, i = cut ? inter / b.tp : inter;
  const double tokens = cut ? b.tokens : b.local_tokens;
  b.Multiply({.name = names.up,
              .m = tokens,
              .n = UpFactor(b.model.mlp) * i,
              .k = h,
              .tp = cut ? TpSide::kColumn : TpSide::kNone,
              .dtype = b.shard.precision.gemm,
              .input = input,
              .beside = beside});
  AddActivation(b, names.act, tokens * i, beside);
  b.Multiply({.name = names.down,
              .m = tokens,
              .n = h,
              .k = i,
              .tp = on_tp == MlpOnTp::kCut ? TpSide::kRow : TpSide::kNone,
              .dtype = b.shard.precision.gemm,
              .input = b.InputFrom(Recompute::kSwiGlu),
              .beside = beside});
}

void AddMlp(BlockBuilder& b) {
  AddMlp(b, {OpName::kMlpUp, OpName::kMlpAct, OpName::kMlpDown}, b.model.dense_inter,
         b.InputFrom(Recompute::kRmsNorm), false);
}

}  // namespace moecast
