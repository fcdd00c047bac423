#include "costmodel/layer_ops.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "tests/costmodel/step_ops.h"

namespace moecast {
namespace {

double FlopsIn(const std::vector<Op>& ops, OpClass op_class, bool recomputed = false) {
  double sum = 0;
  for (const Op& op : ops)
    if (op.op_class() == op_class && op.recomputed == recomputed) sum += FlopsOf(op.query).value;
  return sum;
}
double GemmFlops(const std::vector<Op>& ops) {
  return FlopsIn(ops, OpClass::kGemm) + FlopsIn(ops, OpClass::kGroupedGemm);
}
double ModelFlops(const std::vector<Op>& ops) {
  return GemmFlops(ops) + FlopsIn(ops, OpClass::kAttention);
}

// MLA's down-projections and the router are whole on every rank of tp and run on its part of the
// tokens.
TEST(LayerOpsTest, ForwardFlopsAreTheModelsOverTp) {
  int cut = 0;
  for (const char* name : kModels) {
    const Model m = LoadModel(name);
    for (const int tp : {1, 2, 4, 8}) {
      if (!Cuts(m, tp)) continue;
      ++cut;
      Plan plan;
      plan.parallel.tp = tp;
      double flops = 0, mtp = 0;
      for (const auto& [kind, count] : BlocksOf(m))
        (kind == BlockKind::kMtp ? mtp : flops) +=
            count * ModelFlops(StepOps(kind, m, plan)[Pass::kForward]);
      const double expected = ForwardFlopsPerToken(m, 4096) * 4096 / tp;
      EXPECT_NEAR(flops, expected, 1e-12 * expected) << name << " tp " << tp;
      const double expected_mtp = MtpForwardFlopsPerToken(m, 4096) * 4096 / tp;
      EXPECT_NEAR(mtp, expected_mtp, 1e-12 * expected_mtp) << name << " tp " << tp;
    }
  }
  EXPECT_GE(cut, 30);
}

TEST(LayerOpsTest, ASlidingWindowMeetsTheMeanContext) {
  Model m = LoadModel("deepseek-7b");
  m.attention.sliding_window = 1024;
  const auto ops = StepOps(BlockKind::kDense, m, {});
  EXPECT_NEAR(FlopsIn(ops[Pass::kForward], OpClass::kAttention),
              4096 * ForwardLayerFlops(m, LayerKind::kDense, 4096).attention_core, 1);
}

TEST(LayerOpsTest, EachGradientTakesTheForwardFlopsAndAttentionTwoAndAHalfTimes) {
  EachBlockOfAnyPlan(4, [](const Model& m, BlockKind kind, const Plan& plan, Random&) {
    const BlockOps ops = StepOps(kind, m, plan);
    EXPECT_EQ(GemmFlops(ops[Pass::kBackward]), GemmFlops(ops[Pass::kForward]));
    EXPECT_EQ(GemmFlops(ops[Pass::kWeight]), GemmFlops(ops[Pass::kForward]));
    EXPECT_EQ(FlopsIn(ops[Pass::kBackward], OpClass::kAttention),
              2.5 * FlopsIn(ops[Pass::kForward], OpClass::kAttention));
    EXPECT_EQ(FlopsIn(ops[Pass::kWeight], OpClass::kAttention), 0);
  });
}

// DeepSeek-7B, 4096 tokens of 4096, 11008 between the MLP's two products, 102,400 tokens in the
// vocabulary; bf16 but for the scores of the vocabulary and the main gradients, which are fp32.
TEST(LayerOpsTest, KernelsThatStreamReadAndWriteEachOperandOnce) {
  const Model m = LoadModel("deepseek-7b");
  const auto bytes = [&](BlockKind kind, Pass pass, OpName name) {
    double sum = 0;
    const auto ops = StepOps(kind, m, {});
    for (const Op& op : ops[pass])
      if (op.name == name && op.op_class() == OpClass::kElementwise) sum += BytesOf(op.query).value;
    return sum;
  };
  const double x = 4096.0 * 4096 * 2;
  const double gate = 4096.0 * 11008 * 2;
  const double logits = 4096.0 * 102400;
  struct Row {
    BlockKind kind;
    OpName name;
    double forward, backward, weight;
  };
  const Row rows[] = {
      // x and y; x, dy and dx
      {BlockKind::kDense, OpName::kInputNorm, 2 * x, 3 * x, 0},
      {BlockKind::kDense, OpName::kMlpNorm, 2 * x, 3 * x, 0},
      // both summands and the sum, after attention and after the MLP
      {BlockKind::kDense, OpName::kResidual, 2 * 3 * x, 2 * 3 * x, 0},
      // queries and keys, read and written
      {BlockKind::kDense, OpName::kRope, 2 * 2 * x, 2 * 2 * x, 0},
      // gate and up, and their product; these two and the product's gradient, and their two
      // gradients
      {BlockKind::kDense, OpName::kMlpAct, 3 * gate, 5 * gate, 0},
      // rows of the table and what is looked up; its gradient, added to fp32 rows that are read and
      // written
      {BlockKind::kEmbedding, OpName::kEmbedding, 2 * x, 0, x + 2 * x * 2},
      // bf16 scores, written in fp32, read, exponentials written; these read and bf16 gradients
      // written
      {BlockKind::kHead, OpName::kLoss, logits * (2 + 4 + 4 + 4), logits * (4 + 2), 0},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(bytes(row.kind, Pass::kForward, row.name), row.forward) << NameOf(row.name);
    EXPECT_EQ(bytes(row.kind, Pass::kBackward, row.name), row.backward) << NameOf(row.name);
    EXPECT_EQ(bytes(row.kind, Pass::kWeight, row.name), row.weight) << NameOf(row.name);
  }
}

// Context parallelism cuts the tokens; only MLA's keys and values are made by every rank for the
// whole sequence.
TEST(LayerOpsTest, ContextParallelRanksShareTheFlops) {
  Plan alone, cut;
  cut.parallel.cp = 4;
  const Model gqa = LoadModel("llama-3-70b"), mla = LoadModel("deepseek-v2");
  const auto flops = [](const Model& m, const Plan& p) {
    return ModelFlops(StepOps(BlockKind::kDense, m, p)[Pass::kForward]);
  };
  EXPECT_NEAR(flops(gqa, cut), flops(gqa, alone) / 4, 1);
  const Attention& a = mla.attention;
  const double kv_up = 2.0 * 4096 * a.kv_lora_rank * a.heads * (a.qk_nope_head_dim + a.v_head_dim);
  EXPECT_NEAR(flops(mla, cut), flops(mla, alone) / 4 + kv_up * 3 / 4, 1);
}

TEST(LayerOpsTest, APassAloneHasTheOpsItHasInTheStep) {
  EachBlockOfAnyPlan(6, [](const Model& m, BlockKind kind, Plan plan, Random& random) {
    for (const auto& row : EnumNames<Recompute>::kNames)
      if (random.Below(2) == 0) plan.recompute.push_back(row.value);
    const BlockOps step = StepOps(kind, m, plan);
    for (const Pass pass : kAllPasses) {
      Work work = kSequence;
      work.pass = pass;
      const std::vector<Op> alone =
          OpsOf(kind, m, ShardOf(plan), SpreadOnOneNode(m, ShardOf(plan)), {&work, 1});
      ASSERT_EQ(alone.size(), step[pass].size()) << NameOf(pass);
      for (size_t i = 0; i < alone.size(); ++i)
        EXPECT_EQ(alone[i], step[pass][i]) << NameOf(pass) << " " << i;
    }
  });
}

TEST(LayerOpsTest, AnOpWaitsForAnEarlierOpOfTheOtherStream) {
  EachBlockOfAnyPlan(8, [](const Model& m, BlockKind kind, Plan plan, Random& random) {
    if (random.Below(2) == 0)
      plan.recompute = {Recompute::kRmsNorm, Recompute::kMlaUp, Recompute::kPermute};
    if (random.Below(4) == 0) plan.recompute = {Recompute::kLayer};
    const BlockOps block = StepOps(kind, m, plan);
    for (const Pass pass : kAllPasses) {
      const auto& ops = block[pass];
      for (size_t i = 0; i < ops.size(); ++i) {
        if (ops[i].after == -1) continue;
        ASSERT_GE(ops[i].after, 0);
        ASSERT_LT(ops[i].after, static_cast<int>(i));
        EXPECT_NE(ops[static_cast<size_t>(ops[i].after)].stream(), ops[i].stream());
      }
    }
  });
}

// What a kernel waits for, through the order of streams and the ops named, holds every op that is
// listed before the one it names: as if collectives of all groups went through one queue. But for
// the rest of a gather in parts, for which its own product does not wait either: what comes next on
// its communicator does.
TEST(LayerOpsTest, AKernelWaitsForAllThatComesBeforeWhatItWaitsFor) {
  EachBlockOfAnyPlan(9, [](const Model& m, BlockKind kind, Plan plan, Random& random) {
    if (random.Below(2) == 0) plan.recompute = {Recompute::kRmsNorm, Recompute::kMlaUp};
    const BlockOps block = StepOps(kind, m, plan);
    for (const Pass pass : kAllPasses) {
      const auto& ops = block[pass];
      std::vector<std::vector<char>> waits(ops.size(), std::vector<char>(ops.size(), 0));
      std::map<Stream, size_t> last;
      for (size_t i = 0; i < ops.size(); ++i) {
        const auto wait_for = [&](size_t j) {
          waits[i][j] = 1;
          for (size_t k = 0; k < j; ++k) waits[i][k] = waits[i][k] || waits[j][k];
        };
        if (const auto before = last.find(ops[i].stream()); before != last.end())
          wait_for(before->second);
        if (ops[i].after >= 0) wait_for(static_cast<size_t>(ops[i].after));
        last[ops[i].stream()] = i;
        const auto is_rest = [&](size_t j) {
          return ops[j].name == OpName::kTpGather && ops[j + 1].after == static_cast<int>(j) - 1;
        };
        for (size_t j = 0; static_cast<int>(j) < ops[i].after; ++j)
          ASSERT_TRUE(waits[i][j] || ops[i].stream() != Stream::kCompute || is_rest(j))
              << NameOf(ops[i].name) << " " << i << " does not wait for " << j;
      }
    }
  });
}

struct Sizes {
  std::map<OpName, double> work;  // bytes or flops, each of its kind
  std::map<std::pair<CollectiveKind, GroupKind>, double> moved;
  double recomputed = 0;
};
Sizes SizesOf(const BlockOps& block) {
  Sizes sizes;
  for (const Pass pass : kAllPasses) {
    for (const Op& op : block[pass]) {
      if (const auto* c = std::get_if<CollectiveQuery>(&op.query)) {
        if (!op.recomputed) sizes.moved[{c->kind, c->group}] += c->bytes.value;
        continue;
      }
      const auto* e = std::get_if<ElementwiseQuery>(&op.query);
      const double size = e ? e->bytes.value : FlopsOf(op.query).value;
      (op.recomputed ? sizes.recomputed : sizes.work[op.name]) += size;
    }
  }
  return sizes;
}
void ExpectSame(const Sizes& a, const Sizes& b) {
  ASSERT_EQ(a.work.size(), b.work.size());
  ASSERT_EQ(a.moved.size(), b.moved.size());
  for (const auto& [name, size] : a.work)
    EXPECT_NEAR(b.work.at(name), size, 1e-12 * size) << NameOf(name);
  for (const auto& [what, size] : a.moved)
    EXPECT_NEAR(b.moved.at(what), size, 1e-12 * size)
        << NameOf(what.first) << " over " << NameOf(what.second);
}

TEST(LayerOpsTest, OverlapChangesNoFlopsAndNoBytes) {
  EachBlockOfAnyPlan(3, [](const Model& m, BlockKind kind, Plan plan, Random&) {
    plan.overlap.tp = plan.overlap.shared_experts = false;
    const Sizes without = SizesOf(StepOps(kind, m, plan));
    plan.overlap.tp = plan.overlap.shared_experts = true;
    ExpectSame(without, SizesOf(StepOps(kind, m, plan)));
  });
}

TEST(LayerOpsTest, RecomputationOnlyAddsOpsAndNeverKeepsMore) {
  EachBlockOfAnyPlan(6, [](const Model& m, BlockKind kind, Plan plan, Random& random) {
    plan.precision.saved_activations = plan.precision.gemm;  // what is not saved needs no cast
    const BlockOps without = StepOps(kind, m, plan);
    for (const auto& row : EnumNames<Recompute>::kNames)
      if (random.Below(2) == 0) plan.recompute.push_back(row.value);
    const BlockOps with = StepOps(kind, m, plan);
    ExpectSame(SizesOf(without), SizesOf(with));
    EXPECT_EQ(SizesOf(without).recomputed, 0);
    EXPECT_LE(with.memory.kept().value, without.memory.kept().value);
    // Until the weight gradients all is there again but what only the backward pass reads.
    EXPECT_LE(with.memory.until_weight + with.memory.gradients,
              without.memory.until_weight + without.memory.gradients);
  });
}

TEST(LayerOpsTest, ALayerRecomputedWholeKeepsItsInputAndRunsItsForwardOnceMore) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  plan.recompute = {Recompute::kLayer, Recompute::kRmsNorm, Recompute::kSwiGlu};
  const BlockOps ops = StepOps(BlockKind::kMoe, m, plan);
  EXPECT_EQ(ops.memory.kept(), Bytes(4096.0 * 5120 * 2));
  size_t again = 0;
  for (const Op& op : ops[Pass::kBackward]) again += op.recomputed;
  EXPECT_EQ(again, ops[Pass::kForward].size());
}

TEST(LayerOpsTest, GroupsOfOneRankDoNotCommunicate) {
  EachBlockOfAnyPlan(4, [](const Model& m, BlockKind kind, Plan plan, Random&) {
    plan.parallel.ep = plan.parallel.tp = plan.parallel.cp = 1;
    plan.parallel.expert_tp.reset();
    EXPECT_TRUE(SizesOf(StepOps(kind, m, plan)).moved.empty());
  });
}

// 4096 tokens x 5120 x 2 bytes once a device and layer each way; gradients go the same ways back.
TEST(LayerOpsTest, EveryTokenIsDispatchedAndCombinedOnceEachWay) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  auto moved = SizesOf(StepOps(BlockKind::kMoe, m, plan)).moved;
  EXPECT_EQ(moved.size(), 2u);
  EXPECT_EQ((moved[{CollectiveKind::kDispatch, GroupKind::kEp}]), 2 * 4096.0 * 5120 * 2);
  EXPECT_EQ((moved[{CollectiveKind::kCombine, GroupKind::kEp}]), 2 * 4096.0 * 5120 * 2);
}

