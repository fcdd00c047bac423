#include "sim/forecast/why.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "scenarios/scenario.h"
#include "sim/forecast/diff.h"
#include "sim/forecast/neighbours.h"
#include "sim/training/breakdown.h"

namespace moecast {
namespace {

// With every collective alone on its links: what a path holds can then be added up by hand.
TrainingRun RunOf(const std::string& name, std::vector<std::string> sets = {}) {
  sets.insert(sets.begin(), "unknown={}");
  TrainingRun run = Scenario::Load(name, sets).training().phases.front();
  run.level = Level::kAnalytic;
  return run;
}

Seconds TimeOf(const std::vector<Cause>& causes, const std::string& cause) {
  for (const Cause& c : causes)
    if (c.cause == cause) return c.time;
  return Seconds(0);
}

// One rank, three micro-batches (so that a micro-batch of two sequences does not pass), nothing but
// blocks and the optimizer.
std::vector<std::string> Alone(std::vector<std::string> more = {}) {
  more.insert(more.begin(),
              {"training/parallel={\"pp\":1,\"dp\":1}", "training/phases/0/global_batch=3",
               "training/optimizer/grad_clip=none"});
  return more;
}

// Of all blocks of a step of one stage.
template <class Of>
double SumOverBlocks(const Step& step, Of of) {
  double sum = 0;
  for (const StageBlocks& stage : step.layout.runs)
    for (const BlockRun& b : stage)
      for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
        sum += b.count * step.shape.micro_batches * of(b.kind, pass);
  return sum;
}

TEST(CriticalPathTest, AStepOfOneStageHasNoBubbleAndSendsNothingOn) {
  StepCache cache;
  const PreparedRun run(
      RunOf("deepseek-v2-lite-pretrain", {"training/parallel={\"pp\":1,\"dp\":8}"}), cache);
  const std::vector<Cause> path =
      CriticalPath(run.step(0), WithEvenLoads(run.phase(0), cache).step());
  EXPECT_EQ(TimeOf(path, "bubble").value, 0);
  EXPECT_EQ(TimeOf(path, "exposed pp communication").value, 0);
  EXPECT_EQ(TimeOf(path, "imbalance").value, 0);
}

TEST(CriticalPathTest, EqualStagesOfOneFOneBFillAndDrainForTheOtherStagesOnce) {
  // The path stays on the stage with the head, the slowest: forward through
  // three stages before it, backward through the same after it.
  StepCache cache;
  const PreparedRun run(
      RunOf("deepseek-67b-pretrain",
            {"training/parallel={\"tp\":8,\"pp\":4,\"dp\":1,\"zero\":0}",
             "training/phases/0/global_batch=16", "training/stage_layers=[23,23,23,26]"}),
      cache);
  const Step& step = run.step(0);
  const std::vector<Cause> path = CriticalPath(step, WithEvenLoads(run.phase(0), cache).step());
  double others = 0;
  for (int s = 0; s < 3; ++s)
    for (const Phase phase : {Phase::kForward, Phase::kFullBackward})
      others += moecast::TimeOf(ProgramOf(step.layout.runs[s], phase), step.times).total.value;
  EXPECT_NEAR(TimeOf(path, "bubble").value, others, 1e-9);
  const Seconds send =
      step.schedule().dependencies.empty() ? Seconds(0) : step.shape.transfer.seconds();
  EXPECT_NEAR(TimeOf(path, "exposed pp communication").value, 6 * send.value, 1e-9);
}

// One micro-batch over two stages is one chain: F, send, F, B, send, B, optimizer. Where shared
// links make the first send 3 ms longer, all that comes after it is 3 ms later.
TEST(CriticalPathTest, WhatASendTakesLongerOnSharedLinksIsContention) {
  StepCache cache;
  const PreparedRun run(
      RunOf("deepseek-67b-pretrain",
            {"training/parallel={\"tp\":8,\"pp\":2,\"dp\":1}", "training/phases/0/global_batch=1",
             "training/stage_layers=[47,48]", "training/optimizer/grad_clip=none"}),
      cache);
  const PreparedPhase even = WithEvenLoads(run.phase(0), cache);
  Step step = run.step(0);
  const std::vector<Cause> alone = CriticalPath(step, even.step());
  const Time send = step.shape.transfer, longer = Time::From(Seconds(3e-3));
  ASSERT_GT(send, Time{});
  EXPECT_NEAR(TimeOf(alone, "exposed pp communication").value, 2 * send.seconds().value, 1e-12);
  EXPECT_EQ(TimeOf(alone, "contention"), Seconds(0));

  Timing& timing = step.timing;
  const Time sent = *std::ranges::min_element(timing.end);
  const auto later = [&](Time t) { return t > sent ? t + longer : t; };
  const auto dependencies = static_cast<int32_t>(step.schedule().dependencies.size());
  for (int32_t d = 0; d < dependencies; ++d)
    timing.arrival.push_back(later(run.step(0).ArrivalOf(d)));
  for (std::vector<Time>* times : {&timing.start, &timing.end})
    for (Time& t : *times) t = later(t);
  timing.total = later(timing.total);
  step.flows = 2;
  const std::vector<Cause> shared = CriticalPath(step, even.step());
  EXPECT_NEAR(TimeOf(shared, "exposed pp communication").value, 2 * send.seconds().value, 1e-12);
  EXPECT_NEAR(TimeOf(shared, "contention").value, 3e-3, 1e-9);
  for (const Cause& c : alone) EXPECT_NEAR(TimeOf(shared, c.cause).value, c.time.value, 1e-9);
}

TEST(ImbalanceTest, OnOneStageItIsWhatTheBlocksTakeLongerForTheSlowestRank) {
  StepCache cache;
  const PreparedRun run(
      RunOf("deepseek-v2-pretrain", {"training/parallel={\"pp\":1,\"ep\":8,\"dp\":8}",
                                     "training/phases/0/global_batch=24"}),
      cache);
  const PreparedPhase even = WithEvenLoads(run.phase(0), cache);
  const Step &loaded = run.step(0), &level = even.step();
  EXPECT_GT(loaded.work.load.visits.most, loaded.work.load.visits.mean);
  EXPECT_EQ(level.work.load.visits.most, loaded.work.load.visits.mean);
  // The weight pass waits for no other rank: the same in both.
  EXPECT_NEAR(level.blocks.Of(BlockKind::kMoe, Pass::kWeight).alone.total /
                  loaded.blocks.Of(BlockKind::kMoe, Pass::kWeight).alone.total,
              1, 1e-12);
  const double longer = SumOverBlocks(loaded, [&](BlockKind kind, Pass pass) {
    return (loaded.blocks.Of(kind, pass).alone.total - level.blocks.Of(kind, pass).alone.total)
        .value;
  });
  const double on_path = TimeOf(CriticalPath(loaded, level), "imbalance").value;
  EXPECT_GT(longer, 0);
  EXPECT_NEAR(on_path, longer, 1e-6);
  EXPECT_NEAR(on_path, (StepTime(loaded) - StepTime(level)).value, 1e-6);
}

TEST(ImbalanceTest, TheStepSavesNoMoreThanItsPathHolds) {
  for (const char* cv : {"0.1", "0.3"}) {
    for (const char* capacity : {"null", "1.0", "1.5"}) {
      for (const char* schedule : {"1f1b", "zb-h1"}) {
        StepCache cache;
        const PreparedRun run(RunOf("deepseek-v2-pretrain",
                                    {std::string("training/routing/device_cv=") + cv,
                                     std::string("training/routing/capacity_factor=") + capacity,
                                     std::string("training/schedule=") + schedule}),
                              cache);
        const PreparedPhase even = WithEvenLoads(run.phase(0), cache);
        const Seconds saved = StepTime(run.step(0)) - StepTime(even.step());
        const Seconds on_path = TimeOf(CriticalPath(run.step(0), even.step()), "imbalance");
        EXPECT_GT(saved.value, 0);
        EXPECT_LE(saved.value, on_path.value + 1e-9) << cv << " " << capacity << " " << schedule;
      }
    }
  }
}

// ---- What more memory or a larger replica buys

// The device's memory such that what the run needs is `share` of it.
TrainingRun Needing(TrainingRun run, double share) {
  StepCache cache;
  run.cluster.device.memory = PreparedPhase(run, cache).memory().peak / share;
  return run;
}

const Marginal& Named(const std::vector<Marginal>& rows, const std::string& resource) {
  for (const Marginal& m : rows)
    if (m.resource == resource) return m;
  ADD_FAILURE() << resource;
  return rows.front();
}

TEST(MarginalTest, MemoryBuysTheTimeOfTheRecomputationItEnds) {
  // The memory is half-way between what the plan needs and what it needs without recomputing. What
  // it then saves is the time of the operators that the backward pass runs again; nothing
  // communicates, so blocks are sums.
  StepCache cache;
  TrainingRun run = RunOf("deepseek-v2-lite-pretrain",
                          Alone({"training/recompute=[]", "training/schedule=1f1b"}));
  const Bytes without = PreparedPhase(run, cache).memory().peak;
  run.plan.recompute = {Recompute::kSwiGlu};
  const Bytes with = PreparedPhase(run, cache).memory().peak;
  run.cluster.device.memory = (with + without) * 0.5;
  ASSERT_LT(with.value, without.value);
  ASSERT_LT(without.value, 1.1 * run.cluster.device.memory.value);
  const PreparedRun prepared(run, cache);
  const Step& step = prepared.step(0);
  const double again = SumOverBlocks(step, [&](BlockKind kind, Pass pass) {
    return step.blocks.Of(kind, pass).alone.recomputed.value;
  });
  ASSERT_GT(again, 0);
  const auto rows = PlanMarginals(prepared.phase(0), cache);
  const Marginal& memory = Named(rows, "memory");
  ASSERT_TRUE(memory.step_change_percent);
  EXPECT_EQ(memory.choice, "recomputing nothing");
  EXPECT_NEAR(*memory.step_change_percent, -100 * again / StepTime(step).value, 1e-6);
  EXPECT_EQ(*memory.gpu_hours_change_percent, *memory.step_change_percent);
}

TEST(MarginalTest, MemoryThatIsNotScarceBuysNothingAndTheRowSaysWhatFitsToday) {
  StepCache cache;
  const PreparedRun run(
      Needing(RunOf("deepseek-v2-lite-pretrain", Alone({"training/recompute=[\"rmsnorm\"]"})), 0.1),
      cache);
  const auto rows = PlanMarginals(run.phase(0), cache);
  EXPECT_FALSE(Named(rows, "memory").step_change_percent);
  EXPECT_NE(Named(rows, "memory").choice.find("today's best: recomputing nothing"),
            std::string::npos)
      << Named(rows, "memory").choice;
}

TEST(MarginalTest, APlanFarFromFittingSaysSo) {
  StepCache cache;
  const PreparedRun run(Needing(RunOf("deepseek-v2-pretrain"), 5), cache);
  const auto rows = PlanMarginals(run.phase(0), cache);
  EXPECT_FALSE(Named(rows, "memory").step_change_percent);
  EXPECT_EQ(Named(rows, "memory").choice, "nothing near the plan fits");
  EXPECT_FALSE(Named(rows, "gpus_per_replica").step_change_percent);
  EXPECT_NE(Named(rows, "gpus_per_replica").choice.find("nothing fits"), std::string::npos);
}

TEST(MarginalTest, LargerReplicasOfV2AreTheNextOfEachAxis) {
  // 128 heads take tp 2; 160 experts in 8 groups take ep 16; 60 layers are 4 to a stage up to 19
  // stages, 3 on 20.
  std::vector<std::string> names;
  for (const PlanChoice& c : LargerReplicas(RunOf("deepseek-v2-pretrain"))) {
    names.push_back(c.what);
    EXPECT_GE(c.run.cluster.gpus, c.run.plan.parallel.gpus());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"tp 2", "cp 2", "pp 20", "ep 16"}));
}

