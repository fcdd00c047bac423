#include "costmodel/ops/block_builder.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace moecast {
namespace {

// Replaces the placeholders by indices. A kernel that waits for the latest op of all other streams
// waits for those before it too: that op waited for them, or one that runs before it on its stream;
// but for the rest of a gather in parts, behind which its communicator's next collective runs.
void Resolve(std::vector<Op>& ops) {
  struct Latest {
    int32_t last = -1;
    int32_t before = -1;
  };
  std::array<Latest, kStreams> by_stream;
  for (size_t i = 0; i < ops.size(); ++i) {
    Latest& own = by_stream[static_cast<size_t>(ops[i].stream())];
    Latest others;
    for (const Latest& stream : by_stream)
      if (&stream != &own && stream.last > others.last) others = stream;
    if (ops[i].after == kSerial) ops[i].after = others.last;
    if (ops[i].after == kFirstPart) ops[i].after = others.before;
    own = {static_cast<int32_t>(i), own.last};
  }
}

}  // namespace

bool IsQuantised(Dtype dtype) {
  return dtype == Dtype::kFp8 || dtype == Dtype::kFp8Block;
}

BlockBuilder::BlockBuilder(const Model& m, const ShardPlan& s, const TokenSpread& over,
                           std::span<const Work> works, Collects collects)
    : model(m),
      shard(s),
      spread(over),
      parts(works),
      work(Together(works)),
      tp(s.tp),
      cp(s.cp),
      tokens(RankTokensOf(work, s).in_tp),
      local_tokens(RankTokensOf(work, s).outside_tp),
      collects_(collects) {}

bool BlockBuilder::Recomputes(Recompute what) const {
  return shard.recompute.Has(what) && !shard.recompute.Has(Recompute::kLayer);
}
LinearInput BlockBuilder::InputFrom(Recompute what) const {
  return Recomputes(what) ? LinearInput::kRecomputed : LinearInput::kKept;
}

std::vector<std::vector<Op>> BlockBuilder::CutBackward(size_t count) {
  std::vector<std::vector<Op>> cut(
      std::make_move_iterator(backward_.begin() + static_cast<std::ptrdiff_t>(count)),
      std::make_move_iterator(backward_.end()));
  backward_.resize(count);
  return cut;
}

void BlockBuilder::Transient(OpName op, TensorName tensor, double bytes, bool recomputed) {
  if (Bytes(bytes) > SumOf(transient_).transient)
    transient_ = {{op, tensor, Lifetime::kWithinPass, recomputed, Bytes(bytes)}};
}

// ---- Operators of one kernel

Op BlockBuilder::ElementwiseOp(OpName name, ElementwiseKind kind, double bytes, int16_t after) {
  return {.name = name, .query = ElementwiseQuery{kind, Bytes(bytes)}, .after = after};
}
Op BlockBuilder::Collective(OpName name, CollectiveKind kind, GroupKind group, double bytes) {
  return {.name = name, .query = CollectiveQuery{kind, group, Bytes(bytes)}, .after = kSerial};
}
Op BlockBuilder::Recomputed(Op op) {
  op.recomputed = true;
  return op;
}

void BlockBuilder::Elementwise(OpName name, ElementwiseKind kind, double forward_bytes,
                               double backward_bytes, int16_t after) {
  Forward(ElementwiseOp(name, kind, forward_bytes, after));
  if (backward_bytes > 0) Backward({ElementwiseOp(name, kind, backward_bytes, after)});
}

// Forward reads x and writes y; backward reads x and dy and writes dx.
void BlockBuilder::Norm(OpName name, double elements) {
  Elementwise(name, ElementwiseKind::kRmsNorm, 2 * elements * kBf16, 3 * elements * kBf16);
  if (Recomputes(Recompute::kRmsNorm))
    Backward({Recomputed(ElementwiseOp(name, ElementwiseKind::kRmsNorm, 2 * elements * kBf16))});
  KeepUntilBackward(name, TensorName::kInput, elements * kBf16);
}

// Forward adds the branch to the stream; backward adds the gradients that meet at the fork.
void BlockBuilder::Residual() {
  const double bytes = 3 * local_tokens * model.hidden * kBf16;
  Elementwise(OpName::kResidual, ElementwiseKind::kAdd, bytes, bytes);
}