// The ranks of a tensor-parallel group that route tokens of their own to whole experts are, from
// router to combine, ranks that nothing is cut over: 8 ranks of 2048 tokens each, as two of tp with
// 4096 between them in each of 4 groups, or as 8 groups. Shared experts stay cut.
TEST(LayerOpsTest, WholeExpertsAreSharedByTheRanksOfTpAsByOthers) {
  for (const char* name : {"deepseek-v2", "mixtral-8x22b"}) {
    const Model m = LoadModel(name);
    Plan apart, together;
    apart.parallel = {.ep = 8, .dp = 8};
    together.parallel = {.tp = 2, .ep = 8, .expert_tp = 1, .dp = 4};
    apart.overlap.shared_experts = together.overlap.shared_experts = false;
    const BlockOps a = StepOps(BlockKind::kMoe, m, apart, MicroBatchOf(1, 2048));
    const BlockOps b = StepOps(BlockKind::kMoe, m, together, MicroBatchOf(1, 4096));
    for (const Pass pass : kAllPasses) {
      const auto of_experts = [&](const BlockOps& ops) {
        std::vector<OpQuery> found;
        for (const Op& op : ops.pass[static_cast<size_t>(pass)])
          for (const OpName in : {OpName::kRouter, OpName::kTopK, OpName::kPermute,
                                  OpName::kDispatch, OpName::kExpertUp, OpName::kExpertAct,
                                  OpName::kExpertDown, OpName::kCombine, OpName::kUnpermute})
            if (op.name == in) found.push_back(op.query);
        return found;
      };
      EXPECT_EQ(of_experts(a), of_experts(b)) << name;
      EXPECT_GE(of_experts(a).size(), 3u);  // of the router and the experts in the weight pass
    }
    const auto expert = [&](const Plan& plan) {
      return ParametersOf(BlockKind::kMoe, m, ShardOf(plan), true).expert;
    };
    EXPECT_EQ(expert(apart), expert(together)) << name;
    EXPECT_EQ(ShardOf(together).edp(), 1);
  }
}