TEST(MarginalTest, GpusPerReplicaAreScaledToATenth) {
  StepCache cache;
  const TrainingRun run = RunOf("deepseek-v2-pretrain");
  const PreparedRun prepared(run, cache);
  // 1.1^k GPUs change the logarithm of a figure by k times as much as a tenth more does.
  double best = INFINITY;
  for (const PlanChoice& c : LargerReplicas(run)) {
    const PreparedRun larger(c.run, cache);
    if (larger.phase(0).memory().peak > c.run.cluster.device.memory) continue;
    const Parallel &now = run.plan.parallel, &then = c.run.plan.parallel;
    const double k = std::log(1.0 * then.tp * then.cp * then.pp * then.ep /
                              (now.tp * now.cp * now.pp * now.ep)) /
                     std::log(1.1);
    const double cost = StepTime(larger.step(0)) / StepTime(prepared.step(0)) *
                        static_cast<double>(then.gpus()) / static_cast<double>(now.gpus());
    best = std::min(best, 100 * (std::exp(std::log(cost) / k) - 1));
  }
  const auto rows = PlanMarginals(prepared.phase(0), cache);
  ASSERT_TRUE(Named(rows, "gpus_per_replica").gpu_hours_change_percent);
  EXPECT_NEAR(*Named(rows, "gpus_per_replica").gpu_hours_change_percent, best, 1e-9);
}

