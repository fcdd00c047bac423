// A whole training step against closed forms: what its stages wait for, and what they hold for it.
#include <gtest/gtest.h>

#include "tests/sim/step_probe.h"

namespace moecast {
namespace {

using Sets = std::vector<std::string>;

// Sums of the engine's times are rounded to picoseconds a task.
constexpr double kRounding = 1e-9;

// One rank a stage: no data parallelism, and 60 layers of DeepSeek-V2 in equal parts.
Sets Alone(int stages, int chunks, int micro_batches, const std::string& schedule) {
  std::string layers;
  for (int i = 0; i < stages * chunks; ++i)
    layers += (i > 0 ? "," : "") + std::to_string(60 / (stages * chunks));
  return {"training/parallel={\"pp\":" + std::to_string(stages) +
              ",\"vpp\":" + std::to_string(chunks) + "}",
          "training/stage_layers=[" + layers + "]",
          "training/phases/0/global_batch=" + std::to_string(micro_batches),
          "training/schedule=" + schedule,
          "training/weight_delay=null",
          "training/routing={}"};
}

// Idle time of every stage, where a layer's forward, backward and weight gradient take 1 ms each: a
// stage of 60 / p layers takes F = B = W = 60 / p ms, and a step M (F + B + W) and the bubble.
double BubbleMilliseconds(int stages, int chunks, int micro_batches, const std::string& schedule) {
  StepCache cache;
  const PreparedPhase phase(
      RunAlone("deepseek-v2-pretrain", Alone(stages, chunks, micro_batches, schedule)), cache);
  const Seconds each(1e-3);
  const double work = micro_batches * 3.0 * 60 / stages;
  return TimeOfLayersAlone(phase.step(), each, each, each).value * 1e3 - work;
}

TEST(StepBubbleTest, OneFOneBIdlesAMicroBatchForEachFurtherStage) {
  // (p - 1)(F + B + W)
  for (const int p : {1, 2, 4, 12})
    for (const int m : {1, 3, 2 * p})
      EXPECT_NEAR(BubbleMilliseconds(p, 1, m, "1f1b"), (p - 1) * 3 * 60.0 / p, 1e-6);
}

TEST(StepBubbleTest, ZbH1IdlesAThirdOfThat) {
  // (p - 1)(F + B - W), arXiv 2401.10241 table 1: weight gradients fill the rest.
  for (const int p : {1, 2, 4, 12})
    for (const int m : {p, 2 * p + 1})
      EXPECT_NEAR(BubbleMilliseconds(p, 1, m, "zb-h1"), (p - 1) * 60.0 / p, 1e-6);
}

TEST(StepBubbleTest, InterleavedChunksCutTheBubbleByTheirNumber) {
  // (p - 1)(F + B + W) / v, arXiv 2104.04473 section 2.2.
  for (const auto& [p, v] : {std::pair(2, 2), {2, 3}, {2, 5}, {4, 3}, {4, 5}, {6, 2}})
    for (const int m : {p, 3 * p})
      EXPECT_NEAR(BubbleMilliseconds(p, v, m, "interleaved"), (p - 1) * 3 * 60.0 / p / v, 1e-6);
}

// 1F1B where the last stage has most to do: once its first micro-batch has come it never waits, so
// the step is
//   sum over the others (F + send) + M (F + B + W of the last) + sum over the others (send + B + W)
// and the first stage's optimizer. Every other stage idles for what is left of that.
TEST(StepBubbleTest, UnderOneFOneBAllStagesWaitForTheOneWithTheHead) {
  StepCache cache;
  const PreparedPhase phase(
      RunAlone("deepseek-67b-pretrain",
               {R"(training/parallel={"tp":8,"pp":5})", "training/stage_layers=[19,19,19,18,20]",
                "training/phases/0/global_batch=16", "training/optimizer/grad_clip=none"}),
      cache);
  const StepProbe step = Probe(phase.step());
  const auto of = [](const StageProbe& s) { return s.forward + s.backward + s.weight; };
  const StageProbe &first = step.stages.front(), &last = step.stages.back();
  Seconds time = of(last) * step.micro_batches + first.lane.optimizer;
  for (size_t s = 0; s + 1 < step.stages.size(); ++s) {
    ASSERT_LT(of(step.stages[s]), of(last));
    time += of(step.stages[s]) + phase.step().blocks.send.alone.total * 2;
  }
  EXPECT_NEAR(step.time / time, 1, kRounding);
  for (const StageProbe& s : step.stages) {
    EXPECT_NEAR((s.lane.blocks.total / (of(s) * step.micro_batches)), 1, kRounding);
    EXPECT_NEAR((s.lane.bubble / (time - of(s) * step.micro_batches - s.lane.optimizer)), 1, 1e-6);
    EXPECT_EQ(s.lane.grad_reduce + s.lane.param_gather + s.lane.grad_norm + s.lane.contention,
              Seconds(0));
  }
}

// One stage whose collectives overlap with nothing: weights are gathered, M micro-batches run,
// gradients are reduced, weights are updated. Gradients travel in fp32 and weights in bf16, so the
// two differ.
TEST(StepExposureTest, AStepIsItsGatherItsBlocksItsReductionAndItsOptimizer) {
  for (const char* clip : {"none", "barrier", "post-validation"}) {
    const StepProbe step =
        Probe("deepseek-v2-lite-pretrain",
              {R"(training/parallel={"pp":1,"dp":16})", "training/phases/0/global_batch=64",
               "training/precision/grad_reduce=fp32", "training/overlap/grad_reduce=false",
               "training/overlap/param_gather=false",
               std::string("training/optimizer/grad_clip=") + clip});
    const StageProbe& s = step.stages.front();
    ASSERT_GT(s.gather.value, 0);
    ASSERT_GT(s.reduce.value, 1.5 * s.gather.value);
    EXPECT_NEAR(s.lane.param_gather / s.gather, 1, kRounding) << clip;
    EXPECT_NEAR(s.lane.grad_reduce / s.reduce, 1, kRounding) << clip;
    EXPECT_EQ(s.lane.bubble, Seconds(0)) << clip;
    const Seconds time = s.gather + (s.forward + s.backward + s.weight) * step.micro_batches +
                         s.reduce + s.lane.grad_norm + s.lane.optimizer;
    EXPECT_NEAR(step.time / time, 1, kRounding) << clip;
    EXPECT_EQ(s.lane.grad_norm.value > 0, std::string(clip) != "none");
  }
}

// Overlapped with blocks that take longer, what is left to wait for are weights until the first
// layer has its own, beside whose gather only the embedding runs, and gradients from the end of
// that layer's backward on.
TEST(StepExposureTest, OverlappedOnlyTheFirstLayersWeightsAndItsGradientsAreWaitedFor) {
  StepCache cache;
  const PreparedPhase phase(
      RunAlone("deepseek-67b-pretrain",
               {R"(training/parallel={"tp":8,"pp":1,"dp":2})", "training/micro_batch=4",
                "training/phases/0/global_batch=64", "training/overlap/param_gather=true"}),
      cache);
  const Step& step = phase.step();
  const auto moves = [](const CostedOps& ops) {
    Seconds sum;
    for (const Cost& cost : ops.costs) sum += cost.time;
    return sum;
  };
  const auto takes = [&](BlockKind kind, Pass pass) {
    return step.blocks.Of(kind, pass).alone.total;
  };
  constexpr BlockKind kEmbedding = BlockKind::kEmbedding, kLayer = BlockKind::kDense;
  const Seconds gather = moves(step.blocks.layer(kLayer).param_gather[0].costed);
  const Seconds reduce = moves(step.blocks.layer(kLayer).grad_reduce[0].costed);
  const Seconds backward = takes(kEmbedding, Pass::kBackward) + takes(kEmbedding, Pass::kWeight);
  ASSERT_LT(gather, takes(kLayer, Pass::kForward));
  ASSERT_LT(reduce, takes(kLayer, Pass::kBackward) + takes(kLayer, Pass::kWeight));
  ASSERT_LT(takes(kEmbedding, Pass::kForward), gather);
  ASSERT_LT(backward, reduce);
  const LaneTime lane = LaneTimes(step).front();
  EXPECT_NEAR(lane.param_gather / (moves(step.blocks.layer(kEmbedding).param_gather[0].costed) +
                                   gather - takes(kEmbedding, Pass::kForward)),
              1, kRounding);
  EXPECT_NEAR(lane.grad_reduce /
                  (reduce - backward + moves(step.blocks.layer(kEmbedding).grad_reduce[0].costed)),
              1, kRounding);
}

// Without a barrier a stage's own step begins with its gather. Of stages alike the first ends last,
// and the step is its gather, all micro-batches and the fill and drain of the stages behind it.
TEST(StepExposureTest, WithoutABarrierTheGatherIsPartOfTheLongestStagesStep) {
  const Sets sets = {
      R"(training/parallel={"tp":8,"pp":5,"dp":2})", "training/stage_layers=[19,19,19,18,20]",
      "training/phases/0/global_batch=32",           "training/optimizer/grad_clip=none",
      "training/overlap/param_gather=false",         "training/overlap/grad_reduce=false"};
  StepCache cache;
  const PreparedPhase phase(RunAlone("deepseek-67b-pretrain", sets), cache);
  const StepProbe step = Probe(phase.step());
  const auto of = [](const StageProbe& s) { return s.forward + s.backward + s.weight; };
  const StageProbe &first = step.stages.front(), &last = step.stages.back();
  // No other stage gathers so long that its first micro-batch would wait for it.
  Seconds time = first.gather + of(last) * step.micro_batches + first.reduce + first.lane.optimizer;
  Seconds arrives = first.gather;
  for (size_t s = 0; s + 1 < step.stages.size(); ++s) {
    time += of(step.stages[s]) + phase.step().blocks.send.alone.total * 2;
    arrives += step.stages[s].forward;
    ASSERT_LT(step.stages[s + 1].gather, arrives);
  }
  EXPECT_NEAR(step.time / time, 1, kRounding);
  for (const StageProbe& s : step.stages) {
    EXPECT_NEAR(s.lane.param_gather / s.gather, 1, kRounding);
    EXPECT_NEAR(s.lane.grad_reduce / s.reduce, 1, kRounding);
  }
}

// Of activations and of gradients a stage holds one that arrives and one that leaves, 4096 tokens
// of 5120 in bf16, cut over tp where that cuts the sequence and over cp.
TEST(StepMemoryTest, AStageHoldsFourMessagesOfThePipeline) {
  const auto buffers = [](const std::string& parallel) {
    return Probe("deepseek-v2-pretrain", {"training/parallel=" + parallel, "training/routing={}",
                                          "training/phases/0/global_batch=64"})
        .stages.front()
        .memory.receive_buffers.value;
  };
  EXPECT_EQ(buffers(R"({"pp":1,"ep":8,"dp":8})"), 0);
  EXPECT_EQ(buffers(R"({"pp":4,"ep":8,"dp":8})"), 4 * 4096.0 * 5120 * 2);
  EXPECT_EQ(buffers(R"({"pp":4,"tp":4})"), 4 * 4096.0 / 4 * 5120 * 2);
  EXPECT_EQ(buffers(R"({"pp":4,"tp":4,"sequence":false})"), 4 * 4096.0 * 5120 * 2);
  EXPECT_EQ(buffers(R"({"pp":4,"cp":2})"), 4 * 4096.0 / 2 * 5120 * 2);
}

// Gradients summed in fp32 that travel in bf16 are copied into two buckets, as large as the largest
// block of the stage: a MoE layer of DeepSeek-V2 under ep 8 has 149,227,520 parameters of
// attention, two norms, the router, two shared experts and 20 of 160 experts of 3 * 5120 * 1536.
TEST(StepMemoryTest, GradientsThatTravelInAnotherFormatHaveTwoBuckets) {
  const auto buckets = [](const char* travels) {
    const Sets sets = {std::string("training/precision/grad_reduce=") + travels};
    return Probe("deepseek-v2-pretrain", sets).stages[8].memory.buckets.value;
  };
  const double layer = 149227520.0 + 2 * 5120 + 160 * 5120 + (2 + 20) * 3.0 * 5120 * 1536;
  EXPECT_EQ(buckets("bf16"), 2 * layer * 2);
  EXPECT_EQ(buckets("fp32"), 0);
}

}  // namespace
}  // namespace moecast
