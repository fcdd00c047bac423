// Collects the operators of a block. The parts of a model (ops/parts.h) add to the forward pass in
// the order it runs, which is also what prefill and decode run, and bring along what the backward
// and weight-gradient passes do for each of their operators.
#pragma once

#include <span>
#include <vector>

#include "costmodel/layer_ops.h"

namespace moecast {

// Values of Op::after until the pass is complete.
inline constexpr int16_t kBeside = -1;  // only stream order
inline constexpr int16_t kSerial = -2;  // after the latest op of any other stream
// After the second-latest of that stream: the first part of a collective cut in two.
inline constexpr int16_t kFirstPart = -3;

enum class TpSide : uint8_t { kNone, kColumn, kRow };

// Who keeps the input of a linear layer until its weight gradient.
enum class LinearInput : uint8_t {
  kKept,        // the layer itself, from the forward pass on
  kRecomputed,  // the layer itself, from the backward pass on, which computes it again
  kElsewhere,   // another operator, or a recomputation in the weight pass
};

struct Linear {
  OpName name;
  double m = 0, n = 0, k = 0;
  TpSide tp = TpSide::kNone;
  int groups = 0;  // experts; 0: one product
  Dtype dtype = Dtype::kBf16;
  LinearInput input = LinearInput::kKept;
  bool beside = false;  // computes beside communication
  // The operand came in `dtype` from an exchange that sends it so: no cast before the product. The
  // weight gradient still needs it transposed, scaled along the other axis.
  bool quantised_input = false;
  bool quantised_gradient = false;  // of the output, in the backward pass
};

// Formats of 8 bits, into which a cast writes values with scales.
bool IsQuantised(Dtype dtype);

class BlockBuilder {
 public:
  static constexpr double kBf16 = 2, kFp32 = 4;  // bytes

  // All passes of a training step with what they keep, or only the ops of the work's own pass.
  enum class Collects : uint8_t { kStep, kPass };
  // `parts` go through the block together: a micro-batch, or what an iteration of serving does. The
  // arguments outlive this.
  BlockBuilder(const Model& model, const ShardPlan& shard, const TokenSpread& spread,
               std::span<const Work> parts, Collects collects);

  const Model& model;
  const ShardPlan& shard;
  const TokenSpread& spread;
  const std::span<const Work> parts;
  const Work work;  // Together(parts)
  const int tp, cp;
  const double tokens;        // of the micro-batch on this context-parallel rank
  const double local_tokens;  // of them outside the tensor-parallel regions

  // Whether the work is of training; else what only its later passes need is left out.
  bool trains() const { return IsTraining(work.pass); }

  // Recomputation of the layer's parts; a layer recomputed whole has none.
  bool Recomputes(Recompute what) const;
  LinearInput InputFrom(Recompute what) const;

  void Forward(Op op) { out_.pass[0].push_back(std::move(op)); }
  void Weight(Op op) {
    if (Wants(Pass::kWeight)) out_.pass[2].push_back(std::move(op));
  }
  // A group of ops that run in this order; groups run in the reverse order of being added.
  void Backward(std::vector<Op> group) {
    if (Wants(Pass::kBackward)) backward_.push_back(std::move(group));
  }
  // Takes away the groups added since there were `count`.
  size_t backward_groups() const { return backward_.size(); }
  std::vector<std::vector<Op>> CutBackward(size_t count);

  void KeepUntilBackward(OpName op, TensorName tensor, double bytes) {
    Keep({op, tensor, Lifetime::kUntilBackward, false, Bytes(bytes)});
  }
  void KeepUntilWeight(OpName op, TensorName tensor, double bytes) {
    Keep({op, tensor, Lifetime::kUntilWeight, false, Bytes(bytes)});
  }
  void KeepForWeight(OpName op, TensorName tensor, double bytes, bool recomputed = false) {
    Keep({op, tensor, Lifetime::kForWeight, recomputed, Bytes(bytes)});
  }
  // What an op needs while it runs; the most of all ops counts.
  void Transient(OpName op, TensorName tensor, double bytes, bool recomputed = false);

  static Op ElementwiseOp(OpName name, ElementwiseKind kind, double bytes, int16_t after = kSerial);
  static Op Collective(OpName name, CollectiveKind kind, GroupKind group, double bytes);
  static Op Recomputed(Op op);

  // No backward op where backward_bytes is 0.
  void Elementwise(OpName name, ElementwiseKind kind, double forward_bytes, double backward_bytes,
                   int16_t after = kSerial);
  // Keeps its input; its output is the input of the linear layer that reads it.
  void Norm(OpName name, double elements);
  void Residual();
  // A linear layer in all passes, with its tensor-parallel collectives and FP8 casts.
  void Multiply(const Linear& l);
  // What its forward pass runs, for recomputation.
  std::vector<Op> ForwardOf(const Linear& l) const;

  // Everything added so far runs again before the backward pass; only the layer's input is kept.
  void RecomputeAll();

  BlockOps Finish();

 private:
  bool Wants(Pass pass) const { return collects_ == Collects::kStep || work.pass == pass; }
  void Keep(const KeptTensor& t) {
    if (collects_ == Collects::kStep && t.bytes.value > 0) out_.tensors.push_back(t);
  }
  bool Sequence() const { return shard.sequence; }
  bool Split() const { return shard.overlap.tp && tp > 1; }
  Op Product(const Linear& l, GemmPass pass) const;
  double LoadOf(const Linear& l) const { return l.groups > 0 ? work.load.visits.most : 1; }
  void GatherThen(std::vector<Op>& ops, double bytes, Op product) const;
  void ThenScatter(std::vector<Op>& ops, double bytes, Op product) const;

  const Collects collects_;
  BlockOps out_;
  std::vector<std::vector<Op>> backward_;
  std::vector<KeptTensor> transient_;  // of the op that needs most so far
};

}  // namespace moecast
