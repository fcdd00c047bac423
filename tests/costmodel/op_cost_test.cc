#include "costmodel/op_cost.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "base/random.h"
#include "scenarios/scenario.h"

namespace moecast {
namespace {

// V3's plan: 128 data-parallel ranks, 64 of them expert-parallel, on 16 stages.
struct Costs {
  Scenario scenario;
  KernelCosts kernels;
  OpCosts costs;
  explicit Costs(std::vector<std::string> sets = {}, int copies = 1)
      : scenario(Scenario::Load("deepseek-v3-pretrain", std::move(sets))),
        kernels(*scenario.training().phases[0].calibration),
        costs(CostsOf(kernels, scenario.training().phases[0], copies)) {}
  static OpCosts CostsOf(KernelCosts& kernels, const TrainingRun& run, int copies) {
    const ShardPlan shard = ShardOf(run.plan);
    const Placement placement = PlacementOf(run.plan.parallel);
    return {kernels,
            run.cluster,
            shard,
            placement,
            ExpertSpreadOf(run.model, shard, placement, run.cluster),
            kKernelsAlone,
            copies};
  }
  double Beside(const OpQuery& query) {
    const Op op{.query = query};
    return costs.Beside(op, costs.Of(op));
  }
};

TEST(BesideTest, AGemmRunsAtTheRateOfItsTilesOnTheSmsThatAreLeft) {
  Costs c;
  // 132 SMs less 20. 4096 x 7168 in tiles of 128 x 128 or larger: many waves on either.
  GemmQuery gemm{.m = 4096, .n = 7168, .k = 2048};
  const double whole = c.kernels.Of(gemm).time.value;
  gemm.sms = 112;
  const double left = c.kernels.Of(gemm).time.value;
  gemm.sms = 0;
  EXPECT_DOUBLE_EQ(c.Beside(gemm), whole / left);
  EXPECT_GT(c.Beside(gemm), 0.7);
  EXPECT_LT(c.Beside(gemm), 0.95);
  Costs none({"training/overlap/communication_sms=0"});
  EXPECT_EQ(none.Beside(gemm), 1);
  // One SM left computes 1 / 132 of what all do, or somewhat more: all wait for their last wave.
  Costs all({"training/overlap/communication_sms=131"});
  EXPECT_NEAR(all.Beside(gemm) * 132, 1.1, 0.1);
}

// HBM so slow that NVLink could fill it: the kernel beside the collective keeps half.
TEST(BesideTest, ACollectiveTakesNoMoreThanHalfTheHbm) {
  TrainingRun run = Costs().scenario.training().phases[0];
  const Op gather{.query = CollectiveQuery{CollectiveKind::kAllGather, GroupKind::kEp, GB(1)}};
  const auto share = [&] {
    KernelCosts kernels(*run.calibration);
    OpCosts costs = Costs::CostsOf(kernels, run, 1);
    return costs.Beside(gather, costs.Of(gather));
  };
  const BytesPerSecond hbm = run.cluster.device.hbm;
  const double of_all = share();
  run.cluster.device.hbm = hbm * (of_all / 0.4);
  EXPECT_NEAR(share(), 0.4, 1e-9);
  run.cluster.device.hbm = hbm * (of_all / 0.6);
  EXPECT_EQ(share(), 0.5);
}

TEST(BesideTest, WavesMakeTheRateOfAGemmOtherThanTheShareOfSms) {
  Costs c;
  double least = 1, most = 0;
  for (int64_t n = 2048; n <= 8192; n += 256) {
    const double rate = c.Beside(GemmQuery{.m = 2048, .n = n, .k = 4096});
    least = std::min(least, rate);
    most = std::max(most, rate);
  }
  EXPECT_LT(least, 112.0 / 132 - 0.03);
  EXPECT_GT(most, 112.0 / 132 + 0.03);
}

TEST(BesideTest, AttentionRunsAtTheShareOfSms) {
  Costs c;
  const AttentionQuery attention{
      .heads = 128, .kv_heads = 128, .qk_dim = 192, .query = 4096, .context = 4096};
  EXPECT_DOUBLE_EQ(c.Beside(attention), 112.0 / 132);
}

TEST(BesideTest, ACollectiveTakesHbmForEachByteSentTwiceAndThriceWhereItReduces) {
  Costs c;
  for (const auto& [kind, group, times] : {std::tuple(CollectiveKind::kDispatch, GroupKind::kEp, 2),
                                           {CollectiveKind::kAllGather, GroupKind::kData, 2},
                                           {CollectiveKind::kReduceScatter, GroupKind::kData, 3}}) {
    const CollectiveQuery query{kind, group, GB(1)};
    const PortBytes unit = c.costs.UnitBytes(query);
    const double seconds = c.costs.Of({.query = query}).time.value;
    EXPECT_DOUBLE_EQ(c.Beside(query),
                     times * 1e9 * (unit.nvlink + unit.network).value / seconds / 3.35e12);
    EXPECT_GT(c.Beside(query), 0);
    EXPECT_LT(c.Beside(query), 0.3);
  }
}

// V3 on few ranks, however they are laid out.
std::vector<std::string> Plain(const std::string& parallel, std::vector<std::string> sets = {}) {
  sets.insert(sets.begin(), {"unknown={}", "training/routing={}", "training/schedule=1f1b",
                             "training/stage_layers=balanced", "training/parallel=" + parallel});
  return sets;
}

// What `moecast collective` finds for the same ranks and SMs.
Seconds ByTheTable(const Costs& c, const CollectiveQuery& query, std::string_view named = "auto") {
  const TrainingRun& run = c.scenario.training().phases[0];
  CollectiveCall call{.kind = query.kind,
                      .group = GroupOf(c.costs.placement(), query.group, {}, 1),
                      .bytes = query.bytes,
                      .spread = c.costs.spread().uniform,
                      .sms = 0};
  if (query.kind == CollectiveKind::kDispatch || query.kind == CollectiveKind::kCombine)
    call.sms = run.plan.overlap.communication_sms;
  if (query.kind == CollectiveKind::kSend) {
    RankCoordinates next;
    next[Axis::kPp] = 1;
    for (const int gpu : c.costs.placement().Group(next, AxesOf(c.costs.placement(), query.group)))
      call.group.push_back(gpu);
  }
  const Routes routes(run.cluster);
  const CollectiveAlgorithm& algorithm = named == "auto"
                                             ? FastestAlgorithm(call, run.cluster, routes)
                                             : FindAlgorithm(call, named, routes);
  return TimeAlone(Lower(algorithm, call, routes), run.cluster);
}

// 27 plans and their groups, 1 byte to 10 GB.
TEST(OpCostsTest, ACollectiveCostsWhatItDoesByTheTable) {
  using enum CollectiveKind;
  using enum GroupKind;
  const std::pair<CollectiveKind, GroupKind> queries[] = {
      {kAllGather, kTp},   {kReduceScatter, kTp},         {kAllReduce, kTp},
      {kAllGather, kCp},   {kAllGather, kData},           {kReduceScatter, kData},
      {kAllReduce, kData}, {kReduceScatter, kExpertData}, {kDispatch, kEp},
      {kCombine, kEp},     {kSend, kPipelineNext},        {kAllReduce, kWorld}};
  Random rng(5);
  std::map<std::string_view, int> chosen;
  for (const char* tp : {"1", "4", "8"})
    for (const char* ep : {"1", "8", "32"})
      for (const char* sms : {"0", "1", "20"}) {
        Costs c(Plain(std::string(R"({"dp":32,"pp":2,"tp":)") + tp + R"(,"ep":)" + ep + "}",
                      {"training/overlap/tp=false",
                       std::string("training/overlap/communication_sms=") + sms}));
        for (const auto& [kind, group] : queries) {
          Seconds before;
          for (double bytes = 1 + rng.Uniform(); bytes < 1e10; bytes *= 30) {
            const CollectiveQuery query{kind, group, Bytes(bytes)};
            const Seconds time = c.costs.Of({.query = query}).time;
            EXPECT_NEAR(time.value, ByTheTable(c, query).value, 1e-12 * time.value)
                << NameOf(kind) << " over " << NameOf(group) << " of " << bytes << " B, tp " << tp
                << " ep " << ep;
            EXPECT_GE(time, before);
            before = time;
            if (time.value > 0) ++chosen[c.costs.Lower(query).algorithm->name];
          }
        }
      }
  for (const char* name : {"ring", "ring-ll", "tree", "nvls", "two-hop", "direct"})
    EXPECT_GT(chosen[name], 0) << name;
}

TEST(OpCostsTest, ANamedAlgorithmRunsItsKind) {
  const std::string plan = R"({"dp":32,"pp":2,"tp":4,"ep":16})";
  for (const auto& [field, kind, group, name] :
       {std::tuple("all_gather", CollectiveKind::kAllGather, GroupKind::kData, "hierarchical"),
        {"reduce_scatter", CollectiveKind::kReduceScatter, GroupKind::kData, "ring-ll"},
        {"all_reduce", CollectiveKind::kAllReduce, GroupKind::kTp, "ring"},
        {"dispatch", CollectiveKind::kDispatch, GroupKind::kEp, "store-and-forward"},
        {"dispatch", CollectiveKind::kDispatch, GroupKind::kEp, "direct"},
        {"combine", CollectiveKind::kCombine, GroupKind::kEp, "low-latency"}}) {
    Costs c(Plain(plan, {"training/overlap/tp=false",
                         std::string("training/collectives/") + field + "=" + name})),
        automatic(Plain(plan, {"training/overlap/tp=false"}));
    const CollectiveQuery query{kind, group, MB(64)};
    EXPECT_EQ(c.costs.Lower(query).algorithm->name, name);
    const Seconds time = c.costs.Of({.query = query}).time;
    EXPECT_NEAR(time.value, ByTheTable(c, query, name).value, 1e-12) << name;
    EXPECT_GT(time, automatic.costs.Of({.query = query}).time) << name;
  }
  // But for the one number over all ranks.
  Costs c({"unknown={}", "training/collectives/all_reduce=ring"});
  EXPECT_EQ(
      c.costs.Lower({CollectiveKind::kAllReduce, GroupKind::kWorld, Bytes(4)}).algorithm->name,
      "tree");
}

// 64 MiB over the 8 GPUs of a node: the switch, 1 1/8 of the buffer over 0.85 of 153 GB/s, after 25
// us. Pieces of a GEMM go around the ring.
TEST(OpCostsTest, AnAllReduceInsideANodeIsTheSwitchs) {
  const CollectiveQuery query{CollectiveKind::kAllReduce, GroupKind::kTp, MiB(64)};
  Costs whole(Plain(R"({"tp":8,"dp":8})", {"training/overlap/tp=false"})),
      pieces(Plain(R"({"tp":8,"dp":8})"));
  EXPECT_EQ(whole.costs.Lower(query).algorithm->name, "nvls");
  EXPECT_EQ(pieces.costs.Lower(query).algorithm->name, "ring-chunks");
  const double rate = whole.scenario.training().phases[0].cluster.device.nvlink_usable.value;
  EXPECT_NEAR(whole.costs.Of({.query = query}).time.value,
              25e-6 + MiB(64).value * 9 / 8 / (0.85 * rate), 1e-12);
}

// Parts one after the other are one Traffic that takes as long as they do.
TEST(OpCostsTest, WhatRunsInPartsIsStretchedToTheirSum) {
  Costs c(Plain(R"({"dp":32,"ep":32})", {"training/collectives/dispatch=store-and-forward"}));
  const OpCosts::Lowered lowered =
      c.costs.Lower({CollectiveKind::kDispatch, GroupKind::kEp, MB(1)});
  const Cluster& cluster = c.costs.cluster();
  const Traffic unit = c.costs.UnitTraffic(*lowered.algorithm, GroupKind::kEp, {});
  EXPECT_NEAR(BusyTime(unit, cluster) / lowered.per_byte, 1, 1e-12);
  EXPECT_GT(unit.stretch, 1.1);
}

// Inference engines have DeepEP's kernels for few tokens too and run what is faster for the size.
TEST(OpCostsTest, EnginesSendTokensByTheKernelsThatAreFaster) {
  TrainingRun run = Costs(Plain(R"({"dp":32,"ep":32})", {})).scenario.training().phases[0];
  KernelCosts kernels(*run.calibration);
  const auto by = [&](const char* name) {
    run.plan.collectives.dispatch = run.plan.collectives.combine = name;
    return Costs::CostsOf(kernels, run, 1);
  };
  const OpCosts normal = by("two-hop"), low_latency = by("low-latency"), engine = by("engine");
  const auto time = [](const OpCosts& costs, CollectiveKind kind, double bytes) {
    return costs.Lower({kind, GroupKind::kEp, Bytes(bytes)}).Time(Bytes(bytes));
  };
  for (const CollectiveKind kind : {CollectiveKind::kDispatch, CollectiveKind::kCombine})
    for (const double bytes : {1e3, 1e5, 1e6, 1e7, 1e9})
      EXPECT_EQ(time(engine, kind, bytes),
                std::min(time(normal, kind, bytes), time(low_latency, kind, bytes)))
          << bytes;
  const auto chosen = [&](double bytes) {
    const CollectiveQuery query{CollectiveKind::kDispatch, GroupKind::kEp, Bytes(bytes)};
    return engine.Lower(query).algorithm->name;
  };
  EXPECT_EQ(chosen(1e5), "low-latency");
  EXPECT_EQ(chosen(1e9), "two-hop");
}

// Eight ranks share a set of whole experts: two of tp times four of the eight of dp; the rest of dp
// is two replicas of the set. Cut experts are shared by as many as ep says, each with its tp rank.
TEST(OpCostsTest, RanksThatShareWholeExpertsAreOfTpToo) {
  const Placement whole = PlacementOf({.tp = 2, .ep = 8, .expert_tp = 1, .dp = 8});
  const Placement cut = PlacementOf({.tp = 2, .ep = 4, .dp = 8});
  EXPECT_EQ(GroupOf(whole, GroupKind::kEp, {}, 1), (std::vector{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(GroupOf(cut, GroupKind::kEp, {}, 1), (std::vector{0, 2, 4, 6}));
  for (const Placement& p : {whole, cut}) {
    EXPECT_EQ(GroupOf(p, GroupKind::kExpertData, {}, 1), (std::vector{0, 8}));
    EXPECT_EQ(GroupOf(p, GroupKind::kTp, {}, 1), (std::vector{0, 1}));
    EXPECT_EQ(GroupOf(p, GroupKind::kData, {}, 1).size(), 8u);
  }
}

// Experts are on 128 / 64 = 2 data-parallel ranks a stage, with two copies of the model on 4.
TEST(OpCostsTest, GradientsAreReducedOverTheRanksOfAllCopies) {
  const CollectiveQuery experts{CollectiveKind::kReduceScatter, GroupKind::kExpertData, GB(1)};
  const CollectiveQuery dispatch{CollectiveKind::kDispatch, GroupKind::kEp, GB(1)};
  Costs one, two({}, 2);
  const auto sent = [](Costs& c, const CollectiveQuery& q) {
    const PortBytes unit = c.costs.UnitBytes(q);
    return (unit.nvlink + unit.network).value;
  };
  EXPECT_DOUBLE_EQ(sent(one, experts), 1.0 / 2);
  EXPECT_DOUBLE_EQ(sent(two, experts), 3.0 / 4);
  EXPECT_DOUBLE_EQ(sent(one, dispatch), sent(two, dispatch));
}

}  // namespace
}  // namespace moecast
