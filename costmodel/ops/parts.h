// The parts of a transformer layer as operators, added to a block in the order the forward pass
// runs them.
#pragma once

#include "costmodel/ops/block_builder.h"

namespace moecast {

// What stands before the layers and behind them (ops/ends.cc); the head has the loss,
// or in serving draws the next token.
void AddEmbedding(BlockBuilder& b);
void AddHead(BlockBuilder& b);

// Norm, attention of the model's kind (costmodel/attention), residual (ops/attention.cc).
void AddAttention(BlockBuilder& b);

// The MLP of a dense layer (ops/mlp.cc) and the experts of a MoE layer, routing included
// (ops/moe.cc).
void AddMlp(BlockBuilder& b);
void AddMoe(BlockBuilder& b);

struct MlpNames {
  OpName up, act, down;
};
// What tp makes of an MLP: parts of it on each rank, whose outputs are summed behind it or by the
// caller, or the whole of it on each rank for the rank's own tokens.
enum class MlpOnTp : uint8_t { kCut, kCutNotSummed, kWhole };
// One MLP of intermediate size `inter`. `input` says who keeps what it reads.
void AddMlp(BlockBuilder& b, const MlpNames& names, double inter, LinearInput input, bool beside,
            MlpOnTp on_tp = MlpOnTp::kCut);
// Gate and up are one product of twice the width where the MLP has a gate.
double UpFactor(MlpKind kind);
// The function between up and down over that many elements of its output.
void AddActivation(BlockBuilder& b, OpName name, double elements, bool beside);

}  // namespace moecast
