// Programmes: phases with plans of their own, batch ramps, failures.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/train_report.h"
#include "sim/training/plan_check.h"

namespace moecast {
namespace {

constexpr char kProgramme[] = "deepseek-v2-programme", kPretrain[] = "deepseek-v2-pretrain";
constexpr size_t kRamp = 0, kMain = 1, kLong = 2, kSft = 3;

Scenario Loaded(const std::string& name, std::vector<std::string> sets = {}) {
  return Scenario::Load(name, sets);
}

TrainReport ReportOf(const Scenario& s, int samples = 1) {
  StepCache cache;
  const PreparedRun run(s.training(), cache);
  std::vector<UnknownField> unknowns;
  for (const Unknown& u : s.spec().unknown.list)
    unknowns.push_back({u.pointer, static_cast<int>(u.values.size())});
  return Summarize(run,
                   ForecastRun(
                       run, unknowns, [&](std::span<const int> c) { return s.Variant(c); },
                       {.samples = samples}, cache),
                   cache);
}

TrainReport ReportOf(const std::string& name, std::vector<std::string> sets = {}) {
  sets.insert(sets.begin(), "unknown={}");
  return ReportOf(Loaded(name, sets));
}

TEST(ProgrammeTest, APhasesPlanIsMergedOntoTheTrainingSection) {
  const Scenario s =
      Loaded(kProgramme, {"unknown={}", "training/parallel/zero=2",
                          "training/phases/2/plan={\"parallel\":{\"cp\":8,\"dp\":16}}"});
  const Plan& base = s.training().phases[kMain].plan;
  const Plan& own = s.training().phases[kLong].plan;
  EXPECT_EQ(base.parallel, s.spec().training.parallel);
  Parallel expected = base.parallel;
  expected.cp = 8;
  expected.dp = 16;
  EXPECT_EQ(own.parallel, expected);
  EXPECT_EQ(own.recompute, base.recompute);
  ASSERT_EQ(own.phases.size(), 1u);
  EXPECT_EQ(own.phases[0].name, "long-context");
}

TEST(ProgrammeTest, SetAndUnknownsReachIntoAPhasesPlan) {
  const Scenario s =
      Loaded(kProgramme, {"training/phases/2/plan/parallel/cp=4",
                          "unknown={\"/training/phases/2/plan/parallel/cp\": [2, 8]}"});
  EXPECT_EQ(s.training().phases[kLong].plan.parallel.cp, 4);
  const int choice[] = {1};
  const Programme variant = s.Variant(choice);
  EXPECT_EQ(variant.phases[kLong].plan.parallel.cp, 8);
  EXPECT_EQ(variant.phases[kMain], s.training().phases[kMain]);
}

TEST(ProgrammeTest, TheV2ProgrammeIsWhatThePaperSays) {
  const TrainReport r = ReportOf(kProgramme);
  ASSERT_EQ(r.phases.size(), 4u);
  EXPECT_DOUBLE_EQ(r.phases[kRamp].tokens.value + r.phases[kMain].tokens.value, 8.1e12);
  EXPECT_EQ(r.phases[kLong].steps, 1000);
  EXPECT_EQ(r.phases[kLong].tokens.value, 1000.0 * 576 * 32768);
  EXPECT_EQ(r.phases[kSft].tokens.value, 3e9);  // 1.5 M conversations twice, 1,000 tokens each
  for (const PhaseReport& p : r.phases) EXPECT_TRUE(p.memory.fits) << p.name;
  EXPECT_EQ(r.phase, kMain);
}

TEST(ProgrammeTest, ThreeBatchesStandForTheRampsFiftyFive) {
  const Scenario s = Loaded(kProgramme, {"unknown={}"});
  const TrainingRun& ramp = s.training().phases[kRamp];
  StepCache cache;
  EXPECT_EQ(BatchesOf(ramp.plan, ramp.plan.phases[0]).size(), 55u);
  EXPECT_EQ(PreparedPhase(ramp, cache).prepared().size(), 3u);
}

TEST(ProgrammeTest, ThePretrainPhaseTakesWhatThePretrainScenarioDoes) {
  const TrainReport programme = ReportOf(kProgramme), alone = ReportOf(kPretrain);
  EXPECT_DOUBLE_EQ(programme.phases[kMain].expense.gpu_hours / programme.phases[kMain].tokens.value,
                   alone.headlines.gpu_hours_total / alone.phases[0].tokens.value);
  EXPECT_EQ(programme.phases[kMain].step_time, alone.step_time);
}

TEST(ProgrammeTest, ThePhasesSumToTheWhole) {
  // One draw: percentiles are the draw itself.
  const TrainReport r = ReportOf(kProgramme, {"training/parallel/dp=64"});
  Expense sum;
  double draws = 0, wall_draws = 0;
  for (const PhaseReport& p : r.phases) {
    sum += p.expense;
    draws += p.interval.gpu_hours.p50;
    wall_draws += p.interval.wall_days.p50;
    // Each phase with its own GPUs: 1024, 1024, 2048 and 512.
    EXPECT_NEAR(p.expense.gpu_hours / (p.expense.days * 24 * static_cast<double>(p.gpus)), 1,
                1e-12);
    EXPECT_NEAR(p.expense.cost_usd / (2.0 * p.expense.gpu_hours), 1, 1e-12);
    EXPECT_NEAR(p.expense.wall_days / p.expense.days, p.outages->wall_per_work, 1e-12);
  }
  EXPECT_EQ(r.phases[kMain].gpus, 1024);
  EXPECT_EQ(r.phases[kLong].gpus, 2048);
  EXPECT_EQ(r.phases[kSft].gpus, 512);
  EXPECT_EQ(r.headlines.gpu_hours_total, sum.gpu_hours);
  EXPECT_EQ(r.headlines.days, sum.days);
  EXPECT_EQ(r.headlines.wall_cost_usd, sum.wall_cost_usd);
  EXPECT_NEAR(r.interval(&Headlines::gpu_hours_total).p50 / draws, 1, 1e-12);
  EXPECT_NEAR(r.interval(&Headlines::wall_days).p50 / wall_draws, 1, 1e-12);
}

TEST(ProgrammeTest, ARampOfOneBatchIsAPlainPhase) {
  const TrainReport flat = ReportOf(kPretrain, {"training/phases/0/global_batch_from=9216"});
  EXPECT_EQ(flat.headlines.gpu_hours_total, ReportOf(kPretrain).headlines.gpu_hours_total);
}

// Every batch of the ramp prepared and timed.
Seconds EveryBatchTimed(const TrainingRun& run, StepCache& cache) {
  Seconds all;
  const auto shared = std::make_shared<const TrainingRun>(run);
  const TrainingPhase& phase = run.plan.phases.front();
  for (const BatchSteps& level : StepsByBatch(phase, BatchesOf(run.plan, phase))) {
    TrainingPhase at = phase;
    at.global_batch = level.global_batch;
    all += StepTime(PrepareStep(shared, at, cache)) * level.steps;
  }
  return all;
}

TEST(BatchRampTest, FewBatchesGiveTheTimeOfAll) {
  // Few micro-batches to many, orders that depend on the times, interleaved ones that take only
  // multiples of the stages.
  const std::vector<std::string> v2 = {"unknown={}", "training/weight_delay=null"};
  std::vector<Scenario> scenarios = {Loaded(kProgramme, {"unknown={}"})};
  for (const char* schedule : {"1f1b", "zb-h1", "zb-h2", "zb-2p"})
    for (const char* from : {"128", "2304"}) {
      std::vector<std::string> sets = v2;
      sets.push_back(std::string("training/schedule=") + schedule);
      sets.push_back(std::string("training/phases/0/global_batch_from=") + from);
      scenarios.push_back(Loaded(kPretrain, sets));
    }
  scenarios.push_back(
      Loaded(kPretrain, {"unknown={}", "training/weight_delay=null", "training/schedule=dualpipe",
                         "training/phases/0/global_batch_from=4096"}));
  scenarios.push_back(
      Loaded("deepseek-67b-pretrain",
             {"unknown={}", "training/schedule=interleaved",
              "training/parallel={\"tp\":8,\"pp\":8,\"vpp\":3,\"dp\":8}",
              "training/phases/0/global_batch=2048", "training/phases/0/global_batch_from=64"}));
  for (const Scenario& s : scenarios) {
    StepCache cache;
    // On shared links the batches after the first take over what those cost.
    TrainingRun run = s.training().phases[0];
    run.level = Level::kAnalytic;
    const PreparedPhase phase(run, cache);
    const Noise slow{BySource<double>(phase.step().sources->size(), 1)};
    const Seconds all = EveryBatchTimed(run, cache);
    EXPECT_NEAR(phase.Time().all / all, 1, 5e-4) << run.plan.schedule;
    EXPECT_GT(phase.Times({&slow, 1}).front().all, phase.Time().all);
    EXPECT_LT(phase.prepared().size() * 2, BatchesOf(run.plan, run.plan.phases[0]).size())
        << run.plan.schedule;
  }
}

TEST(BatchRampTest, FewerMicroBatchesAStepMakeTokensDearer) {
  // The pipeline fills and drains once a step: 2304 sequences are 18 micro-batches of 16 stages,
  // 9216 are 72.
  const TrainReport r = ReportOf(kProgramme);
  const auto hours_per_token = [&](size_t i) {
    return r.phases[i].expense.gpu_hours / r.phases[i].tokens.value;
  };
  EXPECT_GT(hours_per_token(kRamp), 1.03 * hours_per_token(kMain));
  EXPECT_LT(hours_per_token(kRamp), 1.3 * hours_per_token(kMain));
  EXPECT_EQ(r.phases[kRamp].step_time, r.phases[kMain].step_time);  // it ends at the same batch
}

TEST(ProgrammeTest, FailuresAndCheckpointsMakeDaysLongerAndLeaveGpuHours) {
  const TrainReport none = ReportOf(kPretrain);
  EXPECT_FALSE(none.has_outages);
  EXPECT_EQ(none.headlines.wall_days, none.headlines.days);
  const TrainReport best = ReportOf(kPretrain, {"reliability={}"});
  EXPECT_EQ(best.headlines.gpu_hours_total, none.headlines.gpu_hours_total);
  EXPECT_GT(best.headlines.wall_days, best.headlines.days);
  for (const char* interval : {"60s", "10min", "1h", "6h"})
    EXPECT_GE(ReportOf(kPretrain, {std::string("reliability/checkpoint_interval=") + interval})
                  .headlines.wall_days,
              best.headlines.wall_days * (1 - 1e-9))
        << interval;
  EXPECT_GT(ReportOf(kPretrain, {"reliability/mtbf_per_gpu=5000h"}).headlines.wall_days,
            best.headlines.wall_days);
  EXPECT_EQ(best.phases[0].outages->checkpoint_interval, best.phases[0].outages->best_interval);
  // No checkpoint is taken inside a step.
  const TrainReport often = ReportOf(kPretrain, {"reliability/checkpoint_interval=1s"});
  EXPECT_EQ(often.phases[0].outages->checkpoint_interval, often.step_time);
  EXPECT_EQ(often.phases[0].outages->best_interval, best.phases[0].outages->best_interval);
}

TEST(ProgrammeTest, UnknownsOfOnePhaseLeaveTheOthersAlone) {
  const Scenario s =
      Loaded(kProgramme, {"unknown={\"/training/phases/3/mean_length\": [500, 2000]}"});
  const TrainReport r = ReportOf(s, 64), fixed = ReportOf(Loaded(kProgramme, {"unknown={}"}), 64);
  EXPECT_EQ(r.phases[kMain].interval.gpu_hours.p10, fixed.phases[kMain].interval.gpu_hours.p10);
  const Interval& sft = r.phases[kSft].interval.gpu_hours;
  EXPECT_GT(sft.p90 / sft.p10, 3);  // 500 or 2000 tokens: four times the work
}

TEST(ProgrammeErrorTest, UnknownPhasesAreAsManyAsThePhases) {
  const std::string phase = R"({"steps": 10, "global_batch": 9216})";
  const std::string unknown =
      R"(unknown={"/training/phases": [[)" + phase + "], [" + phase + "," + phase + "]]}";
  try {
    Loaded(kPretrain, {unknown});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.parts().pointer, "/unknown/~1training~1phases/1") << e.what();
    EXPECT_NE(std::string(e.what()).find("as many phases"), std::string::npos) << e.what();
  }
}

TEST(ProgrammeErrorTest, WhatIsWrongIsNamedWithItsPlaceInThePhase) {
  struct Case {
    const char* set;
    const char* pointer;
    const char* says;
  };
  const Case cases[] = {
      {"training/phases/2/plan/paralel/cp=8", "/training/phases/2/plan/paralel",
       "did you mean \"parallel\""},
      {"training/phases/2/plan/parallel/zeros=2", "/training/phases/2/plan/parallel/zeros",
       "did you mean \"zero\""},
      {"training/phases/2/plan/phases=[]", "/training/phases/2/plan/phases", "no phases inside"},
      {"training/phases/2/plan=7", "/training/phases/2/plan", "an object"},
      {"training/phases/2/plan/parallel/dp=24", "/training/phases/2/plan/parallel",
       "cluster's 2048 GPUs"},
      {"training/phases/2/plan/parallel/dp=7", "/training/phases/2/plan/parallel",
       "parallel/ep a divisor of dp"},
      {"training/phases/2/plan/parallel/cp=3", "/training/phases/2/sequence_length",
       "a multiple of 2 cp"},
      {"training/phases/2/plan/schedule=zbh1", "/training/phases/2/plan/schedule",
       "did you mean \"zb-h1\""},
      {"training/phases/2/global_batch=580", "/training/phases/2/global_batch",
       "multiple of micro_batch * dp"},
      {"training/phases/0/global_batch_from=10000", "/training/phases/0/global_batch_from",
       "at most"},
      {"training/phases/0/global_batch_from=2305", "/training/phases/0/global_batch_from",
       "multiple of"},
      {"training/phases/0/global_batch_from=0", "/training/phases/0/global_batch_from", "from 1"},
      {"training/phases/2/global_batch_from=288", "/training/phases/2/global_batch_from",
       "in place of steps"},
      {"training/phases/2/tokens=1T", "/training/phases/2", "one of tokens, steps and sequences"},
      {"training/phases/2/steps=null", "/training/phases/2", "one of tokens, steps and sequences"},
      {"training/phases/2/steps=0", "/training/phases/2/steps", "from 1"},
      {"training/phases/3/mean_length=5000", "/training/phases/3/mean_length",
       "at most the sequence_length"},
      {"training/phases/2/mean_length=5", "/training/phases/2/mean_length", "sequences"},
      {"training/parallel/tp=3", "/training/parallel/tp", "attention heads"},
      {"reliability/mtbf_per_gpu=0h", "/reliability/mtbf_per_gpu", "from 1h"},
      {"reliability/mtbf_per_gpu=50677", "/reliability/mtbf_per_gpu", "text with a unit"},
      {"reliability/checkpoint_interval=30d", "/reliability/checkpoint_interval",
       "mean time between failures"},
      {"reliability/checkpoint_interval=0s", "/reliability/checkpoint_interval", "from 1s"},
      {"reliability/checkpoint_write=30d", "/reliability/checkpoint_write",
       "mean time between failures"},
      {"reliability/restart=30d", "/reliability/restart", "mean time between failures"},
      {"reliability/mtbf=5h", "/reliability/mtbf", "mtbf_per_gpu"},
      {"reliability=5h", "/reliability", "an object"},
  };
  for (const Case& c : cases) {
    try {
      Loaded(kProgramme, {"unknown={}", c.set});
      ADD_FAILURE() << "no error for " << c.set;
    } catch (const UserError& e) {
      EXPECT_NE(std::string(e.what()).find(c.says), std::string::npos) << c.set << "\n" << e.what();
      EXPECT_EQ(e.parts().pointer, c.pointer) << e.what();
    }
  }
}

}  // namespace
}  // namespace moecast