// ---- Linear layers

Op BlockBuilder::Product(const Linear& l, GemmPass pass) const {
  // F and B wait for the slowest device of the expert-parallel group, W does not.
  const double load = pass == GemmPass::kWgrad ? work.load.visits.mean : work.load.visits.most;
  const int64_t n = std::llround(l.n), k = std::llround(l.k);
  // A token that the ranks of a group share is a whole one for whoever has it.
  const auto rows = [](double m) { return std::max<int64_t>(1, std::llround(m)); };
  Op op{.name = l.name, .after = l.beside && pass != GemmPass::kWgrad ? kBeside : kSerial};
  if (l.groups > 0)
    op.query = GroupedGemmQuery{.groups = l.groups,
                                .rows_total = rows(l.m * load),
                                .n = n,
                                .k = k,
                                .dtype = l.dtype,
                                .pass = pass,
                                .main_grad = shard.precision.main_grad};
  else
    op.query = GemmQuery{.m = rows(l.m),
                         .n = n,
                         .k = k,
                         .dtype = l.dtype,
                         .pass = pass,
                         .main_grad = shard.precision.main_grad};
  return op;
}

// A collective that runs with a product. In parts: of an all-gather the first of tp parts is waited
// for and the rest comes in beside the product; of a reduce-scatter all but the last part leaves
// beside it.
void BlockBuilder::GatherThen(std::vector<Op>& ops, double bytes, Op product) const {
  const auto gather = [&ops](double part) {
    ops.push_back(Collective(OpName::kTpGather, CollectiveKind::kAllGather, GroupKind::kTp, part));
  };
  if (Split()) {
    gather(bytes / tp);
    gather(bytes * (tp - 1) / tp);
    product.after = kFirstPart;
  } else {
    gather(bytes);
  }
  ops.push_back(std::move(product));
}
void BlockBuilder::ThenScatter(std::vector<Op>& ops, double bytes, Op product) const {
  const auto kind = Sequence() ? CollectiveKind::kReduceScatter : CollectiveKind::kAllReduce;
  const auto scatter = [&ops, kind](double part) {
    ops.push_back(Collective(OpName::kTpScatter, kind, GroupKind::kTp, part));
  };
  if (Split()) {
    scatter(bytes * (tp - 1) / tp);
    product.after = kBeside;
    ops.push_back(std::move(product));
    scatter(bytes / tp);
  } else {
    ops.push_back(std::move(product));
    scatter(bytes);
  }
}

std::vector<Op> BlockBuilder::ForwardOf(const Linear& l) const {
  std::vector<Op> ops;
  const double load = LoadOf(l);
  // FP8: the operands are quantised from bf16: read 2 bytes, write 1 and the scales.
  if (IsQuantised(l.dtype) && !l.quantised_input)
    ops.push_back(ElementwiseOp(OpName::kCast, ElementwiseKind::kCast,
                                load * l.m * l.k * (kBf16 + ElementBytes(l.dtype)),
                                l.beside ? kBeside : kSerial));
  Op product = Product(l, GemmPass::kForward);
  if (tp > 1 && l.tp == TpSide::kColumn && Sequence())
    GatherThen(ops, load * l.m * l.k * kBf16, std::move(product));
  else if (tp > 1 && l.tp == TpSide::kRow)
    ThenScatter(ops, load * l.m * l.n * kBf16, std::move(product));
  else
    ops.push_back(std::move(product));
  return ops;
}

