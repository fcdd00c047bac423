// How a training run is laid out: parallel sizes (Megatron's abbreviations), precision of every state,
// schedule, recomputation and overlap. Plain data; the Fields tables document every member and its default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "costmodel/gating/token_mix.h"
#include "costmodel/phase.h"
#include "topology/placement.h"

namespace moecast {

struct Precision {
  Dtype gemm = Dtype::kBf16;
  Dtype dispatch = Dtype::kBf16;
  Dtype combine = Dtype::kBf16;
  Dtype saved_activations = Dtype::kBf16;
  Dtype saved_swiglu = Dtype::kBf16;
  std::optional<Dtype> weights;
  Dtype main_grad = Dtype::kFp32;
  Dtype grad_reduce = Dtype::kBf16;
  Dtype master = Dtype::kFp32;
  Dtype moments = Dtype::kFp32;

  Dtype weight_format() const { return weights.value_or(gemm); }
  bool operator==(const Precision&) const = default;
};
const Fields<Precision>& FieldsOf(const Precision*);

struct Parallel {
  int tp = 1;
  int pp = 1;
  int vpp = 1;
  int ep = 1;
  int cp = 1;
  int dp = 1;
  int zero = 1;
  bool sequence = true;
  std::vector<Axis> rank_order = {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp};

  bool operator==(const Parallel&) const = default;
  int64_t gpus() const { return int64_t{1} * tp * pp * cp * dp; }
  int edp() const { return dp / ep; }
};
const Fields<Parallel>& FieldsOf(const Parallel*);

// What the backward pass computes again instead of keeping it from the forward pass.
enum class Recompute : uint8_t {
  kRmsNorm,  // outputs of the norms, MLA's latent norms included
  kMlaUp,    // queries, keys and values from MLA's latents, RoPE included
  kSwiGlu,   // output of the activation
  kPermute,  // the experts' copies of a token, gathered again from the tokens received
  kLayer,    // everything but the layer's input, communication included
};
template <>
struct EnumNames<Recompute> {
  static constexpr EnumName<Recompute> kNames[] = {{Recompute::kRmsNorm, "rmsnorm"},
                                                   {Recompute::kMlaUp, "mla_up"},
                                                   {Recompute::kSwiGlu, "swiglu"},
                                                   {Recompute::kPermute, "permute"},
                                                   {Recompute::kLayer, "layer"}};
};

struct Overlap {
  bool shared_experts = true;
  bool tp = true;
  bool grad_reduce = true;
  bool param_gather = true;
  bool offload = true;
  int communication_sms = 20;
  bool operator==(const Overlap&) const = default;
};
const Fields<Overlap>& FieldsOf(const Overlap*);

// How unequal the devices of an expert-parallel group are loaded: by how much, what tokens make them so, or
// what was recorded.
struct RoutingLoad {
  double device_cv = 0;
  std::optional<TokenMix> tokens;       // in place of device_cv
  std::optional<std::string> recorded;  // in place of both: a file (traces/routing_record.h)
  std::optional<double> capacity_factor;
  double never_dropped = 0;
  std::optional<int> topk_group;
  std::optional<double> top_p;
  bool operator==(const RoutingLoad&) const = default;
};
const Fields<RoutingLoad>& FieldsOf(const RoutingLoad*);

enum class GradClip : uint8_t { kBarrier, kPostValidation, kNone };
template <>
struct EnumNames<GradClip> {
  static constexpr EnumName<GradClip> kNames[] = {{GradClip::kBarrier, "barrier"},
                                                  {GradClip::kPostValidation, "post-validation"},
                                                  {GradClip::kNone, "none"}};
};
struct Optimizer {
  GradClip grad_clip = GradClip::kBarrier;
  double offload = 0;  // fraction of its states in host memory
  bool operator==(const Optimizer&) const = default;
};
const Fields<Optimizer>& FieldsOf(const Optimizer*);

// What a rank may take of its device: bytes in all, or micro-batches kept alive. One of the two is set.
struct MemoryLimit {
  Bytes bytes;
  double micro_batches = 0;
  bool operator==(const MemoryLimit&) const = default;
};

// Layers of each virtual stage, or nothing for the split that makes the slowest stage as fast as possible.
struct StageLayers {
  std::vector<int> layers;
  bool balanced() const { return layers.empty(); }
  bool operator==(const StageLayers&) const = default;
};
struct Plan {
  std::vector<TrainingPhase> phases;
  int64_t micro_batch = 1;  // sequences
  Precision precision;
  Parallel parallel;
  StageLayers stage_layers;
  std::string schedule = "1f1b";
  std::optional<int> weight_delay;
  std::optional<MemoryLimit> memory_limit;
  std::vector<Recompute> recompute;
  bool fused_cross_entropy = false;
  Overlap overlap;
  RoutingLoad routing;
  Optimizer optimizer;

  bool operator==(const Plan&) const = default;
  bool Recomputes(Recompute what) const;
  // Sequences each data-parallel rank takes in a step, in micro-batches. REQUIRES: a plan that CheckPlan
  // passed.
  int64_t MicroBatches(const TrainingPhase& phase) const {
    return phase.global_batch / (micro_batch * parallel.dp);
  }
};
const Fields<Plan>& FieldsOf(const Plan*);

}  // namespace moecast
