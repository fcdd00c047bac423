// What the passes of a training step keep in memory of a block, tensor by tensor.
#pragma once

#include <cstdint>
#include <vector>

#include "base/enum_names.h"
#include "base/units.h"
#include "costmodel/op.h"

namespace moecast {

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
  static constexpr EnumName<TensorName> kNames[] = {
      {TensorName::kInput, "input"},
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

}  // namespace moecast
