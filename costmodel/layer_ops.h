// The operators of one layer, of the embedding and of the head, by pass. Of a training step
// forward, backward (input gradients, recomputation included) and weight gradients apart, for
// schedules that split them, with what each pass keeps in memory and frees; of serving prefill and
// decode. Formulas: docs/model.md.
//
// Left out: dropout (0 in all models here), the gradients of norm weights and router bias
// (vectors), the all-reduce over tp of gradients of weights that tp replicates (a part in 10^3 of
// the gradients).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/enum_names.h"
#include "costmodel/kept_tensor.h"
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

// A block in a training step.
struct BlockOps {
  std::vector<Op> pass[kPasses];  // by Pass
  std::vector<KeptTensor> tensors;
  BlockMemory memory;  // SumOf(tensors)

  const std::vector<Op>& operator[](Pass p) const { return pass[static_cast<size_t>(p)]; }
};

// All three passes of a training step over the block, and what they keep. `spread` is where the
// shard's tokens go (ExpertSpreadOf). REQUIRES: work of training; its own pass does not matter.
BlockOps TrainingOpsOf(BlockKind kind, const Model& model, const ShardPlan& shard,
                       const TokenSpread& spread, const Work& work);
// Ops of one pass over the block, in the order they are started: of the training pass that is the
// one part's, the same that TrainingOpsOf has, or of a serving iteration, whose parts go through
// the block's matrices together and attend apart. REQUIRES: in serving no context parallelism; in
// decode a new token a sequence; the parts' loads are equal.
std::vector<Op> OpsOf(BlockKind kind, const Model& model, const ShardPlan& shard,
                      const TokenSpread& spread, std::span<const Work> parts);
// Of those of a layer the ones that a part of the iteration adds by itself, whatever goes through
// the matrices beside it: its attention.
std::vector<Op> AttentionOpsOf(const Model& model, const ShardPlan& shard,
                               const TokenSpread& spread, const Work& part);

// Parameters a rank holds of a block under the shard's tp and ep, split by the group that reduces
// their gradients.
struct BlockParameters {
  double data = 0;    // reduced over dp (and cp)
  double expert = 0;  // reduced over dp / ep (and cp)
};
// `ends_apart`: the model's start and end are on different ranks, so that MTP needs a copy of the
// embedding.
BlockParameters ParametersOf(BlockKind kind, const Model& model, const ShardPlan& shard,
                             bool ends_apart);

}  // namespace moecast
