// A step whose collectives share links: against the sum of its parts, against itself with every
// rank a flow, against SimGrid.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "scenarios/builtin.h"
#include "scenarios/scenario.h"
#include "sim/forecast/why.h"
#include "sim/network/fluid_network.h"
#include "sim/network/simgrid_network.h"
#include "sim/training/breakdown.h"
#include "sim/training/step_links.h"
#include "sim/training/timeline.h"

namespace moecast {
namespace {

using Sets = std::vector<std::string>;

// Expert parallelism over the network: a stage's replicas are its innermost axis.
const char kAcrossNodes[] = "training/parallel/rank_order=[\"tp\",\"cp\",\"dp\",\"ep\",\"pp\"]";

struct NetworkCase {
  const char* name;
  const char* scenario;
  Sets sets;
};

void PrintTo(const NetworkCase& c, std::ostream* out) {
  *out << c.scenario;
  for (const std::string& s : c.sets) *out << " " << s;
}

const NetworkCase kCases[] = {
    {"v2", "deepseek-v2-pretrain", {"training/phases/0/global_batch=2304"}},
    {"v2_across_nodes",
     "deepseek-v2-pretrain",
     {kAcrossNodes, "training/phases/0/global_batch=2304"}},
    {"v2_one_f_one_b",
     "deepseek-v2-pretrain",
     {kAcrossNodes, "training/schedule=1f1b", "training/weight_delay=null",
      "training/phases/0/global_batch=2304"}},
    {"v2_zero_2",
     "deepseek-v2-pretrain",
     {kAcrossNodes, "training/parallel/zero=2", "training/phases/0/global_batch=2304"}},
    {"v2_routed",
     "deepseek-v2-pretrain",
     {kAcrossNodes, "training/phases/0/global_batch=2304", "training/phases/0/sequence_length=512",
      "training/routing={}", "training/routing/tokens/distribution=zipf"}},
    {"v3_dual_pipe", "deepseek-v3-pretrain", {"training/phases/0/global_batch=4096"}},
    {"dense", "deepseek-67b-pretrain", {"training/phases/0/global_batch=512"}},
    {"lite", "deepseek-v2-lite-pretrain", {"training/phases/0/global_batch=512"}},
};

StepFlows FlowsOf(const Step& step) {
  return FlowsOf(SendersOf(step, StepExtent::kOneGpuPerStage), *step.costs);
}

class StepOnNetworkTest : public testing::TestWithParam<NetworkCase> {
 protected:
  void SetUp() override {
    Sets sets = GetParam().sets;
    sets.insert(sets.begin(), "unknown={}");
    run_ = Scenario::Load(GetParam().scenario, sets).training().phases.front();
  }
  TrainingRun run_;
  StepCache cache_;
};

TEST_P(StepOnNetworkTest, OnLinksTooFastToMatterItIsTheStepAlone) {
  // Only transfers without bandwidth to share stay: both engines then have nothing but latency and
  // compute.
  run_.cluster.nic_usable = run_.cluster.nic = GBps(1e6);
  run_.cluster.device.nvlink_usable = run_.cluster.device.nvlink = run_.cluster.device.pcie_usable =
      GBps(1e6);
  run_.cluster.send_piece = Seconds(0);
  run_.level = Level::kAnalytic;
  const PreparedPhase phase(run_, cache_);
  const StepFlows flows = FlowsOf(phase.step());
  FluidNetwork network(flows.capacities());
  const NetworkedTiming step = RunOnNetwork(Linked(phase.step(), flows), network);
  // A send keeps its time per message, which no rate takes away: where both directions send at once
  // they meet.
  EXPECT_NEAR(step.timing.total.seconds() / phase.step().timing.total.seconds(), 1,
              phase.step().pipeline->pairs ? 3e-3 : 2e-6);
}

TEST_P(StepOnNetworkTest, SharedLinksNeverMakeItFaster) {
  const PreparedPhase shared(run_, cache_);
  run_.level = Level::kAnalytic;
  const PreparedPhase alone(run_, cache_);
  EXPECT_GE(StepTime(shared.step()).value, StepTime(alone.step()).value - 1e-9);
  EXPECT_LT(shared.step().stretch, 1.1);
  EXPECT_NEAR(UncontendedStepTime(shared.step()) / StepTime(alone.step()), 1, 1e-12);
  // What a lane loses to shared links is what its tasks take longer than alone, none of them less.
  const TrainingSchedule& s = shared.step().schedule();
  const std::vector<LaneTime> lanes = LaneTimes(shared.step()),
                              lanes_alone = LaneTimes(alone.step());
  for (size_t lane = 0; lane < lanes.size(); ++lane) {
    double longer = 0, waited = 0;
    for (int32_t t = s.lane_begin[lane]; t < s.lane_begin[lane + 1]; ++t) {
      const auto took = [t](const PreparedPhase& p) {
        return static_cast<double>((p.step().timing.end[t] - p.step().timing.start[t]).ps);
      };
      EXPECT_GE(took(shared), took(alone) - kRoundingOfTask.value * 1e12) << "task " << t;
      if (OfPipeline(s.tasks[t].phase)) longer += (took(shared) - took(alone)) * 1e-12;
    }
    const double rounding = kRoundingOfTask.value * (s.lane_begin[lane + 1] - s.lane_begin[lane]);
    EXPECT_NEAR(lanes[lane].contention.value, longer, rounding);
    EXPECT_EQ(lanes[lane].blocks.total, lanes_alone[lane].blocks.total);
    for (const LaneTime* l : {&lanes[lane], &lanes_alone[lane]})
      waited += (l == &lanes[lane] ? 1 : -1) * (l->bubble + l->grad_reduce + l->param_gather).value;
    EXPECT_NEAR((StepTime(shared.step()) - StepTime(alone.step())).value, longer + waited,
                2 * rounding);
  }
}

using SlowStepOnNetworkTest = StepOnNetworkTest;
TEST_P(SlowStepOnNetworkTest, OneGpuPerStageStandsForTheReplica) {
  const PreparedPhase phase(run_, cache_);
  const auto fluid = [](std::span<const BytesPerSecond> capacity) {
    return std::make_unique<FluidNetwork>(capacity);
  };
  const ReplicaTimes replica = CompareOnReplica(phase.step(), fluid, fluid);
  EXPECT_EQ(replica.farthest, Seconds(0));
  EXPECT_NEAR(replica.first / phase.step().timing.total.seconds(), 1, 1e-6);
}

TEST_P(StepOnNetworkTest, SimGridGivesTheSameTimes) {
  if (::access(MOECAST_SIMGRID, X_OK) != 0)
    GTEST_SKIP() << "moecast-simgrid is not built: no SimGrid was found";
  const PreparedPhase phase(run_, cache_);
  const StepFlows flows = FlowsOf(phase.step());
  FluidNetwork fluid(flows.capacities());
  SimgridNetwork simgrid(
      std::make_unique<ChildProcess>(MOECAST_SIMGRID, std::vector<std::string>{}),
      flows.capacities());
  const LinkedSchedule linked = Linked(phase.step(), flows);
  const Timing ours = RunOnNetwork(linked, fluid).timing;
  const Timing theirs = RunOnNetwork(linked, simgrid).timing;
  for (size_t t = 0; t < ours.end.size(); ++t) {
    const double a = static_cast<double>(ours.end[t].ps), b = static_cast<double>(theirs.end[t].ps);
    ASSERT_NEAR(a, b, std::max(1000.0, 1e-6 * b)) << "task " << t;
  }
}

TEST_P(StepOnNetworkTest, TasksKeepOrderAndWaitForWhatTheyNeed) {
  const PreparedPhase phase(run_, cache_);
  const Step& step = phase.step();
  const TrainingSchedule& s = step.schedule();
  for (size_t lane = 0; lane < s.lanes.size(); ++lane)
    for (int32_t t = s.lane_begin[lane]; t < s.lane_begin[lane + 1]; ++t) {
      Time ready = t > s.lane_begin[lane] ? step.timing.end[t - 1] : Time{};
      for (int32_t d = s.dependency_begin[t]; d < s.dependency_begin[t + 1]; ++d) {
        ready = std::max(ready, step.ArrivalOf(d));
        EXPECT_GE(step.ArrivalOf(d), step.timing.end[s.dependencies[d].task]);
      }
      ASSERT_EQ(step.timing.start[t], ready) << "task " << t;
    }
}

TEST_P(StepOnNetworkTest, ItsPathAndItsLanesSumToTheStep) {
  const PreparedPhase phase(run_, cache_);
  const PreparedPhase even = WithEvenLoads(phase, cache_);
  Seconds path;
  for (const Cause& c : CriticalPath(phase.step(), even.step())) path += c.time;
  EXPECT_NEAR(path.value, StepTime(phase.step()).value, 1e-6);
  for (const LaneTime& lane : LaneTimes(phase.step())) {
    EXPECT_NEAR(lane.total().value, StepTime(phase.step()).value, 1e-6);
    EXPECT_GE(lane.contention.value, -1e-6);
  }
}

// A task's blocks follow one another from its start to its end, and the ops of a block lie within
// it, those of one stream one after another.
TEST_P(StepOnNetworkTest, TheTimelineShowsOpsWithinTheirTasks) {
  const PreparedPhase phase(run_, cache_);
  const Timeline t = TimelineOf(phase.step());
  // The first span of each Timeline::Task is a task or a block, the others are its ops.
  std::map<int32_t, int32_t> whole;
  const auto is_op = [&](int32_t i) { return whole.at(t.spans[i].task) != i; };
  int ops = 0, blocks = 0;
  for (int32_t i = 0; i < static_cast<int32_t>(t.spans.size()); ++i) {
    const Timeline::Span& span = t.spans[i];
    ASSERT_LE(span.start, span.end);
    if (whole.try_emplace(span.task, i).second) continue;
    const Timeline::Span& outer = t.spans[whole[span.task]];
    EXPECT_EQ(t.tracks[span.track].process, t.tracks[outer.track].process);
    EXPECT_GE(span.start, outer.start) << t.names[span.name];
    EXPECT_LE(span.end, outer.end) << t.names[span.name];
    ++ops;
  }
  for (const std::vector<int32_t>& track : SpansByTrack(t)) {
    std::vector<int32_t> open;  // the spans that the one at hand lies in
    Time ended;
    const Timeline::Span* previous_block = nullptr;
    const auto close_task = [&](const Timeline::Span& task) {
      if (previous_block && phase.step().flows > 0) {
        EXPECT_NEAR(static_cast<double>(previous_block->end.ps), static_cast<double>(task.end.ps),
                    1);
      }
      previous_block = nullptr;
    };
    for (const int32_t i : track) {
      const Timeline::Span& span = t.spans[i];
      while (!open.empty() && span.start >= t.spans[open.back()].end) {
        if (open.size() == 1) close_task(t.spans[open.back()]);
        open.pop_back();
      }
      if (!open.empty()) {
        ASSERT_LE(span.end, t.spans[open.back()].end) << t.names[span.name];
      }
      if (open.size() == 1 && !is_op(i)) {
        EXPECT_EQ(span.start, previous_block ? previous_block->end : t.spans[open.back()].start);
        previous_block = &span;
        ++blocks;
      }
      if (is_op(i)) {
        EXPECT_GE(span.start, ended) << t.names[span.name];
        ended = span.end;
      }
      open.push_back(i);
    }
  }
  EXPECT_GT(ops, 100);
  EXPECT_TRUE(blocks > 10 || phase.step().pipeline->pairs);
}

std::string NameOf(const testing::TestParamInfo<NetworkCase>& of) {
  return of.param.name;
}
INSTANTIATE_TEST_SUITE_P(Plans, StepOnNetworkTest, testing::ValuesIn(kCases), NameOf);
INSTANTIATE_TEST_SUITE_P(Plans, SlowStepOnNetworkTest, testing::ValuesIn(kCases), NameOf);

// Each is one of its kind's rows, and `moecast collective` knows it by that name.
TEST(StepFlowsTest, EveryCollectiveOfEveryScenarioIsARowOfTheTable) {
  int collectives = 0;
  for (const std::string_view name : BuiltinNames("training")) {
    const Scenario scenario = Scenario::Load(std::string(name), {});
    for (const TrainingRun& run : scenario.training().phases) {
      StepCache cache;
      const PreparedPhase phase(run, cache);
      phase.step().blocks.Each([&](const StepBlock& block) {
        for (const Op& op : block.costed.ops) {
          const auto* query = std::get_if<CollectiveQuery>(&op.query);
          if (!query) continue;
          ASSERT_TRUE(query->algorithm);
          EXPECT_TRUE(FindAlgorithm(query->kind, query->algorithm->name)) << NameOf(query->kind);
          ++collectives;
        }
      });
    }
  }
  EXPECT_GT(collectives, 100);
}

TEST(StepFlowsTest, ExpertsOnTheirNodesShareNvlinkWithReductionsAndNothingWithSends) {
  StepCache cache;
  const Sets sets{"unknown={}"};
  const TrainingRun run = Scenario::Load("deepseek-v2-pretrain", sets).training().phases.front();
  const PreparedPhase phase(run, cache);
  const std::shared_ptr<const OpCosts> costs = cache.CostsFor(run, 1);
  const StepFlows flows = FlowsOf(phase.step());
  const auto query = [&](CollectiveKind kind, GroupKind group) {
    CollectiveQuery of{kind, group, MB(10)};
    of.algorithm = costs->Lower(of).algorithm;
    return of;
  };
  const CollectiveQuery dispatch = query(CollectiveKind::kDispatch, GroupKind::kEp);
  for (int s = 0; s < run.plan.parallel.pp; ++s) {
    // Rings over all replicas' ranks run through each node.
    EXPECT_TRUE(flows.Of(s, dispatch).shared());
    EXPECT_TRUE(
        flows.Of(s, query(CollectiveKind::kReduceScatter, GroupKind::kExpertData)).shared());
    for (const UnitFlow& flow : flows.Of(s, dispatch).flows)
      for (const LinkShare& share : flow.links)
        EXPECT_FALSE(IsNetwork(run.cluster, flows.links()[share.link]));
  }
  EXPECT_TRUE(flows.IsShared(dispatch));
  // A NIC carries sends of other stages than its own and reductions, which together may fill it
  // both ways.
  for (int s = 0; s + 1 < run.plan.parallel.pp; ++s) {
    for (const UnitFlow& flow : flows.OfSend(s, s + 1).flows) {
      EXPECT_EQ(flow.links.size(), 2u);
      for (const LinkShare& share : flow.links)
        EXPECT_TRUE(IsNetwork(run.cluster, flows.links()[share.link]));
    }
  }
  // Eight ranks on a node: seven peers, each an eighth of the device share.
  const UnitCollective& unit = flows.Of(0, dispatch);
  ASSERT_EQ(unit.flows.size(), 1u);
  EXPECT_EQ(unit.flows[0].multiplicity, 7);
  // By NVLink a GPU receives of the one that stands for its stage what that sends: one port
  // decides.
  EXPECT_EQ(unit.flows[0].links.size(), 1u);
  EXPECT_NEAR(unit.flows[0].bytes.value * 7 / run.cluster.device.nvlink_usable.value,
              unit.per_byte.value, 1e-22);
}

}  // namespace
}  // namespace moecast