// Megatron's sequence parallelism (arXiv 2205.05198): a layer gathers and scatters tokens x hidden
// twice in the forward and twice in the backward pass, and gathers the inputs of its two column
// layers once more for their weight gradients.
TEST(LayerOpsTest, TensorParallelLayersGatherAndScatterTheTokens) {
  const Model m = LoadModel("deepseek-67b");
  Plan plan;
  plan.parallel.tp = 8;
  const double tokens = 4096.0 * m.hidden * 2;
  auto moved = SizesOf(StepOps(BlockKind::kDense, m, plan)).moved;
  EXPECT_NEAR((moved[{CollectiveKind::kAllGather, GroupKind::kTp}]), 6 * tokens, 1);
  EXPECT_NEAR((moved[{CollectiveKind::kReduceScatter, GroupKind::kTp}]), 4 * tokens, 1);
  plan.parallel.sequence =
      false;  // an all-reduce behind each row layer, and behind each column layer's gradient
  moved = SizesOf(StepOps(BlockKind::kDense, m, plan)).moved;
  EXPECT_EQ(moved.size(), 1u);
  EXPECT_NEAR((moved[{CollectiveKind::kAllReduce, GroupKind::kTp}]), 4 * tokens, 1);
}

size_t IndexOf(const std::vector<Op>& ops, OpName name, size_t from = 0) {
  while (from < ops.size() && ops[from].name != name) ++from;
  EXPECT_LT(from, ops.size()) << NameOf(name);
  return from;
}

