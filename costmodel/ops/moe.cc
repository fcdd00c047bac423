#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "costmodel/ops/parts.h"

namespace moecast {
namespace {

// The all-to-all of tokens one way and of their gradients the other. Gradients of dispatched tokens
// return like expert outputs, gradients of expert outputs go out like tokens.
void Exchange(BlockBuilder& b, OpName name) {
  const Precision& p = b.shard.precision;
  const double elements = b.local_tokens * b.model.hidden * b.work.load.bytes.most;
  const auto exchange = [&](CollectiveKind kind) {
    const Dtype dtype = kind == CollectiveKind::kDispatch ? p.dispatch : p.combine;
    return BlockBuilder::Collective(name, kind, GroupKind::kEp, elements * ElementBytes(dtype));
  };
  const bool dispatch = name == OpName::kDispatch;
  b.Forward(exchange(dispatch ? CollectiveKind::kDispatch : CollectiveKind::kCombine));
  b.Backward({exchange(dispatch ? CollectiveKind::kCombine : CollectiveKind::kDispatch)});
  // Two buffers: what is packed and what arrives are tensors of their own while the tokens travel
  // (Megatron-LM, megatron/core/tensor_parallel/mappings.py, _AllToAll: a new output beside the
  // contiguous input).
  const double one_way = b.local_tokens * b.model.hidden * b.work.load.tokens.most *
                         b.spread.devices *
                         std::max(ElementBytes(p.dispatch), ElementBytes(p.combine));
  b.Transient(name, TensorName::kSendAndReceive, 2 * one_way);
}

// Of the experts on a rank, those that get a row of the tokens of the ranks that share them.
int ExpertsHitOn(const BlockBuilder& b) {
  const Moe& moe = b.model.moe;
  const int slots = moe.experts + b.shard.redundant_experts, local = slots / b.shard.ep;
  const double hit = ExpertsHit(local, static_cast<double>(moe.top_k) / slots,
                                b.tokens * b.shard.ep_in_dp() * b.work.load.visits.most);
  return std::clamp(static_cast<int>(std::lround(hit * b.work.load.hit.most)), 1, local);
}

}  // namespace

void AddMoe(BlockBuilder& b) {
  const Moe& moe = b.model.moe;
  const Precision& precision = b.shard.precision;
  const double h = b.model.hidden;
  const double tokens = b.local_tokens;
  const double load = b.work.load.visits.most;
  const bool whole = b.shard.whole_experts;
  // Where every rank of tp has all tokens, it takes those of its experts from them.
  const bool sends = b.shard.ep > (whole && !b.shard.sequence ? b.tp : 1);
  MOECAST_CHECK(!whole || b.shard.sequence || !(sends || b.trains()));
  const double rows = (whole ? b.tokens / b.tp : b.tokens) * moe.top_k;
  const double inter = static_cast<double>(moe.inter) / (whole ? 1 : b.tp);
  const double sent =
      tokens * b.spread.devices * h;  // elements: a token once to each rank that has its experts
  const double received = sent * b.work.load.tokens.most;
  const double permuted = (whole ? rows : tokens * moe.top_k) * h * load;

  b.Multiply({.name = OpName::kRouter,
              .m = tokens,
              .n = static_cast<double>(moe.experts),
              .k = h,
              .input = b.InputFrom(Recompute::kRmsNorm)});
  // Scores in fp32, read for the affinities, written, read for the choice.
  const double scores = tokens * moe.experts * 3 * BlockBuilder::kFp32;
  b.Elementwise(OpName::kTopK, ElementwiseKind::kSoftmax, scores, scores);
  b.KeepUntilBackward(OpName::kTopK, TensorName::kScores,
                      tokens * moe.experts * BlockBuilder::kFp32);

  // One rank: tokens are only copied for their experts. Several: packed by destination, sent once
  // per device, copied there. Backward runs the same moves the other way.
  //
  // A dispatch in 8 bits is quantised before it is packed; where the experts multiply in the same
  // format, what arrives is their operand, copied as it came. The same holds for the gradients of
  // the experts' outputs in the backward pass; what is combined stays bf16 (arXiv 2412.19437,
  // section 3.3.3).
  const bool eight_bits = sends && IsQuantised(precision.dispatch);
  const bool as_operand = eight_bits && precision.dispatch == precision.gemm;
  const double wire = eight_bits ? ElementBytes(precision.dispatch) : BlockBuilder::kBf16;
  const double operand = as_operand ? wire : BlockBuilder::kBf16;
  const double out_of_cast = tokens * h * (BlockBuilder::kBf16 + wire);
  const double packed = tokens * h + sent;
  const double unpack = packed * BlockBuilder::kBf16;
  const double pack = packed * wire;
  const double in = sends ? received : tokens * h;
  const double uncopy = (in + permuted) * BlockBuilder::kBf16;
  const double copy = in * wire + permuted * operand;
  const auto cast = [&] {
    return BlockBuilder::ElementwiseOp(OpName::kCast, ElementwiseKind::kCast, out_of_cast);
  };
  if (sends) {
    if (eight_bits) b.Forward(cast());
    b.Elementwise(OpName::kPermute, ElementwiseKind::kPermute, pack, unpack);
    Exchange(b, OpName::kDispatch);
  }
  // Serving engines add up what tp ranks have of a token's experts, the shared ones among them,
  // once it is one row again (vLLM 0.11, deepseek_v2.py and fused_moe: one all-reduce behind both);
  // Megatron-LM does before the copies of a token are summed (token_dispatcher.py).
  const bool sums_last = !b.trains() && !sends;
  // Shared experts run beside the dispatch in the forward pass and beside the combine's exchange in
  // the backward pass.
  std::vector<std::vector<Op>> shared;
  if (moe.shared_experts > 0) {
    const size_t before = b.backward_groups();
    AddMlp(b, {OpName::kSharedUp, OpName::kSharedAct, OpName::kSharedDown},
           static_cast<double>(moe.inter) * moe.shared_experts, LinearInput::kElsewhere,
           b.shard.overlap.shared_experts && sends && (b.tp == 1 || b.shard.whole_shared_experts),
           b.shard.whole_shared_experts ? MlpOnTp::kWhole
           : sums_last                  ? MlpOnTp::kCutNotSummed
                                        : MlpOnTp::kCut);
    shared = b.CutBackward(before);
  }
  b.Elementwise(OpName::kPermute, ElementwiseKind::kPermute, copy, uncopy);
  // The copies are what only the weight gradients read, so that pass makes them again, from the
  // tokens received (on one rank from the layer's normed input, which the router keeps).
  const bool copies_again = b.Recomputes(Recompute::kPermute);
  if (copies_again) {
    b.Weight(BlockBuilder::Recomputed(
        BlockBuilder::ElementwiseOp(OpName::kPermute, ElementwiseKind::kPermute, copy)));
    const double element =
        std::min(ElementBytes(precision.dispatch), ElementBytes(precision.saved_activations));
    if (sends) b.KeepUntilWeight(OpName::kDispatch, TensorName::kOutput, received * element);
  }
  // Ranks of tp that hold parts of every expert need all rows of their expert-parallel rank.
  const int experts = ExpertsHitOn(b);
  b.Multiply({.name = OpName::kExpertUp,
              .m = rows,
              .n = UpFactor(b.model.mlp) * inter,
              .k = h,
              .tp = whole ? TpSide::kNone : TpSide::kColumn,
              .groups = experts,
              .dtype = precision.gemm,
              .input = copies_again ? LinearInput::kElsewhere : LinearInput::kKept,
              .quantised_input = as_operand});
  AddActivation(b, OpName::kExpertAct, rows * inter * load, false);
  b.Multiply({.name = OpName::kExpertDown,
              .m = rows,
              .n = h,
              .k = inter,
              .tp = whole || sums_last ? TpSide::kNone : TpSide::kRow,
              .groups = experts,
              .dtype = precision.gemm,
              .input = b.InputFrom(Recompute::kSwiGlu),
              .quantised_gradient = as_operand});
  // Copies of one token are summed on the device, sent back once, summed at home.
  if (sends) b.Elementwise(OpName::kUnpermute, ElementwiseKind::kPermute, uncopy, copy);
  for (auto& group : shared) b.Backward(std::move(group));
  if (sends) {
    Exchange(b, OpName::kCombine);
    b.Elementwise(OpName::kUnpermute, ElementwiseKind::kPermute, unpack, pack);
    if (eight_bits) b.Backward({cast()});
  } else {
    b.Elementwise(OpName::kUnpermute, ElementwiseKind::kPermute, uncopy, copy);
  }
  if (moe.shared_experts > 0)
    b.Elementwise(OpName::kResidual, ElementwiseKind::kAdd, 3 * tokens * h * BlockBuilder::kBf16,
                  0);
  if (sums_last && b.tp > 1)
    b.Forward(BlockBuilder::Collective(OpName::kTpScatter, CollectiveKind::kAllReduce,
                                       GroupKind::kTp, tokens * h * BlockBuilder::kBf16));
}

}  // namespace moecast
