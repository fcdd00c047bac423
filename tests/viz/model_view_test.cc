#include "viz/model_view.h"

#include <gtest/gtest.h>

#include "scenarios/model_loader.h"

namespace moecast {
namespace {

TEST(ModelViewTest, JsonHasTheKeysOfTheContract) {
  const Json json = ModelJson(LoadModel("deepseek-v2"), {.sequence = 4096, .kv_bits = 6});
  for (const char* key :
       {"total_parameters", "activated_parameters", "activated_parameters_without_input_embedding",
        "kv_elements_per_token", "kv_bytes_per_token", "forward_flops_per_token",
        "training_flops_per_token", "flops_convention", "layers"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["kv_bytes_per_token"], 25920);
}

// Layers, embedding, head and the last norm are all there is; layers and head are all that is
// multiplied.
TEST(ModelViewTest, LayersAndWhatIsOutsideThemMakeTheTotals) {
  for (const char* name : {"deepseek-v2", "deepseek-v3", "deepseek-67b", "mixtral-8x22b"}) {
    const Model m = LoadModel(name);
    const Json json = ModelJson(m, {});
    int64_t parameters = json["embedding_parameters"].get<int64_t>() +
                         json["head_parameters"].get<int64_t>() + m.hidden;
    double flops = json["head_flops_per_token"].get<double>();
    for (const Json& run : json["layers"]) {
      const int64_t count = run["count"].get<int64_t>();
      int64_t layer = 0;
      for (const auto& [part, n] : run["parameters_per_layer"].items())
        layer += part == "total" ? 0 : n.get<int64_t>();
      EXPECT_EQ(layer, run["parameters_per_layer"]["total"]) << name;
      parameters += count * layer;
      flops += static_cast<double>(count) *
               run["forward_flops_per_token_per_layer"]["total"].get<double>();
    }
    EXPECT_EQ(parameters, json["total_parameters"]) << name;
    EXPECT_EQ(flops, json["forward_flops_per_token"]) << name;
  }
}

// 4 layers of hidden 64: attention 2 x 64 x 64 + 2 x 64 x 16 = 10,240, MLP 3 x 64 x 1,024 =
// 196,608, norms 128; with embedding and head of 64,000 each and a norm of 64 in all 955,968. KV 4
// x 2 x 16 = 128 elements, 256 bytes. Forward: 4 x (2 x 206,848 + attention 2 x 5,000 x 8 x 16) + 2
// x 64,000 = 6,902,784, training three times that.
TEST(ModelViewTest, TextIsATableOfTheWholeAndOfTheLayers) {
  Model m;
  m.name = "tiny";
  m.hidden = 64;
  m.vocab = 1000;
  m.max_position = 8192;
  m.attention = {.heads = 8, .kv_heads = 2, .head_dim = 8};
  m.runs = {{LayerKind::kDense, 4}};
  m.dense_inter = 1024;
  EXPECT_EQ(ModelText(m, {.sequence = 10000}), R"(tiny: 4 layers, hidden 64, vocabulary 1000
  GQA with 8 heads of 8, 2 KV heads

  total parameters                956.0 K  955,968
  activated                       956.0 K  955,968
    without the input embedding   892.0 K  891,968
  KV cache of a token               256 B  128 elements of 16 bits
  KV cache of 131,072 tokens     32.0 MiB  beyond the model's 8,192 positions
  forward GFLOP a token          0.006903  in a sequence of 10,000
  training GFLOP a token          0.02071  beyond the model's 8,192 positions

  One layer: parameters in millions, forward GFLOP a token
  layers  kind   attention  dense MLP  total  activated  forward GFLOP
  0-3     dense       0.01       0.20   0.21       0.21       0.001694

  Flops: 2mnk a GEMM, causal attention counted half, recompute not counted, training 3 x forward, MTP left out.
)");
}

}  // namespace
}  // namespace moecast