void BlockBuilder::Multiply(const Linear& l) {
  for (Op& op : ForwardOf(l)) Forward(std::move(op));

  const double in = LoadOf(l) * l.m * l.k, out = LoadOf(l) * l.m * l.n;  // elements
  const double cast = kBf16 + ElementBytes(l.dtype);
  const double gradient = l.quantised_gradient ? ElementBytes(l.dtype) : kBf16;
  const bool column = tp > 1 && l.tp == TpSide::kColumn, row = tp > 1 && l.tp == TpSide::kRow;
  std::vector<Op> back;
  if (IsQuantised(l.dtype) && !l.quantised_gradient)
    back.push_back(ElementwiseOp(OpName::kCast, ElementwiseKind::kCast, out * cast,
                                 l.beside ? kBeside : kSerial));
  // Where GEMMs take bf16, an input saved in another format is cast when it is saved, and back for
  // W. (FP8 GEMMs leave a copy that is saved as it is.)
  const double saved = ElementBytes(shard.precision.saved_activations);
  const bool casts_saved = trains() && !IsQuantised(shard.precision.gemm) &&
                           shard.precision.saved_activations != Dtype::kBf16 &&
                           l.input != LinearInput::kElsewhere;
  if (casts_saved) {
    Op save = ElementwiseOp(OpName::kCast, ElementwiseKind::kCast, in * (kBf16 + saved),
                            l.beside ? kBeside : kSerial);
    if (l.input == LinearInput::kKept)
      Forward(std::move(save));
    else
      back.push_back(std::move(save));
  }
  Op dgrad = Product(l, GemmPass::kDgrad);
  if (column)
    ThenScatter(back, in * kBf16, std::move(dgrad));
  else if (row && Sequence())
    GatherThen(back, out * kBf16, std::move(dgrad));
  else
    back.push_back(std::move(dgrad));
  Backward(std::move(back));

  // The weight gradient sums over tokens: its FP8 operands are scaled along the other axis,
  // transposed and quantised anew (arXiv 2412.19437, section 3.5.2: read, dequantised, transposed,
  // quantised, written).
  if (casts_saved)
    Weight(ElementwiseOp(OpName::kCast, ElementwiseKind::kCast, in * (saved + kBf16)));
  if (IsQuantised(l.dtype))
    Weight(ElementwiseOp(
        OpName::kCast, ElementwiseKind::kCast,
        in * (saved + ElementBytes(l.dtype)) + out * (gradient + ElementBytes(l.dtype))));
  Op wgrad = Product(l, GemmPass::kWgrad);
  std::vector<Op> weight;
  if (column && Sequence())
    GatherThen(weight, in * kBf16, std::move(wgrad));
  else
    weight.push_back(std::move(wgrad));
  for (Op& op : weight) Weight(std::move(op));

  // What is gathered is kept in its own part only.
  const double kept = in / (column && Sequence() ? tp : 1) * saved;
  if (l.input == LinearInput::kKept) KeepUntilWeight(l.name, TensorName::kInput, kept);
  if (l.input == LinearInput::kRecomputed) KeepForWeight(l.name, TensorName::kInput, kept, true);
  KeepForWeight(l.name, TensorName::kOutputGradient, out * gradient);
  Transient(l.name, TensorName::kInputAndOutput, (in + out) * kBf16);
}

// ---- The whole

void BlockBuilder::RecomputeAll() {
  std::vector<Op> again = Wants(Pass::kBackward) ? out_.pass[0] : std::vector<Op>();
  for (Op& op : again) op.recomputed = true;
  Backward(std::move(again));
  // What the forward pass kept is alive within the backward pass; from there on what the weight
  // pass reads.
  for (KeptTensor& t : out_.tensors) {
    if (t.lifetime == Lifetime::kForWeight) continue;
    t.recomputed = true;
    transient_.push_back(t);
    transient_.back().lifetime = Lifetime::kWithinPass;
    t.lifetime =
        t.lifetime == Lifetime::kUntilWeight ? Lifetime::kForWeight : Lifetime::kWithinPass;
  }
  std::erase_if(out_.tensors,
                [](const KeptTensor& t) { return t.lifetime == Lifetime::kWithinPass; });
  KeepUntilBackward(OpName::kInputNorm, TensorName::kInput, local_tokens * model.hidden * kBf16);
}

BlockOps BlockBuilder::Finish() {
  for (auto group = backward_.rbegin(); group != backward_.rend(); ++group)
    out_.pass[1].insert(out_.pass[1].end(), group->begin(), group->end());
  for (auto& pass : out_.pass) Resolve(pass);
  out_.tensors.insert(out_.tensors.end(), transient_.begin(), transient_.end());
  out_.memory = SumOf(out_.tensors);
  return std::move(out_);
}

}  // namespace moecast
