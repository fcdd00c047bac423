// A transformer's architecture as plain data, and what follows from it alone: parameters, KV elements and
// flops a token. Leaves out number formats, parallelism and time. Counting rules and sources:
// docs/model-models.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/units.h"

namespace moecast {

enum class AttentionKind : uint8_t {
  kMla,  // multi-head latent attention: low-rank joint compression of keys and values (arXiv 2405.04434,
         // section 2.1)
  kGqa,  // grouped-query attention; multi-head where kv_heads == heads, multi-query where kv_heads == 1
};
enum class LayerKind : uint8_t { kDense, kMoe };
enum class MlpKind : uint8_t {
  kSwiglu,  // three matrices: gate and up, hidden x inter each, down, inter x hidden (arXiv 2002.05202)
  kGelu,    // two matrices, GPT style
};
enum class Scoring : uint8_t { kSoftmax, kSigmoid };

template <>
struct EnumNames<AttentionKind> {
  static constexpr EnumName<AttentionKind> kNames[] = {{AttentionKind::kMla, "mla"},
                                                       {AttentionKind::kGqa, "gqa"}};
};
template <>
struct EnumNames<LayerKind> {
  static constexpr EnumName<LayerKind> kNames[] = {{LayerKind::kDense, "dense"}, {LayerKind::kMoe, "moe"}};
};
template <>
struct EnumNames<MlpKind> {
  static constexpr EnumName<MlpKind> kNames[] = {{MlpKind::kSwiglu, "swiglu"}, {MlpKind::kGelu, "gelu"}};
};
template <>
struct EnumNames<Scoring> {
  static constexpr EnumName<Scoring> kNames[] = {{Scoring::kSoftmax, "softmax"},
                                                 {Scoring::kSigmoid, "sigmoid"}};
};

struct Attention {
  AttentionKind kind = AttentionKind::kGqa;
  int heads = 0;
  int kv_heads = 0;  // == heads for MLA
  // GQA only.
  int head_dim = 0;
  // MLA only.
  int q_lora_rank = 0;  // 0: queries by one full matrix
  int kv_lora_rank = 0;
  int qk_nope_head_dim = 0;
  int qk_rope_head_dim = 0;
  int v_head_dim = 0;

  bool qkv_bias = false;  // GQA: on q, k and v. MLA: on the two down-projections
  bool output_bias = false;
  int sliding_window = 0;  // keys a query sees at most, itself included; 0: all before it

  int qk_dim() const { return kind == AttentionKind::kMla ? qk_nope_head_dim + qk_rope_head_dim : head_dim; }
  int v_dim() const { return kind == AttentionKind::kMla ? v_head_dim : head_dim; }
  bool operator==(const Attention&) const = default;
};

struct Moe {
  int experts = 0;         // routed
  int shared_experts = 0;  // each of size inter; run as one expert of shared_experts * inter
  int top_k = 0;
  int inter = 0;
  // A token chooses its experts among the top_groups best of `groups` equal groups of experts. A group's
  // score is its best expert's, or the sum of its two best with router_bias (DeepSeek-V2 and -V3 modelling
  // code).
  int groups = 1;
  int top_groups = 1;
  Scoring scoring = Scoring::kSoftmax;
  bool normalize_top_k = false;
  double scaling_factor = 1;
  bool router_bias = false;  // a bias per expert that takes part in choosing only (arXiv 2408.15664)
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
  int dense_inter = 0;  // 0 where no layer is dense
  Moe moe;              // experts == 0 where no layer is MoE
  int mtp_layers = 0;  // multi-token prediction modules behind the last layer (arXiv 2412.19437, section 2.2)

  int layers() const;  // MTP left out
  int layers(LayerKind kind) const;
  LayerKind kind_of(int layer) const;  // REQUIRES: 0 <= layer < layers()
  bool operator==(const Model&) const = default;
};

// ---- Parameters
// -----------------------------------------------------------------------------------------------------

// Of one layer.
struct LayerParts {
  int64_t attention = 0;  // its biases and the norms of MLA's latents included
  int64_t norms = 0;      // before attention and before the MLP
  int64_t router = 0;
  int64_t shared_experts = 0;
  int64_t routed_experts = 0;  // all of them
  int64_t dense_mlp = 0;
  int64_t total() const { return attention + norms + router + shared_experts + routed_experts + dense_mlp; }
  bool operator==(const LayerParts&) const = default;
};

int64_t MlpParameters(const Model& model, int inter);  // one MLP or one expert
int64_t AttentionParameters(const Model& model);       // of one layer
LayerParts LayerParameters(const Model& model, LayerKind kind);
LayerParts ActivatedLayerParameters(const Model& model, LayerKind kind);  // top_k of the routed experts
int64_t EmbeddingParameters(const Model& model);                          // the input embedding
int64_t HeadParameters(const Model& model);   // the output matrix; 0 where it is the embedding's
int64_t TotalParameters(const Model& model);  // MTP left out

enum class InputEmbedding : uint8_t { kCounted, kLeftOut };
// What one token uses. Papers leave the input embedding out, for it is looked up and not multiplied; a tied
// one is also the output matrix and stays.
int64_t ActivatedParameters(const Model& model, InputEmbedding input_embedding);

// What the MTP modules add: two norms and the 2 hidden x hidden projection in front, a layer of the last
// kind, a norm; embedding and head are the main model's.
int64_t MtpParameters(const Model& model);

// ---- KV cache
// -------------------------------------------------------------------------------------------------------

// Cached by one layer for one token: kv_lora_rank + qk_rope for MLA, keys and values of all KV heads for GQA.
int64_t KvElementsPerLayer(const Attention& attention);
int64_t KvElementsPerToken(const Model& model);  // MTP left out
Bytes KvBytesPerToken(const Model& model, double bits_per_element);
int64_t CachedTokens(const Attention& attention,
                     int64_t context);  // fewer than `context` with a sliding window

// ---- Flops
// ----------------------------------------------------------------------------------------------------------

// Of one token in one layer. 2 flops a multiply-add; recompute is not counted; norms, softmax and other
// element-wise work are left out.
struct LayerFlops {
  double attention_projections = 0;
  double attention_core = 0;  // scores and their product with the values
  double router = 0;
  double shared_experts = 0;
  double routed_experts = 0;
  double dense_mlp = 0;
  double total() const {
    return attention_projections + attention_core + router + shared_experts + routed_experts + dense_mlp;
  }
};

// Keys that a query meets on average in a causal sequence, the diagonal counted half: sequence / 2, fewer
// with a window.
double MeanContext(const Attention& attention, int64_t sequence);

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
    "2mnk a GEMM, causal attention counted half, recompute not counted, training 3 x forward, MTP left out";

}  // namespace moecast