// An eighth of the gathered tokens is waited for, seven come in beside; seven are sent off beside
// the output projection, an eighth after it.
TEST(LayerOpsTest, ATensorParallelProductOverlapsAllButOnePartOfItsCollective) {
  Plan plan;
  plan.parallel.tp = 8;
  const Model m = LoadModel("deepseek-67b");
  const auto ops = StepOps(BlockKind::kDense, m, plan)[Pass::kForward];
  const auto part = [&](size_t i) {
    return std::get<CollectiveQuery>(ops.at(i).query).bytes / Bytes(4096.0 * m.hidden * 2);
  };
  const size_t qkv = IndexOf(ops, OpName::kQkv), output = IndexOf(ops, OpName::kOutput);
  ASSERT_EQ(qkv, 3u);
  EXPECT_EQ(ops[1].after, 0);  // the norm
  EXPECT_DOUBLE_EQ(part(1), 1.0 / 8);
  EXPECT_EQ(ops[2].after, 0);
  EXPECT_DOUBLE_EQ(part(2), 7.0 / 8);
  EXPECT_EQ(ops[qkv].after, 1);
  EXPECT_DOUBLE_EQ(part(output - 1), 7.0 / 8);
  EXPECT_EQ(ops[output - 1].after, static_cast<int>(output) - 2);  // the attention
  EXPECT_EQ(ops[output].after, -1);
  EXPECT_DOUBLE_EQ(part(output + 1), 1.0 / 8);
  EXPECT_EQ(ops[output + 1].after, static_cast<int>(output));
}

