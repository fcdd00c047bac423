#include "costmodel/op_cost.h"

#include <gtest/gtest.h>

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
