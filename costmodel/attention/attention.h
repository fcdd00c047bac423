// Kinds of attention, one row and one file each: all that the rest of the project asks of a layer's
// attention it asks its row, so that a further kind is a file of this folder, a row of the table in
// kinds.cc, and the reading of its config (scenarios/hf_config.cc). Counting rules and sources:
// docs/model-models.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moecast {

class BlockBuilder;
struct AttentionKind;
struct Work;
extern const AttentionKind kGqaAttention;  // grouped_query.cc
extern const AttentionKind kMlaAttention;  // latent.cc

// The attention of a model's layers: its kind, and the sizes that its kind reads.
struct Attention {
  const AttentionKind* kind = &kGqaAttention;
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
  bool qk_norm = false;    // GQA: an RMSNorm of head_dim over each query's and each key's head
  int sliding_window = 0;  // keys a query sees at most, itself included; 0: all before it

  bool operator==(const Attention&) const = default;
};

// Which query-key pairs flops are counted of: half of the square of a causal sequence, a window
// left out, or every query against the whole sequence, as Megatron-LM does.
enum class PairsCounted : uint8_t { kCausal, kAll };

// A row. `hidden` is the model's width; counts are of one layer.
struct AttentionKind {
  std::string_view name;  // in JSON and docs
  std::string_view help;

  std::string (*describe)(const Attention&);  // its sizes, for people

  // Elements of the matrices that its projections multiply by.
  int64_t (*matrices)(const Attention&, int64_t hidden);
  // The other parameters: biases, and norms inside attention.
  int64_t (*vectors)(const Attention&, int64_t hidden);
  // Of all parameters those that each tensor-parallel rank holds whole; the others are cut by
  // heads.
  int64_t (*whole_on_tp)(const Attention&, int64_t hidden);

  // Elements that each of `tp` tensor-parallel ranks caches of a sequence of `context` tokens.
  int64_t (*cached)(const Attention&, int64_t context, int tp);

  // Forward flops of a token beside the projections, the mean over a sequence of that length.
  double (*core_flops)(const Attention&, int64_t sequence, PairsCounted counted);

  // Whether queries, keys and values are projected up from latents, which a backward pass may do
  // again in place of keeping them (Recompute::kMlaUp).
  bool has_latents;

  // Adds the ops between the layer's input norm and its residual, in the passes of a training step.
  void (*train)(BlockBuilder& b);
  // The same in an iteration of serving: all new tokens are projected together, each part (prompts
  // or chunks of them, a token of each running sequence) attends by itself, and the outputs of all
  // are projected together.
  void (*project)(BlockBuilder& b);
  void (*attend)(BlockBuilder& b, const Work& part);
  void (*output)(BlockBuilder& b);
};

std::span<const AttentionKind* const> AttentionKinds();

// Keys that one of the last `queries` tokens of a sequence meets on average, with `context` tokens
// at its end, its own counted half: context - queries / 2, fewer with a window.
double MeanContext(const Attention& attention, int64_t queries, int64_t context);

}  // namespace moecast
