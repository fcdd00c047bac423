#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "scenarios/claims/memory_claims.h"
#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/train_report.h"
#include "sim/forecast/why.h"
#include "sim/training/breakdown.h"
#include "tests/sim/random_plans.h"
#include "tests/sim/step_probe.h"

namespace moecast {
namespace {

Scenario Load(const std::string& name, std::vector<std::string> sets = {}) {
  return Scenario::Load(name, sets);
}

PreparedRun Prepare(const Scenario& scenario) {
  StepCache cache;
  return PreparedRun(scenario.training(), cache);
}

// Schedules, ZeRO stages and axes in every combination that the properties below must hold for.
std::vector<Scenario> ManyScenarios() {
  std::vector<Scenario> all;
  for (const char* zero : {"0", "1", "2", "3"})
    for (const char* schedule : {"1f1b", "zb-h1", "zb-2p"})
      all.push_back(Load("deepseek-v2-pretrain", {"unknown={}", "training/weight_delay=null",
                                                  std::string("training/parallel/zero=") + zero,
                                                  std::string("training/schedule=") + schedule}));
  for (const char* parallel :
       {R"({"tp":8,"pp":8,"dp":16})", R"({"tp":4,"pp":8,"dp":8,"cp":2})", R"({"pp":1,"dp":64})",
        R"({"tp":8,"pp":4,"dp":16,"vpp":3,"sequence":false})"})
    for (const char* overlap : {"true", "false"})
      all.push_back(
          Load("deepseek-67b-pretrain", {"unknown={}", "training/schedule=interleaved",
                                         std::string("training/parallel=") + parallel,
                                         std::string("training/overlap/grad_reduce=") + overlap,
                                         std::string("training/overlap/param_gather=") + overlap,
                                         std::string("training/overlap/tp=") + overlap}));
  for (const char* clip : {"barrier", "post-validation", "none"})
    all.push_back(Load("deepseek-v3-pretrain",
                       {"unknown={}", std::string("training/optimizer/grad_clip=") + clip}));
  for (const char* schedule : {"zb-v", "v-half", "v-min"})
    all.push_back(
        Load("deepseek-67b-pretrain", {"unknown={}", std::string("training/schedule=") + schedule,
                                       R"(training/parallel={"tp":8,"pp":4,"dp":16,"vpp":2})"}));
  for (const char* zero : {"0", "1", "2", "3"})
    all.push_back(Load("deepseek-v3-pretrain", {"unknown={}", "training/schedule=dualpipe",
                                                std::string("training/parallel/zero=") + zero}));
  for (const char* overlap : {"true", "false"})
    all.push_back(
        Load("deepseek-v3-pretrain",
             {"unknown={}", "training/schedule=dualpipev", "training/parallel/vpp=2",
              "training/parallel/pp=8", std::string("training/overlap/grad_reduce=") + overlap,
              std::string("training/overlap/param_gather=") + overlap}));
  all.push_back(
      Load("deepseek-v2-lite-pretrain", {"unknown={}", "training/recompute=[\"layer\"]"}));
  return all;
}

// A state of all parameters of the model, in as many parts as one copy of the model is cut into.
Bytes HeldBy(const Step& step, const Model& model, Bytes StateBytes::*state) {
  Bytes sum;
  const auto add = [&](BlockKind kind) {
    sum += StatesOf(step.blocks.layer(kind).parameters, ShardOf(step.plan())).*state;
  };
  add(BlockKind::kEmbedding);
  for (const BlockKind kind : LayerKinds(model)) add(kind);
  add(BlockKind::kHead);
  for (int i = 0; i < model.mtp_layers; ++i) add(BlockKind::kMtp);
  return sum;
}

// What must hold of any step: its stages spend its time and hold the model, it computes no faster
// than the device can, it lasts as long as a stage works and as one micro-batch takes from end to
// end, and every stage sends at least what the pipeline passes on.
void ExpectTheLaws(const Step& step, const TrainingRun& run) {
  const Parallel& parallel = run.plan.parallel;
  const PipelineShape& shape = step.shape;
  const Seconds time = StepTime(step);
  const std::vector<LaneTime> lanes = LaneTimes(step);
  for (int s = 0; s < shape.stages; ++s) {
    const LaneTime& lane = lanes[s];
    const double tasks = step.schedule().lane_begin[s + 1] - step.schedule().lane_begin[s];
    EXPECT_NEAR(lane.total().value, time.value, kRoundingOfTask.value * tasks);
    for (const Seconds part : {lane.bubble, lane.grad_reduce, lane.param_gather, lane.grad_norm,
                               lane.optimizer, lane.contention, lane.blocks.recomputed})
      EXPECT_GE(part.value, 0);
    EXPECT_GT(lane.blocks.total.value, 0);
  }
  // A pass through all of a copy's pieces; a pair is no longer than its halves one after the other.
  Seconds through;
  for (int v = 0; v < shape.pieces(); ++v)
    for (const Phase phase_of : {Phase::kForward, Phase::kBackward})
      through += TimeOf(ProgramOf(step.layout.runs[v], phase_of), step.times).total;
  EXPECT_GE(time.value, through.value * (1 - 1e-9));

  const TrainingPhase& phase = run.plan.phases.front();
  const double tokens =
      static_cast<double>(phase.global_batch) * static_cast<double>(phase.sequence_length);
  EXPECT_LT(tokens * TrainingFlopsPerToken(run.model, phase.sequence_length),
            time.value * static_cast<double>(parallel.gpus()) *
                (run.plan.precision.gemm == Dtype::kBf16 ? run.cluster.device.bf16_peak
                                                         : run.cluster.device.fp8_peak)
                    .value);

  StateBytes held;
  for (const StageMemory& m : step.memory) {
    held += m.states;
    EXPECT_GT(m.activations.value, 0);
    EXPECT_GT(m.transient.value, 0);
  }
  for (const auto state : {&StateBytes::weights, &StateBytes::gradients}) {
    const bool cut = parallel.zero >= (state == &StateBytes::weights ? 3 : 2);
    EXPECT_NEAR((held.*state) / HeldBy(step, run.model, state) * (cut ? shape.copies : 1),
                shape.copies, 1e-9);
  }
  EXPECT_NEAR(held.moments / HeldBy(step, run.model, &StateBytes::moments),
              parallel.zero == 0 ? shape.copies : 1, 1e-9);

  const double message = static_cast<double>(run.plan.micro_batch * phase.sequence_length) /
                         parallel.cp / (parallel.sequence ? parallel.tp : 1) *
                         static_cast<double>(run.model.hidden) * 2;
  const std::vector<SentBytes> traffic = TrafficByStage(step);
  for (int s = 0; s < shape.stages; ++s) {
    const double inner = s == 0 || s == shape.stages - 1 ? 1 : 2;  // neighbours it has
    const double sent = (traffic[s].network + traffic[s].nvlink).value;
    EXPECT_GE(sent * (1 + 1e-9),
              shape.stages > 1 ? inner * shape.micro_batches_each() * message : 0);
  }
}

TEST(SlowTrainingStepTest, StagesSpendTheStepOnTheirWorkAndHoldTheModel) {
  for (const Scenario& s : ManyScenarios()) {
    const PreparedRun run = Prepare(s);
    const Step& step = run.step(0);
    ExpectTheLaws(step, s.training().phases[0]);
    int layers = 0;
    for (const int n : step.layout.LayersByPiece()) {
      EXPECT_GE(n, 1);
      layers += n;
    }
    EXPECT_EQ(layers, s.training().phases[0].model.layers());
  }
}

TEST(TrainingStepTest, OneStageOnOneRankTakesItsMicroBatchesOneAfterAnother) {
  // No pipeline, no data parallelism, no norm: step = M (F + B + W) + Adam.
  const Scenario s =
      Load("deepseek-v2-lite-pretrain",
           {"unknown={}", "training/parallel={\"pp\":1,\"dp\":1}",
            "training/phases/0/global_batch=6", "training/optimizer/grad_clip=none"});
  const PreparedRun run = Prepare(s);
  const Step& step = run.step(0);
  double blocks = 0;
  for (const StageBlocks& stage : step.layout.runs)
    for (const BlockRun& b : stage)
      for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
        blocks += b.count * step.blocks.Of(b.kind, pass).alone.total.value;
  const LaneTime lane = LaneTimes(step).front();
  EXPECT_NEAR(StepTime(step).value, 6 * blocks + lane.optimizer.value, 1e-9);
  EXPECT_NEAR(lane.bubble.value, 0, 1e-9);
}

TEST(TrainingStepTest, ADefaultSplitIsNoSlowerThanTheEvenOne) {
  // 60 layers on 15 stages are 4 each; the default may move layers away from the head's stage.
  const std::vector<std::string> base = {"unknown={}", "training/parallel/pp=15"};
  std::vector<std::string> even = base;
  even.push_back("training/stage_layers=[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4]");
  const PreparedRun balanced = Prepare(Load("deepseek-v2-pretrain", base));
  const PreparedRun fixed = Prepare(Load("deepseek-v2-pretrain", even));
  const auto slowest = [](const PreparedRun& run) {
    double most = 0;
    for (const LaneTime& lane : LaneTimes(run.step(0)))
      most = std::max(most, lane.blocks.total.value);
    return most;
  };
  EXPECT_LE(slowest(balanced), slowest(fixed) * (1 + 1e-12));
}

TEST(SlowTrainingStepTest, RandomPlansAreRefusedOrKeepTheLaws) {
  Random rng(7);
  int simulated = 0, refused = 0;
  for (int i = 0; i < 900; ++i) {
    const RandomPlan plan = AnyPlan(rng);
    SCOPED_TRACE(plan.Text());
    try {
      const PreparedRun run = Prepare(Load(plan.scenario, plan.sets));
      ExpectTheLaws(run.step(0), run.phase(0).run());
      ++simulated;
    } catch (const UserError&) {
      ++refused;
    }
  }
  // Both happen, or the choices above test nothing.
  EXPECT_GT(simulated, 50);
  EXPECT_GT(refused, 50);
}

TEST(TrainingMemoryTest, WeightsAndStatesOfV2ByHand) {
  // A rank of 4 MoE layers under EP 8: data-parallel parameters of a layer are attention
  // 149,227,520, two norms of 5120, the router 160 * 5120 and two shared experts 2 * 3 * 5120 *
  // 1536; experts 20 * 3 * 5120 *
  // 1536. bf16 weights, fp32 gradients, optimizer 12 bytes over dp = 128 and over dp / ep = 16.
  const PreparedRun run = Prepare(Load("deepseek-v2-pretrain", {"unknown={}"}));
  const std::vector<int> layers = run.step(0).layout.LayersByPiece();
  const size_t stage = 8;
  ASSERT_EQ(layers[stage], 4);
  const double data = 4 * (149227520.0 + 2 * 5120 + 160 * 5120 + 2 * 3 * 5120.0 * 1536),
               expert = 4 * 20 * 3 * 5120.0 * 1536;
  const StateBytes states = run.step(0).memory[stage].states;
  EXPECT_DOUBLE_EQ(states.weights.value, 2 * (data + expert));
  EXPECT_DOUBLE_EQ(states.gradients.value, 4 * (data + expert));
  EXPECT_NEAR(states.optimizer().value, 12 * (data / 128 + expert / 16), 1);
}

// Stage 5 of 16 holds pieces 5 and 10. Each piece's optimizer states are cut over the ranks of both
// its copies, twice as many; weights and gradients are whole on each.
TEST(TrainingMemoryTest, DualPipeHoldsTheStatesOfTwoPiecesAndCutsTheOptimizersOverBothCopies) {
  const std::string layers = "training/stage_layers=[4,4,4,4,4,3,4,4,4,4,4,4,4,4,4,2]";
  const auto states = [&](const char* schedule) {
    std::vector<StateBytes> of_stages;
    const PreparedRun run =
        Prepare(Load("deepseek-v3-pretrain", {"unknown={}", "training/weight_delay=null", layers,
                                              std::string("training/schedule=") + schedule}));
    for (const StageMemory& m : run.step(0).memory) of_stages.push_back(m.states);
    return of_stages;
  };
  const std::vector<StateBytes> one = states("zb-h1"), two = states("dualpipe");
  EXPECT_DOUBLE_EQ(two[5].weights.value, (one[5].weights + one[10].weights).value);
  EXPECT_DOUBLE_EQ(two[5].gradients.value, (one[5].gradients + one[10].gradients).value);
  EXPECT_DOUBLE_EQ(two[5].optimizer().value, (one[5].optimizer() + one[10].optimizer()).value / 2);
  EXPECT_DOUBLE_EQ(two[10].weights.value, two[5].weights.value);
  // MTP's embedding is the one of piece 0, which is there too: a copy less.
  const double embedding = 129280.0 * 7168;
  EXPECT_DOUBLE_EQ(two[0].gradients.value,
                   (one[0].gradients + one[15].gradients).value - 4 * embedding);
}

TEST(TrainingPairTest, AForwardBesideABackwardHidesWhatEachAloneExposes) {
  const PreparedRun run =
      Prepare(Load("deepseek-v3-pretrain", {"unknown={}", "training/schedule=dualpipe"}));
  const Step& step = run.step(0);
  ASSERT_FALSE(step.blocks.pairs.empty());
  for (size_t p = 0; p < step.blocks.pairs.size(); ++p) {
    BlockTime alone;
    for (const int32_t part : step.blocks.pairs[p].parts) alone += step.blocks[part].alone;
    const BlockTime& pair = step.blocks.pairs[p].alone;
    const auto ep = static_cast<size_t>(GroupKind::kEp),
               collective = static_cast<size_t>(OpClass::kCollective);
    EXPECT_LT(pair.total, alone.total);
    EXPECT_LT(pair.exposed[ep].value, 0.25 * alone.exposed[ep].value);
    EXPECT_NEAR(pair.busy[collective] / alone.busy[collective], 1, 1e-9);  // all of it is sent
    EXPECT_GT(pair.busy[0], alone.busy[0]);  // GEMMs are slower beside it
  }
}

TEST(TrainingPairTest, APairTakesItsTimeOnTheLaneOfItsStage) {
  TrainingRun alone = Load("deepseek-v3-pretrain", {"unknown={}", "training/schedule=dualpipe"})
                          .training()
                          .phases[0];
  alone.level = Level::kAnalytic;
  StepCache cache;
  const PreparedRun run(alone, cache);
  const Step& step = run.step(0);
  int pairs = 0;
  for (size_t i = 0; i < step.schedule().tasks.size(); ++i) {
    const Task& t = step.schedule().tasks[i];
    if (t.phase != Phase::kForwardBackward) continue;
    ++pairs;
    const int stage = step.schedule().lanes[step.schedule().LaneOf(static_cast<int32_t>(i))].rank;
    const int v = step.layout.map.VirtualStage(stage, t.chunk);
    EXPECT_EQ(step.timing.end[i] - step.timing.start[i],
              Time::From(step.blocks.pairs[step.blocks.pair_of[v]].alone.total));
  }
  // Of 60 micro-batches a direction, stage h of a half runs 2 (60 - 16 + h + 1) pairs and 7 - h
  // more; the two in the middle one less.
  int expected = 0;
  for (int h = 0; h < 8; ++h) expected += 2 * (2 * (45 + h) + (7 - h) - (h == 7 ? 1 : 0));
  EXPECT_EQ(pairs, expected);
}

TEST(SlowWhyTest, TheCriticalPathSumsToTheStep) {
  for (const Scenario& s : ManyScenarios()) {
    StepCache cache;
    const PreparedRun run(s.training(), cache);
    const PreparedPhase even = WithEvenLoads(run.phase(0), cache);
    double sum = 0;
    for (const Cause& cause : CriticalPath(run.step(0), even.step())) sum += cause.time.value;
    EXPECT_NEAR(sum / StepTime(run.step(0)).value, 1, 1e-9);
  }
}

TEST(WhyTest, AllResourcesTenPercentFasterMakeTheStepNearlyThatMuchFaster) {
  // Only what is bound by latency stays, and the gaps of the host.
  const PreparedRun run =
      Prepare(Load("deepseek-v2-pretrain", {"unknown={}", "whole_step/gap=0us"}));
  const Step& step = run.step(0);
  const double ratio = StepTime(step, Speedup{1.1, 1.1, 1.1, 1.1}) / StepTime(step);
  EXPECT_GE(ratio, 1 / 1.1 - 1e-9);
  EXPECT_LT(ratio, 1 / 1.1 * 1.001);
  double sum = 0;
  for (const Marginal& m : RateMarginals(step)) {
    EXPECT_LE(*m.step_change_percent, 0) << m.resource;
    sum += *m.step_change_percent;
  }
  EXPECT_NEAR(sum, 100 * (ratio - 1), 1);
}

TEST(TrainingMemoryTest, PeaksAreWithinFourPercentOfThePublishedOnes) {
  const std::vector<MemoryClaim> claims = LoadMemoryClaims();
  EXPECT_EQ(claims.size(), 6u);
  for (const MemoryClaim& c : claims) {
    StepCache cache;
    const PreparedRun run(c.run, cache);
    EXPECT_NEAR(run.step(0).memory[c.stage].allocated() / c.peak, 1, 0.04) << c.name;
  }
}

TEST(TrainingMemoryTest, ZeroStagesHoldLessAndLess) {
  double last = INFINITY;
  for (const char* zero : {"0", "1", "2", "3"}) {
    const PreparedRun run = Prepare(Load(
        "deepseek-v2-pretrain", {"unknown={}", std::string("training/parallel/zero=") + zero}));
    const StateBytes s = run.step(0).memory[5].states;
    const double total = (s.weights + s.gradients + s.optimizer()).value;
    EXPECT_LT(total, last);
    last = total;
  }
}

TEST(TrainingMemoryTest, LessDelayOfWeightGradientsHoldsLess) {
  double last = 0;
  for (const char* delay : {"0", "2", "4", "8"}) {
    const PreparedRun run = Prepare(Load(
        "deepseek-v2-pretrain", {"unknown={}", std::string("training/weight_delay=") + delay}));
    const double activations = run.step(0).memory.back().activations.value;
    EXPECT_GT(activations, last);
    last = activations;
  }
}

TEST(TrainingTrafficTest, ExpertBytesOfV2ByHand) {
  // 59 MoE layers over 16 stages; a layer and micro-batch: dispatch and combine, forward and
  // backward, each 4096 tokens * 5120 * 2 bytes to 7/8 of its devices: 3, but one where the 6 best
  // of 160 experts are in one of 8 groups of 20, in 8 C(20,6) of C(160,6) choices, and two where in
  // two, 28 (C(40,6) - 2 C(20,6)). By NVLink go also the parts of rings inside a node, 2.5% here.
  const PreparedRun run =
      Prepare(Load("deepseek-v2-pretrain", {"unknown={}", "training/routing={}"}));
  const double devices = 3 - (2 * 8 * 38760.0 + 28 * (3838380.0 - 2 * 38760.0)) / 21193254160.0;
  const double layer = 4 * 4096 * 5120 * 2.0 * devices * 7 / 8;
  double nvlink = 0;
  for (const SentBytes& t : TrafficByStage(run.step(0))) nvlink += t.nvlink.value;
  const double experts = 72 * 59 * layer;
  EXPECT_GE(nvlink, experts);
  EXPECT_LE(nvlink, experts * 1.03);
}

TEST(ForecastTest, WithoutUnknownsAndErrorsEverySampleIsTheMedian) {
  const PreparedRun run = Prepare(Load("deepseek-v2-pretrain", {"unknown={}"}));
  const Noise quiet{BySource<double>(run.step(0).sources->size(), 0)};
  EXPECT_NEAR(StepTime(run.step(0), quiet) / StepTime(run.step(0)), 1, 1e-12);
}

TEST(ForecastTest, ACommonErrorOfAllTablesScalesTheStep) {
  // Every table slower by its own sigma: no op is faster, so the step is slower, and by no more
  // than the largest sigma.
  const PreparedRun run = Prepare(Load("deepseek-v2-pretrain", {"unknown={}"}));
  const Noise slow{BySource<double>(run.step(0).sources->size(), 1)};
  double largest = 0;
  run.step(0).blocks.Each([&](const StepBlock& block) {
    for (const Cost& c : block.costed.costs) largest = std::max(largest, c.sigma_table);
  });
  const double ratio = StepTime(run.step(0), slow) / StepTime(run.step(0));
  EXPECT_GT(ratio, 1);
  EXPECT_LT(ratio, std::exp(largest));
}

TEST(ForecastTest, ErrorsOfCurvesAreDrawnByKeyAndAlikeInEveryRunWithTheSeed) {
  const PreparedRun run = Prepare(Load("deepseek-v2-pretrain", {"unknown={}"})),
                    again = Prepare(Load("deepseek-v2-pretrain", {"unknown={}"}));
  Noise noise{BySource<double>(run.step(0).sources->size(), 0)};
  std::set<double> ratios;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    const Lattice lattice(seed);
    noise.curves = &lattice;
    const double ratio = StepTime(run.step(0), noise) / StepTime(run.step(0));
    EXPECT_EQ(StepTime(run.step(0), noise), StepTime(again.step(0), noise));
    EXPECT_NEAR(ratio, 1, 0.1);
    ratios.insert(ratio);
  }
  EXPECT_EQ(ratios.size(), 4u);
}

TEST(ForecastTest, UnknownsWidenTheIntervalAndHaveTheirShare) {
  const Scenario s = Load("deepseek-v2-pretrain");
  const PreparedRun run = Prepare(s);
  std::vector<UnknownField> unknowns;
  for (const Unknown& u : s.spec().unknown.list)
    unknowns.push_back({u.pointer, static_cast<int>(u.values.size())});
  const auto variant = [&](std::span<const int> c) { return s.Variant(c); };
  StepCache cache;
  const Forecast with = ForecastRun(run, unknowns, variant, {.samples = 128}, cache);
  const Forecast without = ForecastRun(run, {}, variant, {.samples = 128}, cache);
  const auto width = [](const Forecast& f) {
    const Interval i =
        IntervalOf(f, [](const Draw& d) { return d.headlines.gpu_hours_per_trillion_tokens; });
    return i.p90 / i.p10;
  };
  EXPECT_GT(width(with), width(without));
  double sum = 0;
  bool named = false;
  for (const UncertaintyShare& u : with.uncertainty) {
    sum += u.share;
    named = named || u.source == "unknown /training/parallel/rank_order";
  }
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_TRUE(named);
}

}  // namespace
}  // namespace moecast
