#include "scenarios/hf_config.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/fields.h"

namespace moecast {
namespace {

// Sizes beyond these are slips of the keyboard. They keep every product of two in an int (heads x
// head dim) and the parameters of a layer in an int64_t.
constexpr int kMaxHidden = 1 << 20;
constexpr int kMaxInter = 1 << 22;
constexpr int kMaxVocab = 1 << 24;
constexpr int kMaxLayers = 10000;
constexpr int kMaxHeads = 1 << 14;
constexpr int kMaxHeadDim = 1 << 14;
constexpr int kMaxExperts = 1 << 14;
constexpr int kMaxPosition = 1 << 30;
constexpr double kMaxParameters = 1e15;

bool Given(const JsonCursor& at, std::string_view key) {
  return at.Has(key) && !at.Key(key).json().is_null();
}

int Size(const JsonCursor& at, std::string_view key, int high) {
  return static_cast<int>(at.Required(key).Int(1, high));
}

// `absent` where the key is missing or null.
int IntOr(const JsonCursor& at, std::string_view key, int absent, int low, int high) {
  return Given(at, key) ? static_cast<int>(at.Key(key).Int(low, high)) : absent;
}

bool BoolOr(const JsonCursor& at, std::string_view key, bool absent) {
  return Given(at, key) ? at.Key(key).Bool() : absent;
}

// The row of that name.
template <class Row>
const Row* RowOr(const JsonCursor& at, std::string_view key, std::span<const Row* const> rows,
                 const Row* absent) {
  if (!Given(at, key)) return absent;
  const JsonCursor value = at.Key(key);
  std::vector<std::string_view> names;
  for (const Row* row : rows) names.push_back(row->name);
  const std::string expected = "one of " + Join(names);
  if (!value.json().is_string()) value.Fail(expected);
  for (const Row* row : rows)
    if (row->name == value.Text()) return row;
  value.Fail(expected, Nearest(value.Text(), names));
}

std::vector<LayerRun> Runs(const std::vector<LayerKind>& kinds) {
  std::vector<LayerRun> runs;
  for (const LayerKind kind : kinds) {
    if (runs.empty() || runs.back().kind != kind) runs.push_back({kind, 0});
    ++runs.back().count;
  }
  return runs;
}

int Layers(const JsonCursor& at) {
  return Size(at, "num_hidden_layers", kMaxLayers);
}

// What every family has; attention, layers and MLP are left for the family.
Model Sizes(const JsonCursor& at, const std::string& name) {
  Model m;
  m.name = name;
  m.hidden = Size(at, "hidden_size", kMaxHidden);
  m.vocab = Size(at, "vocab_size", kMaxVocab);
  m.max_position = Size(at, "max_position_embeddings", kMaxPosition);
  m.tied_embeddings = BoolOr(at, "tie_word_embeddings", false);
  return m;
}

// ... of a family with SwiGLU and RMSNorm.
Model Common(const JsonCursor& at, const std::string& name) {
  if (at.Has("hidden_act") && at.Key("hidden_act").Text() != "silu")
    at.Key("hidden_act").Fail("\"silu\" (SwiGLU)");
  return Sizes(at, name);
}

void AllDense(const JsonCursor& at, Model& m) {
  m.runs = {{LayerKind::kDense, Layers(at)}};
  m.dense_inter = Size(at, "intermediate_size", kMaxInter);
}

Attention GroupedQuery(const JsonCursor& at, const Model& m) {
  Attention a;
  a.kind = &kGqaAttention;
  a.heads = Size(at, "num_attention_heads", kMaxHeads);
  a.kv_heads = IntOr(at, "num_key_value_heads", a.heads, 1, kMaxHeads);
  if (a.heads % a.kv_heads != 0)
    at.Key("num_key_value_heads")
        .Fail("a divisor of num_attention_heads, " + std::to_string(a.heads));
  a.head_dim = IntOr(at, "head_dim", 0, 1, kMaxHeadDim);
  if (a.head_dim == 0) {
    if (m.hidden % a.heads != 0 || m.hidden / a.heads > kMaxHeadDim)
      at.Key("num_attention_heads")
          .Fail("a divisor of hidden_size, " + std::to_string(m.hidden) +
                ", that leaves heads of at most " + std::to_string(kMaxHeadDim) +
                " (or a head_dim)");
    a.head_dim = m.hidden / a.heads;
  }
  return a;
}

// attention_bias of llama and deepseek puts a bias on all four projections.
Attention GroupedQueryWithBiasField(const JsonCursor& at, const Model& m) {
  Attention a = GroupedQuery(at, m);
  a.qkv_bias = a.output_bias = BoolOr(at, "attention_bias", false);
  return a;
}

Attention Latent(const JsonCursor& at) {
  Attention a;
  a.kind = &kMlaAttention;
  a.heads = a.kv_heads = Size(at, "num_attention_heads", kMaxHeads);
  at.Required("q_lora_rank");  // null says that queries have no low-rank form: it must be said
  a.q_lora_rank = IntOr(at, "q_lora_rank", 0, 1, kMaxHidden);
  a.kv_lora_rank = Size(at, "kv_lora_rank", kMaxHidden);
  a.qk_nope_head_dim = Size(at, "qk_nope_head_dim", kMaxHeadDim);
  a.qk_rope_head_dim = Size(at, "qk_rope_head_dim", kMaxHeadDim);
  a.v_head_dim = Size(at, "v_head_dim", kMaxHeadDim);
  a.qkv_bias = a.output_bias = BoolOr(at, "attention_bias", false);
  return a;
}

void CheckTopK(const JsonCursor& at, const Moe& moe) {
  const int choice = moe.top_groups * (moe.experts / moe.groups);
  if (moe.top_k > choice)
    at.Key("num_experts_per_tok")
        .Fail("at most " + std::to_string(choice) + ", the experts a token can choose from");
}

// Layer i is MoE from first_k_dense_replace on where moe_layer_freq divides i (modeling_deepseek.py
// of all three).
void DeepseekLayers(const JsonCursor& at, Model& m) {
  if (!Given(at, "n_routed_experts")) return AllDense(at, m);
  const int layers = Layers(at);
  const int first = IntOr(at, "first_k_dense_replace", 0, 0, layers);
  const int frequency = IntOr(at, "moe_layer_freq", 1, 1, kMaxLayers);
  std::vector<LayerKind> kinds;
  for (int i = 0; i < layers; ++i)
    kinds.push_back(i >= first && i % frequency == 0 ? LayerKind::kMoe : LayerKind::kDense);
  m.runs = Runs(kinds);
  if (m.layers(LayerKind::kMoe) == 0)
    at.Key("num_hidden_layers").Fail("at least one MoE layer after the dense ones");
  if (m.layers(LayerKind::kDense) > 0) m.dense_inter = Size(at, "intermediate_size", kMaxInter);

  m.moe.experts = Size(at, "n_routed_experts", kMaxExperts);
  m.moe.shared_experts = IntOr(at, "n_shared_experts", 0, 0, kMaxExperts);
  m.moe.top_k = Size(at, "num_experts_per_tok", kMaxExperts);
  m.moe.inter = Size(at, "moe_intermediate_size", kMaxInter);
  m.moe.normalize_top_k = BoolOr(at, "norm_topk_prob", false);
}

const Scoring* ScoringOr(const JsonCursor& at, const Scoring& absent) {
  return RowOr(at, "scoring_func", Scorings(), &absent);
}

void DeepseekGating(const JsonCursor& at, const TopKMethod& method, const Scoring& scoring,
                    Moe& moe) {
  if (moe.experts == 0) return;
  moe.scoring = ScoringOr(at, scoring);
  if (Given(at, "routed_scaling_factor"))
    moe.scaling_factor = at.Key("routed_scaling_factor").Number(0, 1e6);
  moe.method = RowOr(at, "topk_method", TopKMethods(), &method);
  if (!moe.method->reads_groups) return;
  moe.groups = Size(at, "n_group", kMaxExperts);
  const int least = moe.groups > 1 ? moe.method->scored_experts : 1;
  if (moe.experts % moe.groups != 0 || moe.experts / moe.groups < least)
    at.Key("n_group").Fail("a divisor of n_routed_experts, " + std::to_string(moe.experts) +
                           (least == 2 ? ", with two experts a group or more" : ""));
  moe.top_groups = Size(at, "topk_group", moe.groups);
}

// GPT with two MLP matrices, and a bias on every matrix and norm (modeling_gpt_neox.py). Whether
// attention and MLP run from one residual or one after the other (use_parallel_residual) changes no
// count.
Model GptNeox(const JsonCursor& at, const std::string& name) {
  static constexpr std::string_view kActivations[] = {"gelu", "gelu_fast", "gelu_new",
                                                      "gelu_pytorch_tanh"};
  if (at.Has("hidden_act")) {
    const std::string activation = at.Key("hidden_act").Text();
    if (std::find(std::begin(kActivations), std::end(kActivations), activation) ==
        std::end(kActivations))
      at.Key("hidden_act").Fail("one of " + Join(kActivations), Nearest(activation, kActivations));
  }
  Model m = Sizes(at, name);
  m.attention = GroupedQuery(at, m);
  m.attention.qkv_bias = m.attention.output_bias = BoolOr(at, "attention_bias", true);
  m.mlp = MlpKind::kGelu;
  m.mlp_bias = m.norm_bias = true;
  AllDense(at, m);
  return m;
}

Model Llama(const JsonCursor& at, const std::string& name) {
  Model m = Common(at, name);
  m.attention = GroupedQueryWithBiasField(at, m);
  m.mlp_bias = BoolOr(at, "mlp_bias", false);
  AllDense(at, m);
  return m;
}

Model Mistral(const JsonCursor& at, const std::string& name) {
  Model m = Common(at, name);
  m.attention = GroupedQuery(at, m);
  m.attention.sliding_window = IntOr(at, "sliding_window", 0, 1, kMaxPosition);
  AllDense(at, m);
  return m;
}

Model Mixtral(const JsonCursor& at, const std::string& name) {
  Model m = Common(at, name);
  m.attention = GroupedQuery(at, m);
  m.attention.sliding_window = IntOr(at, "sliding_window", 0, 1, kMaxPosition);
  m.runs = {{LayerKind::kMoe, Layers(at)}};
  m.moe.experts = Size(at, "num_local_experts", kMaxExperts);
  m.moe.top_k = Size(at, "num_experts_per_tok", kMaxExperts);
  m.moe.inter = Size(at, "intermediate_size", kMaxInter);
  m.moe.normalize_top_k =
      true;  // modeling_mixtral.py: softmax over all, then the chosen ones sum to 1
  CheckTopK(at, m.moe);
  return m;
}

void RefuseWindowInSomeLayers(const JsonCursor& at) {
  if (BoolOr(at, "use_sliding_window", false))
    at.Key("use_sliding_window").Fail("false (a window in some of the layers is not modelled)");
}

Model Qwen2(const JsonCursor& at, const std::string& name) {
  Model m = Common(at, name);
  m.attention = GroupedQuery(at, m);
  m.attention.qkv_bias = true;  // modeling_qwen2.py; no field says so
  RefuseWindowInSomeLayers(at);
  AllDense(at, m);
  return m;
}

// Both kinds of Qwen3 norm each head of queries and keys (modeling_qwen3.py), and their heads are
// not hidden_size / num_attention_heads wide: the field must be there.
Model Qwen3Attention(const JsonCursor& at, const std::string& name) {
  Model m = Common(at, name);
  Size(at, "head_dim", kMaxHeadDim);
  m.attention = GroupedQueryWithBiasField(at, m);
  m.attention.qk_norm = true;
  RefuseWindowInSomeLayers(at);
  return m;
}

Model Qwen3(const JsonCursor& at, const std::string& name) {
  Model m = Qwen3Attention(at, name);
  AllDense(at, m);
  return m;
}

// Layer i is MoE where decoder_sparse_step divides i + 1 and mlp_only_layers has it not; softmax
// over all experts, then the top k (modeling_qwen3_moe.py).
Model Qwen3Moe(const JsonCursor& at, const std::string& name) {
  Model m = Qwen3Attention(at, name);
  const int layers = Layers(at);
  const int step = IntOr(at, "decoder_sparse_step", 1, 1, kMaxLayers);
  std::vector<bool> dense(static_cast<size_t>(layers));
  if (Given(at, "mlp_only_layers")) {
    const JsonCursor list = at.Key("mlp_only_layers");
    for (size_t i = 0; i < list.size(); ++i)
      dense[static_cast<size_t>(list.At(i).Int(0, layers - 1))] = true;
  }
  std::vector<LayerKind> kinds;
  for (int i = 0; i < layers; ++i)
    kinds.push_back(!dense[static_cast<size_t>(i)] && (i + 1) % step == 0 ? LayerKind::kMoe
                                                                          : LayerKind::kDense);
  m.runs = Runs(kinds);
  if (m.layers(LayerKind::kMoe) == 0) at.Key("num_hidden_layers").Fail("at least one MoE layer");
  if (m.layers(LayerKind::kDense) > 0) m.dense_inter = Size(at, "intermediate_size", kMaxInter);
  m.moe.experts = Size(at, "num_experts", kMaxExperts);
  m.moe.top_k = Size(at, "num_experts_per_tok", kMaxExperts);
  m.moe.inter = Size(at, "moe_intermediate_size", kMaxInter);
  m.moe.normalize_top_k = BoolOr(at, "norm_topk_prob", false);
  CheckTopK(at, m.moe);
  return m;
}

Model DeepseekMoe(const JsonCursor& at, const std::string& name) {
  Model m = Common(at, name);
  m.attention = GroupedQueryWithBiasField(at, m);
  DeepseekLayers(at, m);
  if (m.moe.experts > 0) {
    m.moe.scoring = ScoringOr(at, kSoftmaxScoring);
    CheckTopK(at, m.moe);
  }
  return m;
}

Model DeepseekMla(const JsonCursor& at, const std::string& name, const TopKMethod& method,
                  const Scoring& scoring) {
  Model m = Common(at, name);
  m.attention = Latent(at);
  DeepseekLayers(at, m);
  if (m.moe.experts > 0) {
    DeepseekGating(at, method, scoring, m.moe);
    CheckTopK(at, m.moe);
  }
  return m;
}

Model DeepseekV2(const JsonCursor& at, const std::string& name) {
  return DeepseekMla(at, name, kGreedyTopK, kSoftmaxScoring);
}

Model DeepseekV3(const JsonCursor& at, const std::string& name) {
  Model m = DeepseekMla(at, name, kNoAuxTopK, kSigmoidScoring);
  m.mtp_layers = IntOr(at, "num_nextn_predict_layers", 0, 0, 64);
  return m;
}

struct Family {
  std::string_view model_type;
  Model (*parse)(const JsonCursor&, const std::string& name);
};

constexpr Family kFamilies[] = {
    {"deepseek", DeepseekMoe},
    {"deepseek_v2", DeepseekV2},
    {"deepseek_v3", DeepseekV3},
    {"gpt_neox", GptNeox},
    {"llama", Llama},
    {"mistral", Mistral},
    {"mixtral", Mixtral},
    {"qwen2", Qwen2},
    {"qwen3", Qwen3},
    {"qwen3_moe", Qwen3Moe},
};

// What a config of each shape must hold, to say how far one of an unknown type is from a known
// type. The first row whose mark is there decides.
struct Shape {
  std::string_view mark, model_type;
  std::vector<std::string_view> fields;
};

const std::vector<Shape>& Shapes() {
  static const std::vector<Shape> shapes = {
      {"kv_lora_rank",
       "deepseek_v2",
       {"q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_routed_experts",
        "num_experts_per_tok", "moe_intermediate_size"}},
      {"n_routed_experts", "deepseek", {"num_experts_per_tok", "moe_intermediate_size"}},
      {"num_local_experts", "mixtral", {"num_experts_per_tok"}},
      {"num_experts", "mixtral", {"num_local_experts", "num_experts_per_tok"}},
      {"", "llama", {}},
  };
  return shapes;
}

[[noreturn]] void FailUnknownType(const JsonCursor& at, const JsonCursor& type) {
  const auto& shapes = Shapes();
  size_t i = 0;
  while (!shapes[i].mark.empty() && !Given(at, shapes[i].mark)) ++i;
  std::vector<std::string_view> fields = {"hidden_size",         "num_hidden_layers",
                                          "num_attention_heads", "intermediate_size",
                                          "vocab_size",          "max_position_embeddings"};
  fields.insert(fields.end(), shapes[i].fields.begin(), shapes[i].fields.end());
  std::erase_if(fields, [&at](std::string_view field) { return at.Has(field); });
  const std::string like(shapes[i].model_type);
  type.Fail("one of " + Join(HfModelTypes()) + "; " +
                (fields.empty() ? "it has the fields of " + like +
                                      ": if it is built alike, set model_type to that"
                                : "to be read as " + like + " it misses " + Join(fields)),
            Nearest(type.Text(), HfModelTypes()));
}

}  // namespace

std::span<const std::string_view> HfModelTypes() {
  static const std::vector<std::string_view> types = [] {
    std::vector<std::string_view> names;
    for (const Family& family : kFamilies) names.push_back(family.model_type);
    return names;
  }();
  return types;
}

Model ParseHfConfig(const JsonCursor& at, const std::string& name) {
  const JsonCursor type = at.Required("model_type");
  for (const Family& family : kFamilies) {
    if (family.model_type != type.Text()) continue;
    Model model = family.parse(at, name);
    double parameters =
        0;  // summed in double: the integer count of an absurd config would overflow
    for (const LayerRun& run : model.runs)
      parameters += static_cast<double>(LayerParameters(model, run.kind).total()) * run.count;
    if (parameters > kMaxParameters)
      at.Key("num_hidden_layers").Fail("layers of at most 10^15 parameters together");
    return model;
  }
  FailUnknownType(at, type);
}

Model ParseHfConfig(std::string_view text, const std::string& file, const std::string& name) {
  return ParseHfConfig(JsonCursor(ParseJson(text, file)), name);
}

}  // namespace moecast