// ---- Differences of plans

struct Predicted {
  StepCache cache;
  std::unique_ptr<PreparedRun> run;
  Forecast forecast;
  TrainReport report;
  explicit Predicted(const TrainingRun& of) : Predicted(Programme{"", {of}, 0, std::nullopt}) {}
  explicit Predicted(const Programme& of) : run(std::make_unique<PreparedRun>(of, cache)) {
    forecast = ForecastRun(*run, {}, {}, {.samples = 32}, cache);
    report = Summarize(*run, forecast, cache);
  }
};

PlanDifference Difference(const Predicted& a, const Predicted& b) {
  return Difference(a.report, a.forecast, b.report, b.forecast);
}

void ExpectCausesToSum(const PlanDifference& d) {
  double seconds = 0, gpu_seconds = 0;
  for (const CauseDifference& c : d.causes) {
    seconds += c.time.value;
    gpu_seconds += c.gpu_seconds_per_million_tokens;
  }
  EXPECT_NEAR(seconds, d.total.time.value, 1e-9);
  EXPECT_NEAR(gpu_seconds, d.total.gpu_seconds_per_million_tokens, 1e-9);
}

// Other causes hold no more than the rounding to the engine's picoseconds, half of one a task.
void ExpectOnly(const PlanDifference& d, const std::string& cause) {
  ASSERT_FALSE(d.causes.empty());
  EXPECT_EQ(d.causes[0].cause, cause);
  for (size_t i = 1; i < d.causes.size(); ++i)
    EXPECT_NEAR(d.causes[i].time.value, 0, 1e-9) << d.causes[i].cause;
}