std::vector<double> BytesOfAll(const std::vector<Op>& ops, OpName name) {
  std::vector<double> bytes;
  for (const Op& op : ops)
    if (op.name == name) bytes.push_back(BytesOf(op.query).value);
  return bytes;
}

// DeepSeek-V3 over 64 ranks, 4096 tokens of 7168: a token goes to 8 experts of D devices. fp8_block
// takes 1 + 4/128 bytes an element.
TEST(LayerOpsTest, AnFp8DispatchBringsTheExpertsTheirOperand) {
  const Model m = LoadModel("deepseek-v3");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 64;
  plan.precision.gemm = Dtype::kFp8Block;
  plan.precision.dispatch = Dtype::kBf16;
  const auto bf16 = StepOps(BlockKind::kMoe, m, plan);
  plan.precision.dispatch = Dtype::kFp8Block;
  const auto fp8 = StepOps(BlockKind::kMoe, m, plan);
  const double e = 1 + 4.0 / 128;
  const double tokens = 4096.0 * 7168;
  const double devices = SpreadOf(m.moe, 64, 64).devices;
  const auto sum = [](const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0);
  };
  for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
    // Instead of eight copies of a token after the exchange, the token is cast once before it.
    const auto before = BytesOfAll(bf16[pass], OpName::kCast),
               after = BytesOfAll(fp8[pass], OpName::kCast);
    EXPECT_EQ(before.size(), after.size());
    EXPECT_NEAR(sum(before) - sum(after), (8 - 1) * tokens * (2 + e), 1e3)
        << static_cast<int>(pass);
  }
  // Forward: packed and copied in fp8, brought back in bf16. Backward: the other way round.
  const double pack = tokens * (1 + devices), copy = tokens * (devices + 8);
  EXPECT_NEAR(sum(BytesOfAll(fp8[Pass::kForward], OpName::kPermute)), (pack + copy) * e, 1e3);
  EXPECT_NEAR(sum(BytesOfAll(fp8[Pass::kForward], OpName::kUnpermute)), (pack + copy) * 2, 1e3);
  EXPECT_NEAR(sum(BytesOfAll(fp8[Pass::kBackward], OpName::kPermute)), (pack + copy) * 2, 1e3);
  EXPECT_NEAR(sum(BytesOfAll(fp8[Pass::kBackward], OpName::kUnpermute)), (pack + copy) * e, 1e3);
  // Both operands of the weight gradients are still transposed, the down-projection's gradient from
  // fp8.
  EXPECT_NEAR(sum(BytesOfAll(bf16[Pass::kWeight], OpName::kCast)) -
                  sum(BytesOfAll(fp8[Pass::kWeight], OpName::kCast)),
              8 * tokens * (2 - e), 1e3);
}

