#include "sim/training/step_cache.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "scenarios/scenario.h"
#include "sim/training/layer_blocks.h"
#include "sim/training/plan_check.h"
#include "sim/training/step_flows.h"
#include "sim/training/step_time.h"
#include "tests/each_change.h"
#include "tests/sim/random_plans.h"
#include "tests/sim/solve_pipeline.h"

namespace moecast {
namespace {

std::shared_ptr<const OrderedStep> OrderOf(StepCache& cache, std::string_view name,
                                           const PipelineShape& shape) {
  const std::vector<StageBlocks> pieces(static_cast<size_t>(shape.pieces()));
  return cache.OrderFor(shape, LayoutOf(PieceMap(Named(name), shape), pieces), {},
                        {.pipeline = &Named(name),
                         .stages = shape.stages,
                         .micro_batches = shape.micro_batches,
                         .chunks = shape.chunks,
                         .weight_delay = shape.weight_delay,
                         .blocks = std::vector<StageBlocks>(shape.virtual_stages())});
}

TEST(StepCacheTest, TimesDecideAboutAnOrderOnlyWhereTheScheduleLooksAtThem) {
  const PipelineShape even = Uniform(4, 12, 2, 2, 2), uneven = Uniform(4, 12, 3, 2, 1);
  StepCache cache;
  EXPECT_EQ(OrderOf(cache, "zb-h1", even), OrderOf(cache, "zb-h1", uneven));
  EXPECT_EQ(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", even));
  EXPECT_NE(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", uneven));
  PipelineShape slow_links = even;
  slow_links.transfer = Time{5};
  EXPECT_NE(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", slow_links));
  PipelineShape less_memory = even;
  less_memory.memory_limit = 5;
  EXPECT_NE(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", less_memory));
}

template <class Key>
void ExpectEveryMemberCounts(const Key& key, int members) {
  const Changes changes = ChangesOf(key);
  EXPECT_GE(changes.all, members);
  EXPECT_EQ(changes.same_value, 0);
  EXPECT_EQ(changes.same_hash, 0);
}

TEST(StepCacheTest, AnyMemberMakesAnotherKey) {
  ExpectEveryMemberCounts(LayerSetup{.work = MicroBatchOf(1, 4096)}, 8);
  ExpectEveryMemberCounts(UpdateSetup{}, 5);
  ExpectEveryMemberCounts(OrderKey{.blocks = {{{BlockKind::kMoe, 2}}}, .times = {Time{7}}}, 10);
  ExpectEveryMemberCounts(StepSenders{.collectives = {{}}, .sends = {{0, 1}}}, 3);
  ExpectEveryMemberCounts(Parallel{}, 9);
  ExpectEveryMemberCounts(WholeStep{}, 4);
  ExpectEveryMemberCounts(GemmQuery{}, 7);
  ExpectEveryMemberCounts(GroupedGemmQuery{}, 9);
  ExpectEveryMemberCounts(AttentionQuery{}, 12);
  ExpectEveryMemberCounts(ElementwiseQuery{}, 2);
  ExpectEveryMemberCounts(MlaDecodeQuery{}, 6);
}

TrainingRun RunOf(const std::string& scenario, std::vector<std::string> sets = {}) {
  sets.insert(sets.begin(), "unknown={}");
  return Scenario::Load(scenario, sets).training().phases.front();
}

using Change = std::function<void(TrainingRun&)>;

TEST(StepCacheTest, CostsAreOfTheClusterTheRanksAndWhatCommunicates) {
  const std::vector<Change> changes = {
      [](TrainingRun& r) { r.cluster.name += "x"; },
      [](TrainingRun& r) { r.cluster.device.hbm = r.cluster.device.hbm * 1.1; },
      [](TrainingRun& r) { r.cluster.device.sms += 1; },
      [](TrainingRun& r) { r.cluster.device.nvlink_usable = r.cluster.device.nvlink_usable * 1.1; },
      [](TrainingRun& r) { r.cluster.nic_usable = r.cluster.nic_usable * 1.1; },
      [](TrainingRun& r) { r.cluster.host_bandwidth = r.cluster.host_bandwidth * 1.1; },
      [](TrainingRun& r) { r.cluster.nvlink_step = r.cluster.nvlink_step * 1.1; },
      [](TrainingRun& r) { r.cluster.network_step = r.cluster.network_step * 1.1; },
      [](TrainingRun& r) { r.cluster.send_piece = r.cluster.send_piece * 1.1; },
      [](TrainingRun& r) { r.cluster.cut = {LinkOf(3, Port::kNicOut)}; },
      [](TrainingRun& r) { r.model.moe.top_k = 4; },
      [](TrainingRun& r) { r.plan.parallel.tp = 2; },
      [](TrainingRun& r) { r.plan.parallel.pp = 8; },
      [](TrainingRun& r) { r.plan.parallel.ep = 16; },
      [](TrainingRun& r) { r.plan.parallel.dp = 64; },
      [](TrainingRun& r) {
        std::swap(r.plan.parallel.rank_order[0], r.plan.parallel.rank_order[2]);
      },
      [](TrainingRun& r) { r.plan.overlap.tp = !r.plan.overlap.tp; },
      [](TrainingRun& r) { r.plan.overlap.communication_sms = 8; },
      [](TrainingRun& r) { r.plan.routing.topk_group = 2; },
      [](TrainingRun& r) { r.whole_step.gap = Microseconds(3); },
      [](TrainingRun& r) { r.calibration = RunOf("deepseek-v3-pretrain").calibration; },
  };
  StepCache cache;
  const TrainingRun run = RunOf("deepseek-v2-pretrain");
  const auto costs = cache.CostsFor(run, 1);
  EXPECT_NE(cache.CostsFor(run, 2), costs);
  for (size_t i = 0; i < changes.size(); ++i) {
    TrainingRun changed = run;
    changes[i](changed);
    EXPECT_NE(cache.CostsFor(changed, 1), costs) << i;
  }
}

TEST(StepCacheTest, PlansThatDifferInWhatCostsDoNotLookAtShareThem) {
  const std::vector<Change> changes = {
      [](TrainingRun& r) { r.plan.parallel.vpp = 2; },
      [](TrainingRun& r) { r.plan.parallel.zero = 2; },
      [](TrainingRun& r) { r.plan.parallel.sequence = !r.plan.parallel.sequence; },
      [](TrainingRun& r) { r.plan.recompute = {Recompute::kLayer}; },
      [](TrainingRun& r) { r.plan.precision.gemm = Dtype::kFp8; },
      [](TrainingRun& r) { r.plan.overlap.grad_reduce = !r.plan.overlap.grad_reduce; },
      [](TrainingRun& r) { r.plan.optimizer.offload = 0.5; },
      [](TrainingRun& r) { r.plan.schedule = "1f1b"; },
      [](TrainingRun& r) { r.plan.micro_batch = 2; },
  };
  StepCache cache;
  const TrainingRun run = RunOf("deepseek-v2-pretrain");
  const auto costs = cache.CostsFor(run, 1);
  for (size_t i = 0; i < changes.size(); ++i) {
    TrainingRun changed = run;
    changes[i](changed);
    EXPECT_EQ(cache.CostsFor(changed, 1), costs) << i;
  }
}

// What a plan is told: all of it must come from its own keys, in whatever order others came before.
struct Answer {
  double step = 0;
  int64_t flows = 0;
  double memory = 0;
  bool operator==(const Answer&) const = default;
};
Answer AnswerOf(const TrainingRun& run, StepCache& cache) {
  const Step step =
      PrepareStep(std::make_shared<const TrainingRun>(run), run.plan.phases.front(), cache);
  Answer answer{StepTime(step).value, step.flows, 0};
  for (const StageMemory& m : step.memory) answer.memory += m.total().value;
  return answer;
}

// Plans of two models, many of which share some stages; every other one with links that are shared.
std::vector<TrainingRun> SomePlans(size_t count) {
  Random random(7);
  std::vector<TrainingRun> runs;
  while (runs.size() < count) {
    const TrainingRun base =
        RunOf(runs.size() % 3 == 0 ? "deepseek-v2-lite-pretrain" : "deepseek-v2-pretrain",
              {"training/phases/0/global_batch=1024"});
    TrainingRun run = base;
    Plan& plan = run.plan;
    plan.parallel.tp = 1 << random.Below(2);
    plan.parallel.pp = 1 << random.Below(4);
    plan.parallel.ep = 8 << random.Below(2);
    plan.parallel.dp = 32;
    plan.schedule = random.Below(2) ? "1f1b" : "zb-h1";
    plan.weight_delay.reset();
    plan.stage_layers = {};
    if (random.Below(2)) plan.recompute = {Recompute::kLayer};
    run.level = runs.size() % 2 ? Level::kFluid : Level::kAnalytic;
    if (!CheckPlan(plan, run.model, run.cluster)) runs.push_back(std::move(run));
  }
  return runs;
}

TEST(StepCacheTest, AnswersDoNotDependOnWhatWasAskedBefore) {
  StepCache shared;
  for (const TrainingRun& run : SomePlans(24)) {
    StepCache alone;
    EXPECT_EQ(AnswerOf(run, shared), AnswerOf(run, alone));
  }
}

TEST(StepCacheTest, ThreadsThatShareOneGetTheAnswersOfARunAlone) {
  const std::vector<TrainingRun> runs = SomePlans(24);
  std::vector<Answer> alone;
  StepCache serial;
  for (const TrainingRun& run : runs) alone.push_back(AnswerOf(run, serial));
  constexpr size_t kThreads = 4;
  // A calibration that nobody asked before, so that its tables are parsed by several at once.
  TrainingRun fresh = RunOf("deepseek-v2-pretrain");
  StepCache shared;
  std::vector<std::vector<Answer>> answers(kThreads, std::vector<Answer>(runs.size()));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < runs.size(); ++i) {
        const size_t at = (i + t * runs.size() / kThreads) % runs.size();
        TrainingRun run = runs[at];
        if (run.model == fresh.model) run.calibration = fresh.calibration;
        answers[t][at] = AnswerOf(run, shared);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Answer>& of_thread : answers) EXPECT_EQ(of_thread, alone);
}

}  // namespace
}  // namespace moecast
