#include "costmodel/shard.h"

#include <gtest/gtest.h>

#include <functional>
#include <unordered_map>
#include <vector>

#include "base/mixer.h"
#include "costmodel/plan.h"
#include "tests/each_change.h"

namespace moecast {
namespace {

Plan SomePlan() {
  Plan plan;
  plan.parallel = {.tp = 2, .pp = 4, .ep = 4, .cp = 2, .dp = 8};
  plan.recompute = {Recompute::kRmsNorm, Recompute::kSwiGlu};
  return plan;
}

struct Hash {
  size_t operator()(const ShardPlan& shard) const { return Mixer()(shard); }
};

TEST(ShardPlanTest, PlansThatDifferInHowRanksWorkTogetherHaveOne) {
  const std::vector<std::function<void(Plan&)>> changes = {
      [](Plan& p) { p.parallel.pp = 8; },
      [](Plan& p) { p.parallel.vpp = 2; },
      [](Plan& p) { p.parallel.expert_tp = 2; },  // as tp, which is what its absence says
      [](Plan& p) {
        p.parallel.rank_order = {Axis::kEp, Axis::kTp, Axis::kCp, Axis::kEdp, Axis::kPp};
      },
      [](Plan& p) { p.micro_batch = 4; },
      [](Plan& p) { p.schedule = "zb-h1"; },
      [](Plan& p) {
        p.stage_layers.layers = {1, 2};
      },
      [](Plan& p) { p.phases.push_back({}); },
      [](Plan& p) { p.routing.device_cv = 0.3; },  // which the load of a Work holds
      [](Plan& p) {
        p.recompute = {Recompute::kSwiGlu, Recompute::kRmsNorm};
      },
  };
  std::unordered_map<ShardPlan, int, Hash> seen = {{ShardOf(SomePlan()), 1}};
  for (size_t i = 0; i < changes.size(); ++i) {
    Plan plan = SomePlan();
    changes[i](plan);
    EXPECT_EQ(seen.count(ShardOf(plan)), 1u) << i;
  }
}

TEST(ShardPlanTest, WhateverChangesARanksOpsCostsOrMemoryTellsThemApart) {
  const std::vector<std::function<void(Plan&)>> changes = {
      [](Plan& p) { p.parallel.tp = 4; },
      [](Plan& p) { p.parallel.cp = 1; },
      [](Plan& p) { p.parallel.ep = 8; },
      [](Plan& p) { p.parallel.expert_tp = 1; },
      [](Plan& p) { p.parallel.dp = 16; },
      [](Plan& p) { p.parallel.zero = 2; },
      [](Plan& p) { p.parallel.sequence = false; },
      [](Plan& p) { p.precision.gemm = Dtype::kFp8; },
      [](Plan& p) { p.precision.dispatch = Dtype::kFp8; },
      [](Plan& p) { p.precision.combine = Dtype::kFp8; },
      [](Plan& p) { p.precision.saved_activations = Dtype::kFp8; },
      [](Plan& p) { p.precision.saved_swiglu = Dtype::kFp8; },
      [](Plan& p) { p.precision.weights = Dtype::kFp8; },
      [](Plan& p) { p.precision.main_grad = Dtype::kBf16; },
      [](Plan& p) { p.precision.grad_reduce = Dtype::kFp32; },
      [](Plan& p) { p.precision.master = Dtype::kBf16; },
      [](Plan& p) { p.precision.moments = Dtype::kBf16; },
      [](Plan& p) { p.overlap.shared_experts = false; },
      [](Plan& p) { p.overlap.tp = false; },
      [](Plan& p) { p.overlap.grad_reduce = false; },
      [](Plan& p) { p.overlap.param_gather = false; },
      [](Plan& p) { p.overlap.offload = false; },
      [](Plan& p) { p.overlap.communication_sms = 8; },
      [](Plan& p) { p.collectives.all_gather = "ring"; },
      [](Plan& p) { p.collectives.reduce_scatter = "ring"; },
      [](Plan& p) { p.collectives.all_reduce = "ring"; },
      [](Plan& p) { p.collectives.dispatch = "direct"; },
      [](Plan& p) { p.collectives.combine = "direct"; },
      [](Plan& p) { p.routing.topk_group = 3; },
      [](Plan& p) { p.recompute.pop_back(); },
      [](Plan& p) { p.fused_cross_entropy = true; },
      [](Plan& p) { p.optimizer.offload = 0.5; },
  };
  const ShardPlan shard = ShardOf(SomePlan());
  for (size_t i = 0; i < changes.size(); ++i) {
    Plan plan = SomePlan();
    changes[i](plan);
    EXPECT_NE(ShardOf(plan), shard) << i;
  }
  ShardPlan cached = shard, shared = shard, absorbed = shard;
  cached.kv_bits = 8;
  EXPECT_NE(cached, shard);
  shared.whole_shared_experts = true;
  EXPECT_NE(shared, shard);
  absorbed.chunked_prefix_cache_threshold = 8192;
  EXPECT_NE(absorbed, shard);
}

// Six sizes and flags, ten formats of which one may be absent, six overlaps, five
// collectives, topk_group, which may be absent too, and seven behind it.
TEST(ShardPlanTest, AnyMemberMakesAnotherKey) {
  ShardPlan shard = ShardOf(SomePlan());
  shard.precision.weights = Dtype::kBf16;
  shard.topk_group = 3;
  const Changes changes = ChangesOf(shard);
  EXPECT_EQ(changes.all, 6 + (10 + 1) + 6 + 5 + (1 + 1) + 8);
  EXPECT_EQ(changes.same_value, 0);
  EXPECT_EQ(changes.same_hash, 0);
}

// 8 sequences of 1024 over cp 2: 4096 tokens a rank, of which sequence parallelism leaves tp 2 half
// each.
TEST(ShardPlanTest, ContextParallelRanksShareTheTokensAndSequenceParallelOnesThoseOutsideTp) {
  const Work work = MicroBatchOf(8, 1024);
  ShardPlan shard{.tp = 2, .cp = 2};
  EXPECT_EQ(RankTokensOf(work, shard).in_tp, 4096);
  EXPECT_EQ(RankTokensOf(work, shard).outside_tp, 2048);
  shard.sequence = false;
  EXPECT_EQ(RankTokensOf(work, shard).in_tp, 4096);
  EXPECT_EQ(RankTokensOf(work, shard).outside_tp, 4096);
}

TEST(ShardPlanTest, GradientsAreReducedWhereAParameterIsOnSeveralRanks) {
  EXPECT_FALSE(ReducesGradients({.tp = 8}, 1));
  EXPECT_TRUE(ReducesGradients({.tp = 8}, 2));
  EXPECT_TRUE(ReducesGradients({.cp = 2}, 1));
  EXPECT_TRUE(ReducesGradients({.dp = 2}, 1));
}

}  // namespace
}  // namespace moecast