TEST(LayerOpsTest, SharedExpertsComputeBesideTheExchangeOfTheirPass) {
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  const auto block = StepOps(BlockKind::kMoe, LoadModel("deepseek-v2"), plan);
  const auto& forward = block[Pass::kForward];
  const size_t dispatch = IndexOf(forward, OpName::kDispatch);
  for (const OpName name : {OpName::kSharedUp, OpName::kSharedAct, OpName::kSharedDown}) {
    EXPECT_GT(IndexOf(forward, name), dispatch);
    EXPECT_EQ(forward[IndexOf(forward, name)].after, -1);
  }
  EXPECT_EQ(forward[IndexOf(forward, OpName::kPermute, dispatch)].after,
            static_cast<int>(dispatch));
  const auto& backward = block[Pass::kBackward];
  const size_t combine = IndexOf(backward, OpName::kCombine);
  EXPECT_EQ(IndexOf(backward, OpName::kSharedDown), combine + 1);
  EXPECT_EQ(backward[combine + 1].after, -1);
  EXPECT_EQ(backward[IndexOf(backward, OpName::kUnpermute, combine)].after,
            static_cast<int>(combine));
}

TEST(LayerOpsTest, TheSlowestDeviceSetsTheTimeAndTheTokensKeptTheWeightGradients) {
  const Model m = LoadModel("deepseek-v2");
  Plan plan;
  plan.parallel.ep = plan.parallel.dp = 8;
  Work work = kSequence;
  const auto even = StepOps(BlockKind::kMoe, m, plan, work);
  work.load = {.visits = {0.75, 1.5}, .tokens = {0.9, 1.25}, .bytes = {0.9, 1.125}};
  const auto uneven = StepOps(BlockKind::kMoe, m, plan, work);
  const auto experts = [](const BlockOps& ops, Pass pass) {
    return FlopsIn(ops[pass], OpClass::kGroupedGemm);
  };
  EXPECT_EQ(experts(uneven, Pass::kForward), 1.5 * experts(even, Pass::kForward));
  EXPECT_EQ(experts(uneven, Pass::kBackward), 1.5 * experts(even, Pass::kBackward));
  EXPECT_EQ(experts(uneven, Pass::kWeight), 0.75 * experts(even, Pass::kWeight));
  EXPECT_EQ(FlopsIn(uneven[Pass::kForward], OpClass::kGemm),
            FlopsIn(even[Pass::kForward], OpClass::kGemm));
  EXPECT_GT(uneven.memory.kept(), even.memory.kept());
  // The exchanges carry the bytes of the busiest port, both ways.
  for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
    double bytes = 0, even_bytes = 0;
    for (const Op& op : uneven[pass])
      if (const auto* q = std::get_if<CollectiveQuery>(&op.query)) bytes += q->bytes.value;
    for (const Op& op : even[pass])
      if (const auto* q = std::get_if<CollectiveQuery>(&op.query)) even_bytes += q->bytes.value;
    EXPECT_GT(even_bytes, 0);
    EXPECT_EQ(bytes, 1.125 * even_bytes);
  }
}

}  // namespace
}  // namespace moecast
