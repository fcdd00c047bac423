#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "costmodel/kernel_costs.h"
#include "scenarios/scenario.h"
#include "tests/costmodel/step_ops.h"

namespace moecast {
namespace {

using Contexts = std::vector<int64_t>;
using Prompts = std::vector<Prompt>;

std::vector<Op> OpsIn(BlockKind kind, const Model& m, const Work& work,
                      const ShardPlan& shard = {}) {
  return OpsOf(kind, m, shard, SpreadOnOneNode(m, shard), {&work, 1});
}

double FlopsIn(const std::vector<Op>& ops, OpClass op_class) {
  double sum = 0;
  for (const Op& op : ops)
    if (op.op_class() == op_class) sum += FlopsOf(op.query).value;
  return sum;
}
double GemmFlops(const std::vector<Op>& ops) {
  return FlopsIn(ops, OpClass::kGemm) + FlopsIn(ops, OpClass::kGroupedGemm);
}

// Every projection of a token costs 2 flops a matrix element, absorbed or not: applying W_UK to
// queries takes what making keys from latents would.
TEST(ServingOpsTest, ATokensProjectionsCostTwoFlopsAMatrixElement) {
  for (const char* name : {"deepseek-v2", "deepseek-v2-lite", "deepseek-67b"}) {
    const Model m = LoadModel(name);
    const double layer = ForwardLayerFlops(m, LayerKind::kDense, 1).total() -
                         ForwardLayerFlops(m, LayerKind::kDense, 1).attention_core;
    EXPECT_EQ(GemmFlops(OpsIn(BlockKind::kDense, m, DecodeOf(Contexts{1000, 3000}))), 2 * layer)
        << name;
    // A prompt from an empty cache: as many keys and values are projected up as there are tokens.
    EXPECT_EQ(GemmFlops(OpsIn(BlockKind::kDense, m, PrefillOf(Prompts{{512, 512}}))), 512 * layer)
        << name;
  }
}

// 2 n H (2 r + e): 128 heads, latents of 512 and a RoPE key of 64. Over the sum of the contexts,
// whatever each is.
TEST(ServingOpsTest, DecodeOfMlaAttendsToTheLatentsOfTheContextSum) {
  const Model m = LoadModel("deepseek-v2");
  const std::vector<Op> ops = OpsIn(BlockKind::kDense, m, DecodeOf(Contexts{1000, 3000}));
  EXPECT_EQ(FlopsIn(ops, OpClass::kAttention), 2.0 * 4000 * 128 * (2 * 512 + 64));
  double read = 0;
  for (const Op& op : ops)
    if (op.name == OpName::kAttention) read = BytesOf(op.query).value;
  // Latents once for all heads; queries of 576 and outputs of 512 a head, of two tokens.
  EXPECT_EQ(read, 2.0 * 4000 * 576 + 2.0 * 2 * 128 * (576 + 512));
}

// Three queries of each sequence read its latents once; each attends as one alone would to the
// whole context, and goes through all matrices.
TEST(ServingOpsTest, QueriesThatAreVerifiedTogetherReadTheCacheOnce) {
  const Model m = LoadModel("deepseek-v2");
  const std::vector<Op> one = OpsIn(BlockKind::kDense, m, DecodeOf(2, 4000, 1));
  const std::vector<Op> three = OpsIn(BlockKind::kDense, m, DecodeOf(2, 4000, 3));
  EXPECT_EQ(one, OpsIn(BlockKind::kDense, m, DecodeOf(Contexts{1000, 3000})));
  EXPECT_EQ(FlopsIn(three, OpClass::kAttention), 3 * FlopsIn(one, OpClass::kAttention));
  EXPECT_EQ(GemmFlops(three), 3 * GemmFlops(one));
  const auto read = [](const std::vector<Op>& ops) {
    for (const Op& op : ops)
      if (op.name == OpName::kAttention) return BytesOf(op.query).value;
    return 0.0;
  };
  EXPECT_EQ(read(three) - read(one), 2.0 * 2 * (3 - 1) * 128 * (576 + 512));
}

// 64 heads of 128 share 8 of keys and values. 2 n H (d + d) flops; the cache is read once for a
// group.
TEST(ServingOpsTest, DecodeOfGqaReadsKeysAndValuesOfTheContextSum) {
  const Model m = LoadModel("deepseek-67b");
  const std::vector<Op> ops = OpsIn(BlockKind::kDense, m, DecodeOf(Contexts{100, 200, 600}));
  EXPECT_EQ(FlopsIn(ops, OpClass::kAttention), 2.0 * 900 * 64 * (128 + 128));
  for (const Op& op : ops)
    if (op.name == OpName::kAttention) {
      EXPECT_EQ(BytesOf(op.query).value, 900.0 * 2 * 8 * 128 * 2 + 3 * 2.0 * 64 * 128 * 2);
    }
}

TEST(ServingOpsTest, AnFp8CacheHalvesWhatDecodeReads) {
  ShardPlan fp8;
  fp8.kv_bits = 8;
  const auto read = [](const std::vector<Op>& ops) {
    for (const Op& op : ops)
      if (op.name == OpName::kAttention) return BytesOf(op.query).value;
    return 0.0;
  };
  for (const char* name : {"deepseek-v2", "deepseek-67b"}) {
    const Model m = LoadModel(name);
    const double elements = static_cast<double>(KvElementsPerToken(m)) / m.layers();
    const Work work = DecodeOf(Contexts{5000});
    EXPECT_EQ(
        read(OpsIn(BlockKind::kDense, m, work)) - read(OpsIn(BlockKind::kDense, m, work, fp8)),
        5000 * elements)
        << name;
  }
}

// 1024 new tokens behind 3072 cached ones, twice. With the diagonal counted half a query meets 3072
// + 1024 / 2 = 3584 keys on average. MLA makes keys and values of all 4096 tokens anew.
TEST(ServingOpsTest, AChunkMeetsItsCacheAndMlaProjectsItUpAgain) {
  const Work work = PrefillOf(Prompts{{1024, 4096}, {1024, 4096}});
  const Model m = LoadModel("deepseek-v2");
  const std::vector<Op> ops = OpsIn(BlockKind::kDense, m, work);
  EXPECT_EQ(FlopsIn(ops, OpClass::kAttention), 2 * 1024.0 * 3584 * 2 * 128 * (192 + 128));
  for (const Op& op : ops)
    if (op.name == OpName::kKvUp) {
      EXPECT_EQ(FlopsOf(op.query).value, 2.0 * 8192 * 512 * 128 * (128 + 128));
    }
}

// 1024 new tokens behind 3072 cached ones, once: in absorbed form a query meets 3584 latents of 512
// + 64 and nothing is projected up; from a threshold of 3072 on, as with nothing cached, in plain
// form.
TEST(ServingOpsTest, MlaIsAbsorbedForPromptsBehindLessThanTheThreshold) {
  const Model m = LoadModel("deepseek-v2");
  const Work chunk = PrefillOf(Prompts{{1024, 4096}}), fresh = PrefillOf(Prompts{{1024, 1024}});
  ShardPlan shard;
  const auto ops = [&](const Work& work, int64_t threshold) {
    shard.chunked_prefix_cache_threshold = threshold;
    return OpsIn(BlockKind::kDense, m, work, shard);
  };
  EXPECT_EQ(ops(chunk, 3072), ops(chunk, 0));
  EXPECT_EQ(ops(fresh, 8192), ops(fresh, 0));
  const auto absorbed = ops(chunk, 3073);
  EXPECT_NEAR(FlopsIn(absorbed, OpClass::kAttention), 2 * 1024.0 * 3584 * 128 * (2 * 512 + 64),
              2 * 1024.0 * 128 * (2 * 512 + 64));
  for (const Op& op : absorbed) EXPECT_NE(op.name, OpName::kKvUp);
}

TEST(ServingOpsTest, AWindowBoundsWhatServingAttendsTo) {
  Model m = LoadModel("deepseek-7b");  // 32 heads of 128
  m.attention.sliding_window = 1000;
  EXPECT_EQ(FlopsIn(OpsIn(BlockKind::kDense, m, DecodeOf(Contexts{500})), OpClass::kAttention),
            2.0 * 500 * 32 * 256);
  EXPECT_EQ(FlopsIn(OpsIn(BlockKind::kDense, m, DecodeOf(Contexts{5000})), OpClass::kAttention),
            2.0 * 1000 * 32 * 256);
  EXPECT_EQ(
      FlopsIn(OpsIn(BlockKind::kDense, m, PrefillOf(Prompts{{100, 5000}})), OpClass::kAttention),
      100 * 2.0 * 1000 * 32 * 256);
}

// Sequences that differ count as many alike with the same sums: 100 tokens of 100 and 300 of 1100
// have 5,050 and 285,150 pairs, 725.5 a token; 200 tokens each meet that at a context of 825.
TEST(ServingOpsTest, PromptsThatDifferAreTakenAsAlikeWithAsManyPairs) {
  const Model m = LoadModel("deepseek-67b");
  const std::vector<Op> ops =
      OpsIn(BlockKind::kDense, m, PrefillOf(Prompts{{100, 100}, {300, 1100}}));
  for (const Op& op : ops) {
    if (op.name != OpName::kAttention) continue;
    const auto& q = std::get<AttentionQuery>(op.query);
    EXPECT_EQ(q.batch, 2);
    EXPECT_EQ(q.query, 200);
    EXPECT_EQ(q.context, 825);
    EXPECT_EQ(q.phase, AttentionPhase::kPrefill);
  }
}

// DeepSeek-V3's head on tp 8: one token a sequence, 129,280 logits.
TEST(ServingOpsTest, TheHeadTakesATokenASequenceAndEveryRankGathersItsLogits) {
  const Model m = LoadModel("deepseek-v3");
  ShardPlan shard{.tp = 8, .sequence = false};
  const std::vector<Op> ops =
      OpsIn(BlockKind::kHead, m, PrefillOf(Prompts{{100, 100}, {300, 300}}), shard);
  EXPECT_EQ(GemmFlops(ops), 2.0 * 2 * 7168 * 129280 / 8);
  std::map<OpName, double> bytes;
  for (const Op& op : ops) bytes[op.name] += BytesOf(op.query).value;
  EXPECT_EQ(bytes[OpName::kTpGather], 2.0 * 129280 * 2);
  EXPECT_EQ(bytes[OpName::kSampling], 2.0 * 129280 * (2 + 2 * 4));
  EXPECT_EQ(bytes.count(OpName::kLoss), 0u);
}

// As the forward pass of training, but for the attention and what is only saved for later passes.
TEST(ServingOpsTest, ServingRunsTheForwardPassOfTheExperts) {
  const Model m = LoadModel("deepseek-v2");
  ShardPlan shard{.ep = 8, .dp = 8};
  shard.precision.saved_activations = Dtype::kFp8;
  shard.precision.saved_swiglu = Dtype::kFp8;
  const auto without_attention = [](const std::vector<Op>& ops) {
    std::map<OpName, double> work;
    for (const Op& op : ops) work[op.name] += FlopsOf(op.query).value + BytesOf(op.query).value;
    work.erase(OpName::kAttention);
    work.erase(OpName::kRope);
    return work;
  };
  const auto prefill =
      without_attention(OpsIn(BlockKind::kMoe, m, PrefillOf(Prompts{{512, 512}}), shard));
  const auto forward =
      without_attention(OpsIn(BlockKind::kMoe, m, MicroBatchOf(1, 512), {.ep = 8, .dp = 8}));
  EXPECT_EQ(prefill, forward);
}

// Of 256 experts a token takes 8: 32 tokens leave one out with probability (1 - 1/32)^32 = 0.362
// and read the weights of 256 x 0.638 = 163.3. 8 ranks of 4 tokens meet as many of their 32
// each: 20.4; of 32 tokens, all.
TEST(ServingOpsTest, ASmallBatchReadsTheWeightsOfTheExpertsItHits) {
  const Model m = LoadModel("deepseek-v3");
  const auto experts = [&](int64_t tokens, const ShardPlan& shard) {
    for (const Op& op :
         OpsIn(BlockKind::kMoe, m, DecodeOf(Contexts(static_cast<size_t>(tokens), 100)), shard))
      if (op.name == OpName::kExpertUp) return std::get<GroupedGemmQuery>(op.query).groups;
    return int64_t{0};
  };
  EXPECT_EQ(experts(1, {}), 8);
  EXPECT_EQ(experts(32, {}), 163);
  EXPECT_EQ(experts(4, {.ep = 8, .dp = 8}), 20);
  EXPECT_EQ(experts(32, {.ep = 8, .dp = 8}), 32);
  EXPECT_EQ(experts(4096, {}), 256);
}

// Sixteen slots more on eight ranks are two more experts whose weights each rank reads, where
// tokens enough come.
TEST(ServingOpsTest, CopiesOfExpertsAreReadToo) {
  const Model m = LoadModel("deepseek-v2");
  const auto experts = [&](int redundant) {
    int64_t groups = 0;
    const ShardPlan shard{.ep = 8, .dp = 8, .redundant_experts = redundant};
    for (const Op& op : OpsIn(BlockKind::kMoe, m, DecodeOf(Contexts(512, 100)), shard))
      if (op.name == OpName::kExpertUp) groups = std::get<GroupedGemmQuery>(op.query).groups;
    return groups;
  };
  EXPECT_EQ(experts(0), 20);
  EXPECT_EQ(experts(16), 22);
}

// What tp ranks have of shared and routed experts is added up once a token is one row again: 32 x
// 7168 in bf16, as behind the attention, not 8 rows for each token.
TEST(ServingOpsTest, TpRanksSumExpertsOnceATokenIsOneRowAgain) {
  const Model m = LoadModel("deepseek-v3");
  ShardPlan shard{.tp = 8, .sequence = false};
  shard.overlap.tp = false;
  std::vector<double> sums;
  for (const Op& op : OpsIn(BlockKind::kMoe, m, DecodeOf(Contexts(32, 100)), shard))
    if (op.name == OpName::kTpScatter) sums.push_back(BytesOf(op.query).value);
  EXPECT_EQ(sums, (std::vector<double>{32.0 * 7168 * 2, 32.0 * 7168 * 2}));
}

// One group of tp, in which every rank has all tokens, keeps each expert whole on a rank: nothing
// is sent, a rank has a quarter of the rows of a quarter of the experts, and parts of the shared
// ones, and the ranks' sums are added up as where tp cuts each expert.
TEST(ServingOpsTest, ATpGroupAloneTakesEachTokenToItsExpertsWithoutSending) {
  const Model m = LoadModel("deepseek-v2");
  ShardPlan cut{.tp = 4, .sequence = false}, whole = cut;
  whole.ep = 4;
  whole.whole_experts = true;
  const Work work = DecodeOf(Contexts(32, 100));
  const auto a = OpsIn(BlockKind::kMoe, m, work, cut), b = OpsIn(BlockKind::kMoe, m, work, whole);
  EXPECT_EQ(GemmFlops(a), GemmFlops(b));
  const auto of = [](const std::vector<Op>& ops, OpClass op_class) {
    std::vector<OpQuery> found;
    for (const Op& op : ops)
      if (op.op_class() == op_class) found.push_back(op.query);
    return found;
  };
  EXPECT_EQ(of(a, OpClass::kCollective), of(b, OpClass::kCollective));
  EXPECT_EQ(of(a, OpClass::kGemm), of(b, OpClass::kGemm));
  for (const Op& op : b)
    if (op.name == OpName::kExpertUp) {
      const auto& up = std::get<GroupedGemmQuery>(op.query);
      // Of 40 experts 32 tokens leave 40 (1 - 6/160)^32 = 11.8 out.
      EXPECT_EQ(up.groups, 28);
      EXPECT_EQ(FlopsOf(op.query).value, 2.0 * (32 * 6 / 4) * 5120 * 2 * 1536);
    }
  EXPECT_EQ(ParametersOf(BlockKind::kMoe, m, cut, false).expert,
            ParametersOf(BlockKind::kMoe, m, whole, false).expert);
}

// Two groups of four: each rank routes a quarter of its group's tokens, and the MoE part is what 8
// ranks of as many tokens without tp have, shared experts included, which are whole too. Around it
// the attention gathers and scatters.
TEST(ServingOpsTest, TpGroupsOfAReplicaRouteATokenFromOneOfTheirRanks) {
  const Model m = LoadModel("deepseek-v2");
  const ShardPlan apart{.ep = 8, .dp = 8, .sequence = false};
  ShardPlan groups{.tp = 4, .ep = 8, .dp = 2, .whole_experts = true, .whole_shared_experts = true};
  groups.overlap.tp = false;
  const auto a = OpsIn(BlockKind::kMoe, m, DecodeOf(Contexts(32, 100)), apart);
  const auto b = OpsIn(BlockKind::kMoe, m, DecodeOf(Contexts(128, 100)), groups);
  const auto from_router = [](const std::vector<Op>& ops) {
    std::vector<OpQuery> found;
    bool after = false;
    for (const Op& op : ops) {
      after |= op.name == OpName::kMlpNorm;
      if (after) found.push_back(op.query);
    }
    return found;
  };
  EXPECT_EQ(from_router(a), from_router(b));
  EXPECT_GE(from_router(a).size(), 12u);
  std::map<CollectiveKind, int> runs;
  for (const Op& op : b)
    if (const auto* c = std::get_if<CollectiveQuery>(&op.query))
      if (c->group == GroupKind::kTp) ++runs[c->kind];
  // Latents of queries before their heads are made, those that are cached, and the attention's sum.
  EXPECT_EQ(runs, (std::map<CollectiveKind, int>{{CollectiveKind::kAllGather, 2},
                                                 {CollectiveKind::kReduceScatter, 1}}));
  const auto held = [&](const ShardPlan& s) { return ParametersOf(BlockKind::kMoe, m, s, false); };
  EXPECT_EQ(held(apart).expert, held(groups).expert);
  ShardPlan shared_cut = groups;
  shared_cut.whole_shared_experts = false;
  EXPECT_EQ(held(groups).data - held(shared_cut).data, 2 * 3.0 * 5120 * 1536 * (1 - 1.0 / 4));
}

// One token, of 6 experts, for 16 ranks that share whole experts: a rank that has it has a whole
// one, where 6 / 16 would round to none.
TEST(ServingOpsTest, ATokenIsNotCutWhereRanksOutnumberTokens) {
  const Model m = LoadModel("deepseek-v2");
  const Scenario scenario = Scenario::Load("deepseek-v3-pretrain", {});
  KernelCosts kernels(*scenario.training().phases[0].calibration);
  for (const int dp : {1, 2}) {
    ShardPlan shard{.tp = 16, .ep = 16 * dp, .dp = dp, .sequence = dp > 1, .whole_experts = true};
    shard.whole_shared_experts = dp > 1;
    for (const BlockKind kind : {BlockKind::kEmbedding, BlockKind::kMoe, BlockKind::kHead})
      for (const Op& op : OpsIn(kind, m, DecodeOf(Contexts{100}), shard)) {
        if (const auto* gemm = std::get_if<GemmQuery>(&op.query)) {
          EXPECT_GE(gemm->m, 1);
        }
        if (const auto* experts = std::get_if<GroupedGemmQuery>(&op.query)) {
          EXPECT_GE(experts->rows_total, 1);
        }
        if (op.op_class() != OpClass::kCollective) {
          EXPECT_GT(kernels.Of(op.query).time.value, 0);
        }
      }
  }
}

TEST(ServingOpsTest, EveryKernelOfServingHasACost) {
  const Scenario scenario = Scenario::Load("deepseek-v3-pretrain", {});
  KernelCosts kernels(*scenario.training().phases[0].calibration);
  const Work works[] = {DecodeOf(Contexts(64, 4096)), PrefillOf(Prompts{{2048, 4096}})};
  for (const char* name : {"deepseek-v2", "deepseek-v3", "deepseek-67b"}) {
    const Model m = LoadModel(name);
    for (const Work& work : works) {
      for (const BlockKind kind :
           {BlockKind::kEmbedding, BlockKind::kDense, BlockKind::kMoe, BlockKind::kHead}) {
        if (kind == BlockKind::kMoe && m.moe.experts == 0) continue;
        ShardPlan shard{
            .tp = kind == BlockKind::kMoe ? 1 : 8, .ep = kind == BlockKind::kMoe ? 8 : 1, .dp = 8};
        for (const Op& op : OpsIn(kind, m, work, shard)) {
          if (op.op_class() == OpClass::kCollective) continue;
          EXPECT_GT(kernels.Of(op.query).time.value, 0) << name << " " << NameOf(op.name);
          EXPECT_LT(kernels.Of(op.query).time.value, 0.1) << name << " " << NameOf(op.name);
        }
      }
    }
  }
}

}  // namespace
}  // namespace moecast
