#include "scenarios/hf_config.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "scenarios/builtin.h"
#include "scenarios/model_loader.h"

namespace moecast {
namespace {

constexpr std::string_view kLlama = R"({
  "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8,
  "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 1000, "max_position_embeddings": 2048,
  "hidden_act": "silu", "bos_token_id": 1, "rope_scaling": null})";

constexpr std::string_view kDeepseekV2 = R"({
  "model_type": "deepseek_v2", "hidden_size": 64, "num_hidden_layers": 7, "num_attention_heads": 8,
  "q_lora_rank": null, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
  "intermediate_size": 96, "moe_intermediate_size": 24, "first_k_dense_replace": 1, "moe_layer_freq": 1,
  "n_routed_experts": 16, "n_shared_experts": 2, "num_experts_per_tok": 3, "topk_method": "group_limited_greedy",
  "n_group": 4, "topk_group": 2, "vocab_size": 1000, "max_position_embeddings": 2048})";

// `text` with one field set to a JSON value, or taken out where the value is empty.
std::string With(std::string_view text, const std::string& key, const std::string& value) {
  Json json = ParseJson(text, "")->root;
  if (value.empty())
    json.erase(key);
  else
    json[key] = ParseJson(value, "")->root;
  return json.dump();
}

Model Parse(std::string_view text) {
  return ParseHfConfig(text, "config.json", "m");
}

