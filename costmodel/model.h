// A transformer's architecture as plain data, and what follows from it alone: parameters, KV
// elements and flops a token. Leaves out number formats, parallelism and time. Counting rules and
// sources: docs/model-models.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/units.h"
#include "costmodel/attention/attention.h"
#include "costmodel/gating/scoring.h"
#include "costmodel/gating/top_k_method.h"

namespace moecast {

enum class LayerKind : uint8_t { kDense, kMoe };
enum class MlpKind : uint8_t {
  kSwiglu,  // three matrices: gate and up, hidden x inter each, down, inter x hidden (arXiv
            // 2002.05202)
  kGelu,    // two matrices, GPT style
};

template <>
struct EnumNames<LayerKind> {
  static constexpr EnumName<LayerKind> kNames[] = {{LayerKind::kDense, "dense"},
                                                   {LayerKind::kMoe, "moe"}};
};
template <>
struct EnumNames<MlpKind> {
  static constexpr EnumName<MlpKind> kNames[] = {{MlpKind::kSwiglu, "swiglu"},
                                                 {MlpKind::kGelu, "gelu"}};
};

struct Moe {
  int experts = 0;         // routed
  int shared_experts = 0;  // each of size inter; run as one expert of shared_experts * inter
  int top_k = 0;
  int inter = 0;
  // A token chooses its experts among the top_groups best of `groups` equal groups of experts; what
  // a group is worth `method` says.
  int groups = 1;
  int top_groups = 1;
  const Scoring* scoring = &kSoftmaxScoring;
  bool normalize_top_k = false;
  double scaling_factor = 1;
  const TopKMethod* method = &kGreedyTopK;
  bool operator==(const Moe&) const = default;
};

struct LayerRun {
  LayerKind kind = LayerKind::kDense;
  int count = 0;
  bool operator==(const LayerRun&) const = default;
};

struct Model {
  std::string name;
  int hidden = 0;
  int vocab = 0;
  bool tied_embeddings = false;
  int max_position = 0;
  Attention attention;
  std::vector<LayerRun> runs;  // first layer first; neighbouring runs differ in kind
  MlpKind mlp = MlpKind::kSwiglu;
  bool mlp_bias = false;
  bool norm_bias = false;  // LayerNorm with a bias in place of RMSNorm
  int dense_inter = 0;     // 0 where no layer is dense
  Moe moe;                 // experts == 0 where no layer is MoE
  int mtp_layers =
      0;  // multi-token prediction modules behind the last layer (arXiv 2412.19437, section 2.2)

  int layers() const;  // MTP left out
  int layers(LayerKind kind) const;
  bool operator==(const Model&) const = default;
};

// ---- Parameters

// Of one layer.
struct LayerParts {
  int64_t attention = 0;  // its biases and the norms of MLA's latents included
  int64_t norms = 0;      // before attention and before the MLP
  int64_t router = 0;
  int64_t shared_experts = 0;
  int64_t routed_experts = 0;  // all of them
  int64_t dense_mlp = 0;
  int64_t total() const {
    return attention + norms + router + shared_experts + routed_experts + dense_mlp;
  }
  bool operator==(const LayerParts&) const = default;
};

int64_t MlpParameters(const Model& model, int inter);  // one MLP or one expert
int64_t AttentionParameters(const Model& model);       // of one layer
LayerParts LayerParameters(const Model& model, LayerKind kind);
LayerParts ActivatedLayerParameters(const Model& model,
                                    LayerKind kind);  // top_k of the routed experts
int64_t NormParameters(const Model& model);           // of one norm
int64_t EmbeddingParameters(const Model& model);      // the input embedding
int64_t HeadParameters(const Model& model);   // the output matrix; 0 where it is the embedding's
int64_t TotalParameters(const Model& model);  // MTP left out

enum class InputEmbedding : uint8_t { kCounted, kLeftOut };
// What one token uses. Papers leave the input embedding out, for it is looked up and not
// multiplied; a tied one is also the output matrix and stays.
int64_t ActivatedParameters(const Model& model, InputEmbedding input_embedding);

// What the MTP modules add: two norms and the 2 hidden x hidden projection in front, a layer of the
// last kind, a norm; embedding and head are the main model's.
int64_t MtpParameters(const Model& model);

// ---- KV cache

// Elements that all layers cache of a sequence of `context` tokens, as their kind of attention
// does, on one of `tp` tensor-parallel ranks; MTP left out.
int64_t KvElements(const Model& model, int64_t context, int tp = 1);
int64_t KvElementsPerToken(const Model& model);  // of a sequence of one
Bytes KvBytesPerToken(const Model& model, double bits_per_element);

// ---- Flops

// Of one token in one layer. 2 flops a multiply-add; recompute is not counted; norms, softmax and
// other element-wise work are left out.
struct LayerFlops {
  double attention_projections = 0;
  double attention_core = 0;  // scores and their product with the values
  double router = 0;
  double shared_experts = 0;
  double routed_experts = 0;
  double dense_mlp = 0;
  double total() const {
    return attention_projections + attention_core + router + shared_experts + routed_experts +
           dense_mlp;
  }
};

// MLA in its plain (not absorbed) form, as in training and prefill.
LayerFlops ForwardLayerFlops(const Model& model, LayerKind kind, int64_t sequence);
double HeadFlops(const Model& model);                               // forward, a token
double ForwardFlopsPerToken(const Model& model, int64_t sequence);  // layers and head; MTP left out
double MtpForwardFlopsPerToken(const Model& model,
                               int64_t sequence);  // the modules' layers, projections and heads
double TrainingFlopsPerToken(const Model& model,
                             int64_t sequence);  // forward and twice that backward; no MTP
// The same with every query counted against the whole sequence, as Megatron-LM does.
double TrainingFlopsPerTokenNotHalved(const Model& model, int64_t sequence);

inline constexpr std::string_view kFlopsConvention =
    "2mnk a GEMM, causal attention counted half, recompute not counted, training 3 x forward, MTP "
    "left out";

}  // namespace moecast
