#include "costmodel/attention/attention.h"

#include <gtest/gtest.h>

#include <set>

#include "costmodel/model.h"
#include "scenarios/model_loader.h"

namespace moecast {
namespace {

// Released models whose parameters and cache are published, by the kind of their attention.
// Attention of a layer, whole model and cached elements a token were counted from the released
// weights, tensor by tensor (tests/scenarios/hf_config_test.cc says from where).
struct Released {
  const char* kind;
  const char* model;
  int64_t attention, total, kv_elements;
};
constexpr Released kReleased[] = {
    {"mla", "deepseek-v2", 149227520, 235741434880, 34560},
    {"mla", "deepseek-v2-lite", 13763072, 15706484224, 15552},
    {"mla", "deepseek-v3", 187107328, 671026419200, 35136},
    {"gqa", "deepseek-67b", 150994944, 67425001472, 194560},
    {"gqa", "deepseek-7b", 67108864, 6910365696, 245760},
    {"gqa", "qwen1.5-72b", 268460032, 72287920128, 1310720},
};

TEST(AttentionKindTest, EveryRowCountsReleasedModelsToTheLastWeight) {
  std::set<std::string_view> counted;
  for (const Released& r : kReleased) {
    const Model m = LoadModel(r.model);
    const Attention& a = m.attention;
    EXPECT_EQ(a.kind->name, r.kind) << r.model;
    EXPECT_EQ(a.kind->matrices(a, m.hidden) + a.kind->vectors(a, m.hidden), r.attention) << r.model;
    EXPECT_EQ(TotalParameters(m), r.total) << r.model;
    EXPECT_EQ(m.layers() * a.kind->cached(a, 1, 1), r.kv_elements) << r.model;
    counted.insert(a.kind->name);
  }
  for (const AttentionKind* kind : AttentionKinds())
    EXPECT_EQ(counted.count(kind->name), 1u) << kind->name;
}

TEST(AttentionKindTest, RowsHaveNamesOfTheirOwnAndSayWhatTheyAre) {
  std::set<std::string_view> names;
  for (const AttentionKind* kind : AttentionKinds()) {
    EXPECT_TRUE(names.insert(kind->name).second) << kind->name;
    EXPECT_FALSE(kind->help.empty()) << kind->name;
  }
}

// hidden 8, 2 heads, queries' rank 6, KV rank 5, heads of 4 + 2 and 3. Down 8 * 6 and 8 * (5 + 2),
// norms 6 and 5; the rest is cut by heads.
TEST(AttentionKindTest, TpRanksHoldMlasDownProjectionsWholeAndNothingOfGqa) {
  const Attention mla{.kind = &kMlaAttention,
                      .heads = 2,
                      .kv_heads = 2,
                      .q_lora_rank = 6,
                      .kv_lora_rank = 5,
                      .qk_nope_head_dim = 4,
                      .qk_rope_head_dim = 2,
                      .v_head_dim = 3};
  EXPECT_EQ(kMlaAttention.whole_on_tp(mla, 8), 8 * 6 + 8 * 7 + 6 + 5);
  EXPECT_EQ(kMlaAttention.matrices(mla, 8) - (8 * 6 + 8 * 7),
            6 * 2 * 6 + 5 * 2 * (4 + 3) + 2 * 3 * 8);
  EXPECT_EQ(kGqaAttention.whole_on_tp({.heads = 2, .kv_heads = 1, .head_dim = 4}, 8), 0);
}

// Two heads of 4: scores 4 deep and values 4 wide, 2 flops each, for 5 keys of the causal 10 or for
// all 10.
TEST(AttentionKindTest, CoreFlopsAreHalvedOrNot) {
  const Attention a{.heads = 2, .kv_heads = 1, .head_dim = 4};
  EXPECT_EQ(kGqaAttention.core_flops(a, 10, PairsCounted::kCausal), 2 * 5 * 2 * (4 + 4));
  EXPECT_EQ(kGqaAttention.core_flops(a, 10, PairsCounted::kAll), 2 * 10 * 2 * (4 + 4));
}

TEST(AttentionKindTest, SizesAreSaidInWords) {
  const auto said = [](const char* model) {
    const Attention a = LoadModel(model).attention;
    return a.kind->describe(a);
  };
  EXPECT_EQ(said("deepseek-v3"),
            "MLA with 128 heads of 192/128, KV rank 512 + 64, query rank 1536");
  EXPECT_EQ(said("deepseek-v2-lite"),
            "MLA with 16 heads of 192/128, KV rank 512 + 64, full-rank queries");
  EXPECT_EQ(said("deepseek-67b"), "GQA with 64 heads of 128, 8 KV heads");
  EXPECT_EQ(said("deepseek-7b"), "MHA with 32 heads of 128");
}

}  // namespace
}  // namespace moecast
