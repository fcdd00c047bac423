// The operators of one layer, of the embedding and of the head, for the passes of a training step: forward,
// backward (input gradients, recomputation included) and weight gradients apart, for schedules that split
// them. Also what each pass keeps in memory and frees. Formulas: docs/model.md.
//
// Left out: dropout (0 in all models here), the gradients of norm weights and router bias (vectors), the
// all-reduce over tp of gradients of weights that tp replicates (a part in 10^3 of the gradients).
#pragma once

#include <cstdint>
#include <vector>

#include "base/enum_names.h"
#include "base/units.h"
#include "costmodel/model.h"
#include "costmodel/op.h"
#include "costmodel/shard.h"
#include "costmodel/spread.h"
#include "costmodel/work.h"

namespace moecast {

// The pieces a model is built from.
enum class BlockKind : uint8_t { kEmbedding, kDense, kMoe, kHead, kMtp };
template <>
struct EnumNames<BlockKind> {
  static constexpr EnumName<BlockKind> kNames[] = {{BlockKind::kEmbedding, "embedding"},
                                                   {BlockKind::kDense, "dense-layer"},
                                                   {BlockKind::kMoe, "moe-layer"},
                                                   {BlockKind::kHead, "head"},
                                                   {BlockKind::kMtp, "mtp-module"}};
};
inline constexpr int kBlockKinds = 5;

// What an op's tensor is to the op.
enum class TensorName : uint8_t {
  kInput,
  kOutput,
  kOutputGradient,
  kQueries,
  kKeys,
  kKeysAndValues,
  kRopeKey,
  kQueriesKeysValues,
  kLogSumExp,
  kScores,
  kExponentials,
  kInputAndOutput,
  kSendAndReceive,
  kLogits
};
template <>
struct EnumNames<TensorName> {
  static constexpr EnumName<TensorName> kNames[] = {{TensorName::kInput, "input"},
                                                    {TensorName::kOutput, "output"},
                                                    {TensorName::kOutputGradient, "gradient of the output"},
                                                    {TensorName::kQueries, "queries"},
                                                    {TensorName::kKeys, "keys"},
                                                    {TensorName::kKeysAndValues, "keys and values"},
                                                    {TensorName::kRopeKey, "RoPE key"},
                                                    {TensorName::kQueriesKeysValues, "queries, keys, values"},
                                                    {TensorName::kLogSumExp, "log-sum-exp"},
                                                    {TensorName::kScores, "scores"},
                                                    {TensorName::kExponentials, "exponentials of the logits"},
                                                    {TensorName::kInputAndOutput, "input and output"},
                                                    {TensorName::kSendAndReceive, "send and receive buffers"},
                                                    {TensorName::kLogits, "logits"}};
};

// From when until when a tensor of a micro-batch is alive.
enum class Lifetime : uint8_t {
  kUntilBackward,  // from the forward pass to the end of the backward pass
  kUntilWeight,    // from the forward pass to the end of the weight pass
  kForWeight,      // from the backward pass to the end of the weight pass
  kWithinPass,     // within the pass that needs most for itself
};
template <>
struct EnumNames<Lifetime> {
  static constexpr EnumName<Lifetime> kNames[] = {{Lifetime::kUntilBackward, "F to B"},
                                                  {Lifetime::kUntilWeight, "F to W"},
                                                  {Lifetime::kForWeight, "B to W"},
                                                  {Lifetime::kWithinPass, "within a pass"}};
};

struct KeptTensor {
  OpName op{};
  TensorName tensor{};
  Lifetime lifetime{};
  bool recomputed = false;  // computed again by the backward pass
  Bytes bytes;
};

// Sums of a block's tensors by lifetime.
struct BlockMemory {
  Bytes until_backward;
  Bytes until_weight;
  Bytes gradients;  // kForWeight: output gradients of the linear layers, inputs computed again
  Bytes transient;  // kWithinPass
  Bytes kept() const { return until_backward + until_weight; }
};
BlockMemory SumOf(const std::vector<KeptTensor>& tensors);

// A block in a training step.
struct BlockOps {
  std::vector<Op> pass[kPasses];  // by Pass
  std::vector<KeptTensor> tensors;
  BlockMemory memory;  // SumOf(tensors)

  const std::vector<Op>& operator[](Pass p) const { return pass[static_cast<size_t>(p)]; }
};

// All three passes of a training step over the block, and what they keep. `spread` is where the shard's tokens
// go (ExpertSpreadOf). REQUIRES: work of training; its own pass does not matter.
BlockOps TrainingOpsOf(BlockKind kind, const Model& model, const ShardPlan& shard, const TokenSpread& spread,
                       const Work& work);
// Ops of the one pass that is the work's, in the order they are started. The same as that of TrainingOpsOf.
// REQUIRES: work of training.
std::vector<Op> OpsOf(BlockKind kind, const Model& model, const ShardPlan& shard, const TokenSpread& spread,
                      const Work& work);

// Parameters a rank holds of a block under the shard's tp and ep, split by the group that reduces their
// gradients.
struct BlockParameters {
  double data = 0;    // reduced over dp (and cp)
  double expert = 0;  // reduced over dp / ep (and cp)
};
// `ends_apart`: the model's start and end are on different ranks, so that MTP needs a copy of the embedding.
BlockParameters ParametersOf(BlockKind kind, const Model& model, const ShardPlan& shard, bool ends_apart);

}  // namespace moecast
