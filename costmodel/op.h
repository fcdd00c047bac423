// An operator of a block: what runs, on which stream, after what, and what it keeps in memory.
// Plain data.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "base/enum_names.h"
#include "base/units.h"
#include "costmodel/calibration/calibration.h"
#include "costmodel/collectives/kind.h"
#include "costmodel/stream.h"

namespace moecast {

enum class OpName : uint8_t {
  kEmbedding,
  kInputNorm,
  kQkv,
  kQDown,
  kKvDown,
  kLatentNorm,
  kQkNorm,
  kQUp,
  kKvUp,
  kRope,
  kAttention,
  kOutput,
  kResidual,
  kMlpNorm,
  kRouter,
  kTopK,
  kDispatch,
  kCombine,
  kPermute,
  kUnpermute,
  kExpertUp,
  kExpertDown,
  kExpertAct,
  kSharedUp,
  kSharedDown,
  kSharedAct,
  kMlpUp,
  kMlpDown,
  kMlpAct,
  kFinalNorm,
  kHead,
  kLoss,
  kMtpProjection,
  kCast,
  kTpGather,
  kTpScatter,
  kCpGather,
  kCpScatter,
  kGradReduce,
  kExpertGradReduce,
  kParamGather,
  kExpertParamGather,
  kPipelineSend,
  kGradNorm,
  kAdam,
  kWeightCast,
  kGradToHost,
  kHostAdam,
  kWeightsToDevice,
  kQAbsorb,
  kVUp,
  kSampling,
};
template <>
struct EnumNames<OpName> {
  static constexpr EnumName<OpName> kNames[] = {
      {OpName::kEmbedding, "embedding"},
      {OpName::kInputNorm, "input-norm"},
      {OpName::kQkv, "qkv"},
      {OpName::kQDown, "q-down"},
      {OpName::kKvDown, "kv-down"},
      {OpName::kLatentNorm, "latent-norm"},
      {OpName::kQkNorm, "qk-norm"},
      {OpName::kQUp, "q-up"},
      {OpName::kKvUp, "kv-up"},
      {OpName::kRope, "rope"},
      {OpName::kAttention, "attention"},
      {OpName::kOutput, "output"},
      {OpName::kResidual, "residual"},
      {OpName::kMlpNorm, "mlp-norm"},
      {OpName::kRouter, "router"},
      {OpName::kTopK, "top-k"},
      {OpName::kDispatch, "dispatch"},
      {OpName::kCombine, "combine"},
      {OpName::kPermute, "permute"},
      {OpName::kUnpermute, "unpermute"},
      {OpName::kExpertUp, "expert-up"},
      {OpName::kExpertDown, "expert-down"},
      {OpName::kExpertAct, "expert-act"},
      {OpName::kSharedUp, "shared-up"},
      {OpName::kSharedDown, "shared-down"},
      {OpName::kSharedAct, "shared-act"},
      {OpName::kMlpUp, "mlp-up"},
      {OpName::kMlpDown, "mlp-down"},
      {OpName::kMlpAct, "mlp-act"},
      {OpName::kFinalNorm, "final-norm"},
      {OpName::kHead, "head"},
      {OpName::kLoss, "loss"},
      {OpName::kMtpProjection, "mtp-projection"},
      {OpName::kCast, "cast"},
      {OpName::kTpGather, "tp-all-gather"},
      {OpName::kTpScatter, "tp-reduce-scatter"},
      {OpName::kCpGather, "cp-all-gather"},
      {OpName::kCpScatter, "cp-reduce-scatter"},
      {OpName::kGradReduce, "grad-reduce-scatter"},
      {OpName::kExpertGradReduce, "expert-grad-reduce-scatter"},
      {OpName::kParamGather, "param-all-gather"},
      {OpName::kExpertParamGather, "expert-param-all-gather"},
      {OpName::kPipelineSend, "pipeline-send"},
      {OpName::kGradNorm, "grad-norm"},
      {OpName::kAdam, "adam"},
      {OpName::kWeightCast, "weight-cast"},
      {OpName::kGradToHost, "gradients-to-host"},
      {OpName::kHostAdam, "host-adam"},
      {OpName::kWeightsToDevice, "weights-to-device"},
      {OpName::kQAbsorb, "q-absorb"},
      {OpName::kVUp, "v-up"},
      {OpName::kSampling, "sampling"},
  };
};

struct CollectiveAlgorithm;  // costmodel/collectives/algorithms.h

struct CollectiveQuery {
  CollectiveKind kind = CollectiveKind::kAllGather;
  GroupKind group = GroupKind::kTp;
  // The whole buffer of a rank: gathered result, input to be scattered, reduced or sent; for
  // dispatch and combine the tokens a rank holds, each counted once.
  Bytes bytes;
  // That runs it; what costs it (OpCosts) says which.
  const CollectiveAlgorithm* algorithm = nullptr;
  bool operator==(const CollectiveQuery&) const = default;
};

struct ElementwiseQuery {
  ElementwiseKind kind = ElementwiseKind::kAdd;
  Bytes bytes;  // read and written
  bool operator==(const ElementwiseQuery&) const = default;
};

// What every rank of a node does at the same time with its host: copy over PCIe, or stream through
// host memory.
enum class HostWork : uint8_t { kCopy, kStream };
template <>
struct EnumNames<HostWork> {
  static constexpr EnumName<HostWork> kNames[] = {{HostWork::kCopy, "PCIe copy"},
                                                  {HostWork::kStream, "host memory"}};
};
struct HostQuery {
  HostWork work = HostWork::kCopy;
  Bytes bytes;  // of one rank: copied, or read and written
  bool operator==(const HostQuery&) const = default;
};

using OpQuery = std::variant<GemmQuery, GroupedGemmQuery, AttentionQuery, ElementwiseQuery,
                             CollectiveQuery, HostQuery, MlaDecodeQuery>;

// kHost is the optimizer's alone: blocks have none.
enum class OpClass : uint8_t { kGemm, kGroupedGemm, kAttention, kElementwise, kCollective, kHost };
template <>
struct EnumNames<OpClass> {
  static constexpr EnumName<OpClass> kNames[] = {{OpClass::kGemm, "gemm"},
                                                 {OpClass::kGroupedGemm, "grouped-gemm"},
                                                 {OpClass::kAttention, "attention"},
                                                 {OpClass::kElementwise, "elementwise"},
                                                 {OpClass::kCollective, "communication"},
                                                 {OpClass::kHost, "host"}};
};

constexpr OpClass OpClassOf(const OpQuery& query) {
  constexpr OpClass kByQuery[] = {OpClass::kGemm,        OpClass::kGroupedGemm, OpClass::kAttention,
                                  OpClass::kElementwise, OpClass::kCollective,  OpClass::kHost,
                                  OpClass::kAttention};
  static_assert(sizeof kByQuery / sizeof kByQuery[0] == std::variant_size_v<OpQuery>);
  return kByQuery[query.index()];
}

struct Op {
  OpName name{};
  OpQuery query;
  // The op starts when the one before it on its stream has ended and `after`, an op of the block on
  // another stream, too. -1: none.
  int32_t after = -1;
  bool recomputed = false;  // a forward op run again by the backward pass

  bool operator==(const Op&) const = default;
  OpClass op_class() const { return OpClassOf(query); }
  Stream stream() const {
    const auto* collective = std::get_if<CollectiveQuery>(&query);
    return collective ? StreamOf(collective->group) : Stream::kCompute;
  }
};

// Floating-point operations: 2mnk a GEMM, causal attention counted half, backward attention 2.5
// times forward.
Flops FlopsOf(const OpQuery& query);

// Bytes of device memory its algorithm reads and writes, each operand once; a weight gradient reads
// and writes the main gradient. Of a collective: its buffer.
Bytes BytesOf(const OpQuery& query);

}  // namespace moecast