// The message with which `text` is refused.
std::string Refusal(std::string_view text) {
  try {
    Parse(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

struct Published {
  const char* name;
  int64_t total;
  int64_t activated;
  int64_t without_input_embedding;
  int64_t attention;
  int64_t kv_elements;
};

// Counted from each config.json of Hugging Face, weight by weight, by a program of its own. Papers:
// V2 236B, 21B activated (arXiv 2405.04434); V2-Lite 15.7B, 2.4B; V3 671B, 37B (arXiv 2412.19437);
// 67B and 7B (arXiv 2401.02954); MoE-16B 16.4B, 2.8B (arXiv 2401.06066); Mixtral 141B, 39B
// (mistral.ai, April 2024) and 46.7B, 12.9B; Qwen3 32.8B, 14.8B, 8.2B, 235B with 22B, 30.5B with
// 3.3B (arXiv 2505.09388); Llama 3.1 405B and 8B (arXiv 2407.21783); Qwen2.5 7.61B (arXiv
// 2412.15115); Code Llama 34B, 62.86 GiB as vLLM holds it in bf16 (33.744e9 x 2 bytes are 62.85).
constexpr Published kPublished[] = {
    {"deepseek-v2", 235741434880, 21375800320, 20851512320, 149227520, 34560},
    {"deepseek-v2-lite", 15706484224, 2661150208, 2451435008, 13763072, 15552},
    {"deepseek-v3", 671026419200, 37552297472, 36625618432, 187107328, 35136},
    {"deepseek-67b", 67425001472, 67425001472, 66586140672, 150994944, 194560},
    {"deepseek-7b", 6910365696, 6910365696, 6490935296, 67108864, 245760},
    {"deepseek-moe-16b", 16375728128, 2828650496, 2618935296, 16777216, 114688},
    {"qwen1.5-72b", 72287920128, 72287920128, 71042211840, 268460032, 1310720},
    {"mixtral-8x22b", 140620634112, 39152031744, 38955423744, 88080384, 114688},
    {"llama-3-70b", 70553706496, 70553706496, 69503033344, 150994944, 163840},
    {"llama-3.1-70b", 70553706496, 70553706496, 69503033344, 150994944, 163840},
    {"codellama-34b", 33743970304, 33743970304, 33481826304, 150994944, 98304},
    {"llama-3.1-405b", 405853388800, 405853388800, 403752042496, 570425344, 258048},
    {"llama-3.1-8b", 8030261248, 8030261248, 7504924672, 41943040, 65536},
    {"mixtral-8x7b", 46702792704, 12879925248, 12748853248, 41943040, 65536},
    {"qwen2.5-7b", 7615616512, 7615616512, 7070619136, 29364736, 28672},
    {"qwen3-14b", 14768307200, 14768307200, 13990394880, 62914816, 81920},
    {"qwen3-235b-a22b", 235093634560, 22190763520, 21568433664, 71303424, 96256},
    {"qwen3-30b-a3b", 30532122624, 3353032704, 3041867776, 18874624, 49152},
    {"qwen3-32b", 32762123264, 32762123264, 31984210944, 94372096, 131072},
    {"qwen3-8b", 8190735360, 8190735360, 7568405504, 41943296, 73728},
};

TEST(BuiltinModelTest, ParametersAndKvElementsAreThoseOfTheReleasedWeights) {
  for (const Published& p : kPublished) {
    const Model m = LoadModel(p.name);
    EXPECT_EQ(m.name, p.name);
    EXPECT_EQ(TotalParameters(m), p.total) << p.name;
    EXPECT_EQ(ActivatedParameters(m, InputEmbedding::kCounted), p.activated) << p.name;
    EXPECT_EQ(ActivatedParameters(m, InputEmbedding::kLeftOut), p.without_input_embedding)
        << p.name;
    EXPECT_EQ(AttentionParameters(m), p.attention) << p.name;
    EXPECT_EQ(KvElementsPerToken(m), p.kv_elements) << p.name;
  }
}

TEST(BuiltinModelTest, EveryBuiltinModelIsInTheTable) {
  size_t of_megatron = 0;
  for (const std::string_view name : BuiltinNames("models"))
    of_megatron += name.starts_with("megatron-gpt-");
  EXPECT_EQ(BuiltinNames("models").size() - of_megatron, std::size(kPublished));
}

// Megatron-LM's README names them by their size: L (12 h^2 + 13 h) + 2 v h + 2 h.
TEST(BuiltinModelTest, MegatronsModelsHaveTheSizesTheyAreNamedAfter) {
  const std::pair<const char*, double> sizes[] = {
      {"1.7b", 1.7}, {"16b", 16}, {"70b", 70}, {"177b", 177}, {"462b", 462}};
  for (const auto& [name, billions] : sizes)
    EXPECT_NEAR(
        static_cast<double>(TotalParameters(LoadModel("megatron-gpt-" + std::string(name)))) / 1e9,
        billions, 0.03 * billions)
        << name;
}

// arXiv 2405.04434 section 1: the KV cache of V2 is 93.3% smaller than DeepSeek 67B's; section
// 3.2.3: 6 bits an element. 34,560 x 6 / 8 = 25,920 bytes; 194,560 x 2 = 389,120 bytes; 1 - 25,920
// / 389,120 = 0.93339.
TEST(BuiltinModelTest, KvCacheOfV2AtSixBitsIs93Point3PercentSmallerThan67B) {
  const Bytes v2 = KvBytesPerToken(LoadModel("deepseek-v2"), 6),
              dense = KvBytesPerToken(LoadModel("deepseek-67b"), 16);
  EXPECT_EQ(v2.value, 25920);
  EXPECT_EQ(dense.value, 389120);
  EXPECT_NEAR(1 - v2 / dense, 0.933, 0.0005);
}

// README_WEIGHTS of DeepSeek-V3: 11.5B parameters of the module's own. A 2 x 7168 x 7168
// projection, 3 norms of 7168 and a MoE layer of 187,107,328 + 2 x 7168 + 256 x 7169 + 257 x 3 x
// 7168 x 2048 = 11,507,286,272.
TEST(BuiltinModelTest, MtpModuleOfV3IsBesideTheTotal) {
  const Model m = LoadModel("deepseek-v3");
  EXPECT_EQ(m.mtp_layers, 1);
  EXPECT_EQ(MtpParameters(m), 102760448 + 21504 + 11507286272);
}

// arXiv 2505.09343 table 2, at sequence length 4096: 155 and 250 GFLOP a token of training for V2
// and V3.
TEST(BuiltinModelTest, TrainingFlopsAreThePublishedOnes) {
  EXPECT_NEAR(TrainingFlopsPerToken(LoadModel("deepseek-v2"), 4096) * 1e-9, 155, 0.5);
  EXPECT_NEAR(TrainingFlopsPerToken(LoadModel("deepseek-v3"), 4096) * 1e-9, 250, 0.5);
}

TEST(BuiltinModelTest, V2ChoosesSixExpertsFromThreeOfEightGroups) {
  const Model m = LoadModel("deepseek-v2");
  EXPECT_EQ(m.runs, (std::vector<LayerRun>{{LayerKind::kDense, 1}, {LayerKind::kMoe, 59}}));
  EXPECT_EQ(m.moe, (Moe{.experts = 160,
                        .shared_experts = 2,
                        .top_k = 6,
                        .inter = 1536,
                        .groups = 8,
                        .top_groups = 3,
                        .scaling_factor = 16,
                        .method = &kGroupLimitedTopK}));
}

TEST(BuiltinModelTest, V3RoutesBySigmoidWithABias) {
  const Moe moe = LoadModel("deepseek-v3").moe;
  EXPECT_EQ(moe.scoring, &kSigmoidScoring);
  EXPECT_EQ(moe.method, &kNoAuxTopK);
  EXPECT_TRUE(moe.normalize_top_k);
  EXPECT_EQ(moe.scaling_factor, 2.5);
  EXPECT_EQ(moe.top_groups, 4);
}

TEST(BuiltinModelTest, V2LiteHasNoQueryRank) {
  EXPECT_EQ(LoadModel("deepseek-v2-lite").attention.q_lora_rank, 0);
}

TEST(ModelLoaderTest, AnUnknownNameListsTheNamesAndTheNearest) {
  try {
    LoadModel("deepseek-v22");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.parts().hint, "deepseek-v2");
    EXPECT_NE(e.parts().expected.find("mixtral-8x22b"), std::string::npos);
  }
}

TEST(ModelLoaderTest, AModelFromAPathIsNamedAfterTheFileOrItsFolder) {
  const std::string folder = ::testing::TempDir();
  const std::string path = folder + "/moecast_tiny.json";
  std::ofstream(path) << kLlama;
  EXPECT_EQ(LoadModel(path).name, "moecast_tiny");
  EXPECT_EQ(LoadModel(path).hidden, 64);
  std::remove(path.c_str());
  EXPECT_THROW(LoadModel(path), UserError);
  EXPECT_THROW(LoadModel(folder), UserError);
}

TEST(HfConfigTest, LlamaReadsItsShapeAndPassesOverOtherKeys) {
  const Model m = Parse(kLlama);
  EXPECT_EQ(m.hidden, 64);
  EXPECT_EQ(m.vocab, 1000);
  EXPECT_EQ(m.max_position, 2048);
  EXPECT_EQ(m.dense_inter, 96);
  EXPECT_EQ(m.runs, (std::vector<LayerRun>{{LayerKind::kDense, 4}}));
  EXPECT_EQ(m.attention, (Attention{.heads = 8, .kv_heads = 2, .head_dim = 8}));
  EXPECT_EQ(m.moe, Moe{});
}

TEST(HfConfigTest, OptionalFieldsOfLlamaChangeTheModel) {
  EXPECT_EQ(Parse(With(kLlama, "num_key_value_heads", "null")).attention.kv_heads, 8);
  EXPECT_EQ(Parse(With(kLlama, "head_dim", "16")).attention.head_dim, 16);
  EXPECT_TRUE(Parse(With(kLlama, "tie_word_embeddings", "true")).tied_embeddings);
  EXPECT_TRUE(Parse(With(kLlama, "mlp_bias", "true")).mlp_bias);
  const Attention biased = Parse(With(kLlama, "attention_bias", "true")).attention;
  EXPECT_TRUE(biased.qkv_bias && biased.output_bias);
}

TEST(HfConfigTest, MistralHasAWindowAndQwen2BiasesOnQueriesKeysAndValues) {
  const std::string mistral = With(kLlama, "model_type", "\"mistral\"");
  EXPECT_EQ(Parse(mistral).attention.sliding_window, 0);
  EXPECT_EQ(Parse(With(mistral, "sliding_window", "512")).attention.sliding_window, 512);
  const std::string qwen = With(kLlama, "model_type", "\"qwen2\"");
  EXPECT_TRUE(Parse(qwen).attention.qkv_bias);
  EXPECT_FALSE(Parse(qwen).attention.output_bias);
  EXPECT_EQ(Parse(With(qwen, "sliding_window", "512")).attention.sliding_window, 0);
  EXPECT_NE(Refusal(With(qwen, "use_sliding_window", "true")).find("/use_sliding_window"),
            std::string::npos);
}

TEST(HfConfigTest, MixtralHasExpertsInEveryLayer) {
  std::string text = With(kLlama, "model_type", "\"mixtral\"");
  text = With(With(text, "num_local_experts", "8"), "num_experts_per_tok", "2");
  const Model m = Parse(text);
  EXPECT_EQ(m.runs, (std::vector<LayerRun>{{LayerKind::kMoe, 4}}));
  EXPECT_EQ(m.moe, (Moe{.experts = 8, .top_k = 2, .inter = 96, .normalize_top_k = true}));
  EXPECT_EQ(m.dense_inter, 0);
}

TEST(HfConfigTest, Qwen3NormsItsHeadsAndSaysHowWideTheyAre) {
  const std::string text = With(kLlama, "model_type", "\"qwen3\"");
  EXPECT_NE(Refusal(text).find("expected a value for \"head_dim\""), std::string::npos);
  const Model m = Parse(With(text, "head_dim", "16"));
  EXPECT_EQ(m.attention, (Attention{.heads = 8, .kv_heads = 2, .head_dim = 16, .qk_norm = true}));
  // q and o of 64 x 128, k and v of 64 x 32, one norm of 16 for queries and one for keys.
  EXPECT_EQ(AttentionParameters(m), 2 * 64 * 128 + 2 * 64 * 32 + 2 * 16);
  EXPECT_NE(Refusal(With(With(text, "head_dim", "16"), "use_sliding_window", "true"))
                .find("/use_sliding_window"),
            std::string::npos);
}

// With a step of 2 layers 1 and 3 of 4 have experts; mlp_only_layers takes layer 1 out.
TEST(HfConfigTest, Qwen3MoeHasExpertsWhereItsStepAndListLeaveThem) {
  std::string text = With(With(kLlama, "model_type", "\"qwen3_moe\""), "head_dim", "16");
  text = With(With(text, "num_experts", "8"), "num_experts_per_tok", "2");
  text = With(With(text, "moe_intermediate_size", "24"), "norm_topk_prob", "true");
  const Model all = Parse(text);
  EXPECT_EQ(all.runs, (std::vector<LayerRun>{{LayerKind::kMoe, 4}}));
  EXPECT_EQ(all.moe, (Moe{.experts = 8, .top_k = 2, .inter = 24, .normalize_top_k = true}));
  EXPECT_EQ(all.dense_inter, 0);
  const std::string stepped = With(text, "decoder_sparse_step", "2");
  const LayerKind d = LayerKind::kDense, e = LayerKind::kMoe;
  EXPECT_EQ(Parse(stepped).runs, (std::vector<LayerRun>{{d, 1}, {e, 1}, {d, 1}, {e, 1}}));
  const Model listed = Parse(With(stepped, "mlp_only_layers", "[1]"));
  EXPECT_EQ(listed.runs, (std::vector<LayerRun>{{d, 3}, {e, 1}}));
  EXPECT_EQ(listed.dense_inter, 96);
  EXPECT_NE(Refusal(With(text, "mlp_only_layers", "[4]")).find("/mlp_only_layers/0: found 4"),
            std::string::npos);
  EXPECT_NE(Refusal(With(text, "mlp_only_layers", "[0, 1, 2, 3]")).find("at least one MoE layer"),
            std::string::npos);
}

// Layers 1, 3 and 5 of 7 are not multiples of 2, layer 0 comes before the first MoE layer.
TEST(HfConfigTest, MoeLayerFrequencyAlternatesRuns) {
  const Model m = Parse(With(kDeepseekV2, "moe_layer_freq", "2"));
  const LayerKind d = LayerKind::kDense, e = LayerKind::kMoe;
  EXPECT_EQ(m.runs, (std::vector<LayerRun>{{d, 2}, {e, 1}, {d, 1}, {e, 1}, {d, 1}, {e, 1}}));
}

TEST(HfConfigTest, DeepseekWithoutExpertsIsDense) {
  const Model m = Parse(With(kDeepseekV2, "n_routed_experts", "null"));
  EXPECT_EQ(m.runs, (std::vector<LayerRun>{{LayerKind::kDense, 7}}));
  EXPECT_EQ(m.moe.experts, 0);
}

TEST(HfConfigTest, GreedyChoiceLooksAtNoGroups) {
  EXPECT_EQ(Parse(kDeepseekV2).moe.groups, 4);
  const Moe moe = Parse(With(kDeepseekV2, "topk_method", "\"greedy\"")).moe;
  EXPECT_EQ(moe.groups, 1);
  EXPECT_EQ(moe.top_groups, 1);
}

TEST(HfConfigTest, V3DefaultsToSigmoidWithABiasAndReadsMtp) {
  std::string text = With(With(kDeepseekV2, "model_type", "\"deepseek_v3\""), "topk_method", "");
  const Model m = Parse(With(text, "num_nextn_predict_layers", "1"));
  EXPECT_EQ(m.moe.scoring, &kSigmoidScoring);
  EXPECT_EQ(m.moe.method, &kNoAuxTopK);
  EXPECT_EQ(m.mtp_layers, 1);
  EXPECT_EQ(Parse(With(kDeepseekV2, "num_nextn_predict_layers", "1")).mtp_layers, 0);
}

struct Fault {
  std::string_view text;
  const char *key, *value, *message;  // value "" takes the key out
};

TEST(HfConfigTest, EachFaultIsNamedWithItsPlaceAndWhatWasExpected) {
  const Fault faults[] = {
      {kLlama, "hidden_size", "",
       "config.json: /: found an object, expected a value for \"hidden_size\" in it"},
      {kLlama, "hidden_size", "\"64\"",
       "/hidden_size: found \"64\", expected a whole number from 1 to 1048576"},
      {kLlama, "hidden_size", "-64", "/hidden_size: found -64"},
      {kLlama, "hidden_size", "1048577", "/hidden_size: found 1048577"},
      {kLlama, "hidden_size", "1e300", "/hidden_size: found 1e+300"},
      {kLlama, "num_hidden_layers", "10001", "/num_hidden_layers: found 10001"},
      {kLlama, "num_key_value_heads", "3",
       "/num_key_value_heads: found 3, expected a divisor of num_attention_heads, 8"},
      {kLlama, "num_attention_heads", "1", "/num_key_value_heads: found 2"},
      {kLlama, "hidden_size", "63",
       "/num_attention_heads: found 8, expected a divisor of hidden_size, 63"},
      {kLlama, "hidden_act", "\"gelu\"", "/hidden_act: found \"gelu\", expected \"silu\""},
      {kLlama, "tie_word_embeddings", "1", "/tie_word_embeddings: found 1, expected true or false"},
      {kLlama, "model_type", "", "expected a value for \"model_type\""},
      {kLlama, "model_type", "\"lama\"", "did you mean \"llama\"?"},
      {kDeepseekV2, "q_lora_rank", "", "expected a value for \"q_lora_rank\""},
      {kDeepseekV2, "num_experts_per_tok", "9",
       "/num_experts_per_tok: found 9, expected at most 8"},
      {kDeepseekV2, "n_group", "5",
       "/n_group: found 5, expected a divisor of n_routed_experts, 16"},
      {kDeepseekV2, "topk_group", "5", "/topk_group: found 5, expected a whole number from 1 to 4"},
      {kDeepseekV2, "topk_method", "\"gredy\"", "did you mean \"greedy\"?"},
      {kDeepseekV2, "scoring_func", "\"relu\"",
       "/scoring_func: found \"relu\", expected one of softmax, sigmoid"},
      {kDeepseekV2, "first_k_dense_replace", "7", "expected at least one MoE layer"},
      {kDeepseekV2, "first_k_dense_replace", "8", "/first_k_dense_replace: found 8"},
      {kDeepseekV2, "moe_layer_freq", "0", "/moe_layer_freq: found 0"},
      {kDeepseekV2, "routed_scaling_factor", "-1", "/routed_scaling_factor: found -1"},
  };
  for (const Fault& f : faults) {
    const std::string message = Refusal(With(f.text, f.key, f.value));
    EXPECT_NE(message.find(f.message), std::string::npos)
        << f.key << " = " << f.value << ": " << message;
  }
}

// EleutherAI/gpt-neox-20b has 20,554,567,680 parameters: 44 (12 h^2 + 13 h) + 2 v h + 2 h.
TEST(HfConfigTest, GptNeoxHasTwoMlpMatricesAndABiasOnEveryMatrixAndNorm) {
  const std::string text =
      R"({"model_type": "gpt_neox", "hidden_size": 6144, "num_hidden_layers": 44,
    "num_attention_heads": 64, "intermediate_size": 24576, "vocab_size": 50432,
    "max_position_embeddings": 2048, "hidden_act": "gelu_fast"})";
  EXPECT_EQ(TotalParameters(Parse(text)), 20'554'567'680);
  EXPECT_NE(Refusal(With(text, "hidden_act", "\"gelu_fst\"")).find("did you mean \"gelu_fast\"?"),
            std::string::npos);
}

TEST(HfConfigTest, AnUnknownTypeSaysWhichFieldsItMisses) {
  std::string text = With(kLlama, "model_type", "\"gpt_bigcode\"");
  EXPECT_NE(Refusal(text).find("it has the fields of llama"), std::string::npos);
  text = With(With(text, "vocab_size", ""), "intermediate_size", "");
  EXPECT_NE(Refusal(text).find("to be read as llama it misses intermediate_size, vocab_size"),
            std::string::npos);
  text = With(With(kDeepseekV2, "model_type", "\"kimi_k9\""), "v_head_dim", "");
  EXPECT_NE(Refusal(text).find("to be read as deepseek_v2 it misses v_head_dim"),
            std::string::npos);
}

TEST(HfConfigTest, AnAbsurdWholeOfPlausiblePartsIsRefused) {
  std::string text = With(With(kLlama, "hidden_size", "1048576"), "intermediate_size", "4194304");
  text = With(With(text, "num_attention_heads", "64"), "num_hidden_layers", "10000");
  EXPECT_NE(Refusal(text).find("10^15 parameters"), std::string::npos);
}

// Any field of any built-in model set to a hostile value: a model or a UserError, nothing else, and
// a model that is accepted can be counted without overflow.
TEST(HfConfigTest, HostileValuesAreRefusedOrGiveACountableModel) {
  const char* const values[] = {"null",  "0",       "-1",         "1",     "3",       "7",
                                "16384", "1048576", "2147483648", "1e308", "-0.5",    "1.5",
                                "true",  "\"\"",    "[]",         "{}",    "\"silu\""};
  Random rng(11);
  int accepted = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    const Published& model = kPublished[rng.Below(std::size(kPublished))];
    Json json = ParseJson(*BuiltinText("models/" + std::string(model.name) + ".json"), "")->root;
    for (uint64_t changes = 1 + rng.Below(2); changes > 0; --changes) {
      auto field = json.begin();
      std::advance(field, static_cast<int>(rng.Below(json.size())));
      *field = ParseJson(values[rng.Below(std::size(values))], "")->root;
    }
    try {
      const Model m = Parse(json.dump());
      ++accepted;
      ASSERT_GT(ActivatedParameters(m, InputEmbedding::kCounted), 0) << json.dump();
      ASSERT_LE(ActivatedParameters(m, InputEmbedding::kCounted), TotalParameters(m))
          << json.dump();
      ASSERT_GE(MtpParameters(m), 0) << json.dump();
      ASSERT_GT(KvElementsPerToken(m), 0) << json.dump();
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace moecast