TEST(PlanDifferenceTest, AnotherOrderOfTheSameWorkDiffersInTheBubbleAlone) {
  // No gradients are reduced, so nothing is hidden behind the work in one order and not in the
  // other.
  const std::vector<std::string> base = {"training/parallel={\"tp\":8,\"pp\":5,\"dp\":1}",
                                         "training/phases/0/global_batch=20",
                                         "training/stage_layers=[19,19,19,19,19]"};
  std::vector<std::string> zero_bubble = base;
  zero_bubble.push_back("training/schedule=zb-h1");
  const Predicted a(RunOf("deepseek-67b-pretrain", zero_bubble)),
      b(RunOf("deepseek-67b-pretrain", base));
  const PlanDifference d = Difference(a, b);
  ExpectOnly(d, "bubble");
  EXPECT_GT(d.causes[0].time.value, 0);
  ExpectCausesToSum(d);
}

TEST(PlanDifferenceTest, SlowerNvlinkIsExposedTensorParallelCommunicationAndNothingElse) {
  // One stage of 8 tensor-parallel ranks in a node, nothing beside the communication: a ring takes
  // 7.5/8 of each buffer over the slower link.
  const TrainingRun fast =
      RunOf("deepseek-67b-pretrain",
            {"training/parallel={\"tp\":8}", "training/overlap/tp=false",
             "training/phases/0/global_batch=2", "training/optimizer/grad_clip=none"});
  TrainingRun slow = fast;
  slow.cluster.device.nvlink_usable = fast.cluster.device.nvlink_usable * 0.5;
  const Predicted a(fast), b(slow);
  const Step& step = a.run->step(0);
  const double bytes = SumOverBlocks(step, [&](BlockKind kind, Pass pass) {
    double sum = 0;
    for (const Op& op : step.blocks.Of(kind, pass).costed.ops)
      if (const auto* query = std::get_if<CollectiveQuery>(&op.query)) sum += query->bytes.value;
    return sum;
  });
  const double rate = fast.cluster.device.nvlink_usable.value;
  const PlanDifference d = Difference(a, b);
  ExpectOnly(d, "exposed tp communication");
  EXPECT_NEAR(d.causes[0].time.value / (bytes * 7.5 / 8 * (1 / (0.5 * rate) - 1 / rate)), 1, 1e-6);
  ExpectCausesToSum(d);
}

TEST(PlanDifferenceTest, CausesSumWhateverDiffers) {
  const Predicted plans[] = {
      Predicted(RunOf("deepseek-v2-pretrain")),
      Predicted(RunOf("deepseek-v2-pretrain", {"training/schedule=1f1b", "training/recompute=[]"})),
      Predicted(RunOf("deepseek-v2-pretrain",
                      {"training/parallel/dp=64", "training/optimizer/grad_clip=post-validation"})),
      Predicted(RunOf("deepseek-67b-pretrain")), Predicted(RunOf("deepseek-v3-pretrain"))};
  for (const Predicted& a : plans) {
    for (const Predicted& b : plans) {
      const PlanDifference d = Difference(a, b), back = Difference(b, a);
      ExpectCausesToSum(d);
      EXPECT_NEAR(d.total.gpu_seconds_per_million_tokens,
                  -back.total.gpu_seconds_per_million_tokens, 1e-9);
      EXPECT_EQ(d.causes.empty(), &a == &b);
    }
  }
}

