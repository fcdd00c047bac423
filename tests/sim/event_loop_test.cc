// Steps whose collectives are run on the network only where they meet, against the slow reference:
// every collective on the network.
#include "sim/engine/event_loop.h"

#include <gtest/gtest.h>

#include <optional>

#include "scenarios/scenario.h"
#include "sim/forecast/prepared_run.h"
#include "sim/network/fluid_network.h"
#include "sim/training/step_links.h"
#include "tests/sim/random_plans.h"

namespace moecast {
namespace {

using Spans = std::vector<std::vector<BlockSpan>>;

void ExpectEqual(const Spans& a, const Spans& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t t = 0; t < a.size(); ++t) {
    ASSERT_EQ(a[t].size(), b[t].size()) << "task " << t;
    for (size_t i = 0; i < a[t].size(); ++i) {
      ASSERT_EQ(a[t][i].at, b[t][i].at) << "task " << t << ", block " << i;
      ASSERT_EQ(a[t][i].end, b[t][i].end) << "task " << t << ", block " << i;
      ASSERT_EQ(a[t][i].ops.size(), b[t][i].ops.size()) << "task " << t << ", block " << i;
      for (size_t op = 0; op < a[t][i].ops.size(); ++op) {
        ASSERT_EQ(a[t][i].ops[op].start, b[t][i].ops[op].start) << "task " << t << ", op " << op;
        ASSERT_EQ(a[t][i].ops[op].end, b[t][i].ops[op].end) << "task " << t << ", op " << op;
      }
    }
  }
}

// Lanes of a rank each with a task each, of these programs.
Schedule LanesOf(std::vector<Program> programs) {
  Schedule schedule;
  schedule.lane_begin = {0};
  schedule.dependency_begin = {0};
  for (int32_t l = 0; l < static_cast<int32_t>(programs.size()); ++l) {
    schedule.lanes.push_back({.rank = l});
    schedule.lane_begin.push_back(l + 1);
    schedule.dependency_begin.push_back(0);
    schedule.program_of.push_back(l);
  }
  schedule.programs = std::move(programs);
  return schedule;
}
LinkedBlock BlockOf(const CostedOps& ops, std::vector<Seconds> time,
                    std::vector<LinkedCollective> shared) {
  LinkedBlock block;
  block.costed = &ops;
  block.time = std::move(time);
  block.shared = std::move(shared);
  return block;
}

// Two lanes that compute 1 s and 3 s and then send 4 GB and 1 GB over links of 1 GB/s. On links of
// their own they end after 5 and 4 s. On one link the first has sent 2 GB when the second comes;
// then both have half of it, the second ends at 5 s, and the first has 1 GB left and ends at 6 s.
TEST(RunSharedTest, ThoseThatMeetOnALinkShareItFromThenOn) {
  const Schedule schedule = LanesOf({{{0, 1}}, {{1, 1}}});
  CostedOps ops;
  ops.ops = {{.query = GemmQuery{}}, {.query = CollectiveQuery{}, .after = 0}};
  ops.costs.resize(2);
  ops.beside = {1, 0};
  const std::vector<BytesPerSecond> capacity(2, GBps(1));
  for (const LinkId second : {0, 1}) {
    std::vector<UnitCollective> units(2);
    LinkedSchedule linked(schedule, 2);
    FairShares shares(capacity);
    for (int32_t l = 0; l < 2; ++l) {
      units[l].per_byte = Seconds(1e-9);
      units[l].flows = {{.links = {{l == 0 ? 0 : second}}, .bytes = Bytes(1)}};
      units[l].meets = {l == 0 ? 0 : second};
      FindPhases(units[l], shares);
      linked.Set(l, l,
                 BlockOf(ops, {Seconds(l == 0 ? 1 : 3), Seconds(0)},
                         {{}, {&units[l], l == 0 ? 4e9 : 1e9, 1}}));
    }
    FluidNetwork network(capacity);
    const NetworkedTiming timings[] = {RunOnNetwork(linked, network), RunShared(linked, capacity)};
    for (const NetworkedTiming& t : timings) {
      EXPECT_EQ(t.timing.end[0], Time::From(Seconds(second == 0 ? 6 : 5)));
      EXPECT_EQ(t.timing.end[1], Time::From(Seconds(second == 0 ? 5 : 4)));
      EXPECT_EQ(t.flows, 2);
    }
  }
}

// A collective that only has links to share on another rank ends where its latency does: 1 s of
// compute and 2 s of latency beside one of 3 s and 1 GB over a link of 1 GB/s.
TEST(RunSharedTest, WhatPutsNothingOnLinksEndsWhenItsLatencyDoes) {
  CostedOps ops;
  ops.ops = {{.query = GemmQuery{}}, {.query = CollectiveQuery{}, .after = 0}};
  ops.costs.resize(2);
  ops.beside = {1, 0};
  const std::vector<BytesPerSecond> capacity(1, GBps(1));
  FairShares shares(capacity);
  UnitCollective nothing{.alpha = Seconds(2)};
  UnitCollective sends{.per_byte = Seconds(1e-9)};
  sends.flows = {{.links = {{0}}, .bytes = Bytes(1)}};
  sends.meets = {0};
  FindPhases(nothing, shares);
  FindPhases(sends, shares);
  const Schedule schedule = LanesOf({{{0, 1}}, {{1, 1}}});
  LinkedSchedule linked(schedule, 2);
  linked.Set(0, 0, BlockOf(ops, {Seconds(1), Seconds(0)}, {{}, {&nothing, 1e9, 1}}));
  linked.Set(1, 1, BlockOf(ops, {Seconds(3), Seconds(0)}, {{}, {&sends, 1e9, 1}}));
  FluidNetwork network(capacity);
  const NetworkedTiming timings[] = {RunOnNetwork(linked, network), RunShared(linked, capacity)};
  for (const NetworkedTiming& t : timings) {
    EXPECT_EQ(t.timing.end[0], Time::From(Seconds(3)));
    EXPECT_EQ(t.timing.end[1], Time::From(Seconds(4)));
  }
}

// Over links of a byte a picosecond a rank sends 200.7 bytes from 100.6 ps and 201.4 from 100.4.
// Times are whole picoseconds: the first is sent at 101 and ends at 302, the second at 100 and 301,
// though to the last bit it ends later, at 301.8. Another rank comes to the first one's link at
// 301: the first runs on beside it and the second has just ended.
TEST(RunSharedTest, WhatHasEndedByRoundingWhenAnotherIsMetHasEnded) {
  constexpr double kPs = 1e-12;
  CostedOps two, one, compute;
  two.ops = {{.query = CollectiveQuery{.group = GroupKind::kTp}},
             {.query = CollectiveQuery{.group = GroupKind::kEp}}};
  two.beside = {0, 0};
  one.ops = {{.query = GemmQuery{}}, {.query = CollectiveQuery{}, .after = 0}};
  one.beside = {1, 0};
  compute.ops = {{.query = GemmQuery{}}};
  compute.beside = {1};
  for (CostedOps* ops : {&two, &one, &compute}) ops->costs.resize(ops->ops.size());
  const std::vector<BytesPerSecond> capacity(2, BytesPerSecond(1e12));
  FairShares shares(capacity);
  std::vector<UnitCollective> units(3);
  const LinkId links[] = {0, 1, 0};
  const double alphas[] = {100.6, 100.4, 0};
  for (size_t u = 0; u < units.size(); ++u) {
    units[u].alpha = Seconds(alphas[u] * kPs);
    units[u].per_byte = Seconds(kPs);
    units[u].flows = {{.links = {{links[u]}}, .bytes = Bytes(1)}};
    units[u].meets = {links[u]};
    FindPhases(units[u], shares);
  }
  const Schedule schedule = LanesOf({{{0, 1}, {2, 1}}, {{1, 1}}});
  LinkedSchedule linked(schedule, 3);
  linked.Set(
      0, 0, BlockOf(two, {Seconds(0), Seconds(0)}, {{&units[0], 200.7, 1}, {&units[1], 201.4, 1}}));
  linked.Set(1, 1, BlockOf(one, {Seconds(301 * kPs), Seconds(0)}, {{}, {&units[2], 1000, 1}}));
  LinkedBlock after = BlockOf(compute, {Seconds(1000 * kPs)}, {});
  after.alone = Seconds(1000 * kPs);
  linked.Set(0, 2, std::move(after));
  FluidNetwork network(capacity);
  const NetworkedTiming timings[] = {RunOnNetwork(linked, network), RunShared(linked, capacity)};
  for (const NetworkedTiming& t : timings) {
    EXPECT_EQ(t.timing.end[0], Time{1302});  // 301.8 + 1000
    EXPECT_EQ(t.timing.end[1], timings[0].timing.end[1]);
  }
}

struct Compared {
  int64_t flows = 0;
  bool slowed = false;
};

// Both ways of each phase of the scenario.
Compared ExpectSame(const std::string& scenario, std::vector<std::string> sets) {
  Compared all;
  sets.insert(sets.begin(), "unknown={}");
  const Scenario loaded = Scenario::Load(scenario, sets);
  for (TrainingRun run : loaded.training().phases) {
    run.level = Level::kAnalytic;
    StepCache cache;
    const PreparedPhase phase(run, cache);
    const Step& step = phase.step();
    const StepFlows flows = FlowsOf(SendersOf(step, StepExtent::kOneGpuPerStage), *step.costs);
    const LinkedSchedule linked = Linked(step, flows);
    Spans of_all, of_some;
    FluidNetwork network(flows.capacities());
    const NetworkedTiming a = RunOnNetwork(linked, network, &of_all);
    const NetworkedTiming b = RunShared(linked, flows.capacities(), &of_some);
    EXPECT_EQ(a.flows, b.flows);
    EXPECT_EQ(a.timing.total, b.timing.total);
    for (size_t t = 0; t < a.timing.end.size(); ++t) {
      EXPECT_EQ(a.timing.start[t].ps, b.timing.start[t].ps) << "task " << t;
      EXPECT_EQ(a.timing.end[t].ps, b.timing.end[t].ps) << "task " << t;
      if (testing::Test::HasFailure()) break;
    }
    EXPECT_EQ(a.timing.arrival, b.timing.arrival);
    if (!testing::Test::HasFailure()) ExpectEqual(of_all, of_some);
    all.flows += a.flows;
    all.slowed = all.slowed || a.timing.total - step.timing.total > Time{1000000};
  }
  return all;
}

struct LoopCase {
  const char* name;
  const char* scenario;
  std::vector<std::string> sets;
};
void PrintTo(const LoopCase& c, std::ostream* out) {
  *out << c.name;
}

const char kAcrossNodes[] = "training/parallel/rank_order=[\"tp\",\"cp\",\"dp\",\"ep\",\"pp\"]";

class RunSharedPlanTest : public testing::TestWithParam<LoopCase> {};

TEST_P(RunSharedPlanTest, IsARunOfEveryCollectiveOnTheNetwork) {
  EXPECT_GT(ExpectSame(GetParam().scenario, GetParam().sets).flows, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Plans, RunSharedPlanTest,
    testing::Values(
        LoopCase{"v2", "deepseek-v2-pretrain", {}},
        LoopCase{"v2_across_nodes", "deepseek-v2-pretrain", {kAcrossNodes}},
        LoopCase{"v2_one_f_one_b",
                 "deepseek-v2-pretrain",
                 {kAcrossNodes, "training/schedule=1f1b", "training/weight_delay=null"}},
        LoopCase{"v2_dual_pipe",
                 "deepseek-v2-pretrain",
                 {"training/schedule=dualpipe", "training/weight_delay=null"}},
        LoopCase{"v2_zero_2",
                 "deepseek-v2-pretrain",
                 {kAcrossNodes, "training/parallel/zero=2", "training/phases/0/global_batch=2304"}},
        LoopCase{"v2_zero_3",
                 "deepseek-v2-pretrain",
                 {"training/parallel/zero=3", "training/phases/0/global_batch=2304"}},
        LoopCase{"ep_32_on_a_fat_tree",
                 "deepseek-v2-pretrain",
                 {"cluster=h800-2048-fat-tree", "training/parallel/ep=32",
                  "training/phases/0/global_batch=2304"}},
        LoopCase{"programme", "deepseek-v2-programme", {}},
        LoopCase{"v3", "deepseek-v3-pretrain", {}}, LoopCase{"dense", "deepseek-67b-pretrain", {}},
        LoopCase{"tensors_and_experts",
                 "deepseek-v2-pretrain",
                 {"training/parallel={\"tp\":2,\"cp\":2,\"pp\":8,\"vpp\":2,\"ep\":8,\"dp\":32}",
                  "training/schedule=dualpipev", "training/weight_delay=null",
                  "training/phases/0/global_batch=1024"}}),
    [](const testing::TestParamInfo<LoopCase>& of) { return std::string(of.param.name); });

TEST(SlowRunSharedPlanTest, IsARunOfEveryCollectiveOnTheNetworkForAnyPlan) {
  Random rng(11);
  int compared = 0, slowed = 0, paired = 0;
  for (int i = 0; compared < 220; ++i) {
    RandomPlan plan = AnyPlan(rng);
    if (rng.Below(3) == 0) plan.sets.push_back(kAcrossNodes);
    SCOPED_TRACE(plan.Text());
    try {
      const Compared both = ExpectSame(plan.scenario, plan.sets);
      if (both.flows == 0) continue;
      ++compared;
      slowed += both.slowed;
      paired += plan.Text().find("=dualpipe") != std::string::npos;
    } catch (const UserError&) {
    }
    ASSERT_FALSE(HasFailure());
  }
  // Or the plans above test nothing.
  EXPECT_GT(slowed, 50);
  EXPECT_GT(paired, 20);
}

}  // namespace
}  // namespace moecast