TEST(PlanDifferenceTest, AStepOfTwiceTheTokensCountsHalf) {
  // One stage: a step of 6 micro-batches takes twice that of 3, but for the optimizer, which runs
  // once in both.
  const Predicted a(RunOf("deepseek-v2-lite-pretrain", Alone())),
      b(RunOf("deepseek-v2-lite-pretrain", Alone({"training/phases/0/global_batch=6"})));
  const PlanDifference d = Difference(a, b);
  ExpectOnly(d, "optimizer");
  EXPECT_NEAR(d.causes[0].time.value, -0.5 * LaneTimes(a.run->step(0))[0].optimizer.value, 1e-9);
}

TEST(PlanDifferenceTest, AProgrammesCausesAreOfAllItsPhases) {
  // GPU-seconds of a token, over the ramp and the phases of other plans too.
  const auto programme = [](std::vector<std::string> sets) {
    sets.insert(sets.begin(), "unknown={}");
    return Predicted(Scenario::Load("deepseek-v2-programme", sets).training());
  };
  const Predicted a = programme({}), b = programme({"training/phases/2/plan/schedule=1f1b"});
  const auto million_tokens = [](const Predicted& p) {
    return p.run->GpuSeconds([](const Step& step) { return StepTime(step); }) / p.report.tokens *
           1e6;
  };
  const PlanDifference d = Difference(a, b);
  ExpectCausesToSum(d);
  EXPECT_EQ(a.report.phase, b.report.phase);
  EXPECT_EQ(a.report.step_time, b.report.step_time);  // the detailed phase is the same
  EXPECT_NEAR(d.total.gpu_seconds_per_million_tokens / (million_tokens(b) - million_tokens(a)), 1,
              1e-6);
  EXPECT_GT(d.total.gpu_seconds_per_million_tokens, 0);
  bool wall = false;
  for (const HeadlineDifference& h : d.headlines) wall = wall || h.name == "wall_days";
  EXPECT_TRUE(wall);
}

TEST(PlanDifferenceTest, WhatTwoPlansShareErrsAlikeInBoth) {
  const Predicted a(RunOf("deepseek-v2-pretrain")),
      b(RunOf("deepseek-v2-pretrain", {"training/schedule=1f1b"}));
  for (const HeadlineDifference& h : Difference(a, a).headlines) {
    EXPECT_EQ(h.difference.p10, 0);
    EXPECT_EQ(h.difference.p90, 0);
  }
  const HeadlineDifference step = Difference(a, b).headlines[0];
  ASSERT_EQ(step.name, "step_time_s");
  // Far narrower than either alone.
  EXPECT_LT(step.difference.p90 - step.difference.p10, 0.5 * (step.a.p90 - step.a.p10));
}

TEST(HeadlinesTest, FiguresOfAStepOfTenSecondsByHand) {
  // 9216 x 4096 tokens on 2048 GPUs: 1843.2 tokens a GPU and second, 150,704 GPU-hours for 1e12
  // tokens; 8.1 of them at 2 USD and on 2048 GPUs.
  StepCache cache;
  const PreparedRun run({.name = "by hand",
                         .phases = {RunOf("deepseek-v2-pretrain")},
                         .usd_per_gpu_hour = 2,
                         .reliability = {}},
                        cache);
  const double steps = 8.1e12 / (9216 * 4096);
  const Expense expenses[] = {run.ExpenseOf(0, Seconds(10) * steps)};
  const Headlines h = HeadlinesOf(run, 0, Seconds(10), expenses);
  EXPECT_EQ(h.step_time_s, 10);
  EXPECT_NEAR(h.tokens_per_gpu_per_s, 1843.2, 1e-9);
  EXPECT_NEAR(h.gpu_hours_per_trillion_tokens, 1e12 / 1843.2 / 3600, 1e-6);
  EXPECT_NEAR(h.gpu_hours_total, 8.1e12 / 1843.2 / 3600, 1e-5);
  EXPECT_NEAR(h.days, 8.1e12 / 1843.2 / 2048 / 86400, 1e-9);
  EXPECT_NEAR(h.cost_usd, 2 * h.gpu_hours_total, 1e-5);
  EXPECT_EQ(h.wall_days, h.days);
  EXPECT_EQ(h.availability, 1);
}

}  // namespace
}  // namespace moecast
