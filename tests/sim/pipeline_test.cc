#include "sim/pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/quantity_text.h"
#include "base/random.h"
#include "scenarios/claims/pipeline_claims.h"
#include "tests/sim/solve_pipeline.h"

namespace moecast {
namespace {

// "F0 F1 B0 ...", the chunk after a dot where there are several.
std::string OrderText(const std::vector<PipelineTask>& tasks, bool chunks = false) {
  std::string text;
  for (const PipelineTask& t : tasks) {
    if (!text.empty()) text += ' ';
    bool second = false;
    EachHalf(t, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
      if (second) text += '&';
      text += "FBWB"[static_cast<int>(phase)] + std::to_string(micro_batch);
      if (chunks) text += "." + std::to_string(chunk);
      second = true;
    });
  }
  return text;
}

std::vector<int64_t> Starts(const Solved& s, int stage) {
  std::vector<int64_t> starts;
  for (int32_t i = s.schedule.lane_begin[stage]; i < s.schedule.lane_begin[stage + 1]; ++i)
    starts.push_back(s.timing.start[i].ps);
  return starts;
}

TEST(PipelinePublishedTest, BubbleRatesAreThoseOfTheZeroBubblePaper) {
  std::map<std::string, int> rows;
  for (const PipelineClaim& c : LoadPipelineClaims()) {
    EXPECT_NEAR(Solve(c.schedule, c.shape).result.bubble_rate, c.bubble_rate, c.tolerance)
        << c.name;
    ++rows[c.schedule];
  }
  EXPECT_EQ(rows, (std::map<std::string, int>{{"1f1b", 6},
                                              {"interleaved", 6},
                                              {"zb-h1", 6},
                                              {"zb-h2", 6},
                                              {"zb-1p", 6},
                                              {"zb-2p", 6}}));
}

TEST(PipelineGoldenTest, OneFOneBWithTwoStagesAndTwoMicroBatches) {
  // F = B = W = 1, so a backward task takes 2. Stage 1: F0 at 1, B0 at 2, F1 at 4, B1 at 5, ends at
  // 7. Stage 0: F0 at 0, F1 at 1, B0 when stage 1's ends at 4, B1 at 7, ends at 9 = (2 + 2 - 1) 3;
  // bubble (9 - 6) / 9.
  const Solved s = Solve("1f1b", Uniform(2, 2, 1, 1, 1));
  EXPECT_EQ(Starts(s, 0), (std::vector<int64_t>{0, 1, 4, 7}));
  EXPECT_EQ(Starts(s, 1), (std::vector<int64_t>{1, 2, 4, 5}));
  EXPECT_EQ(s.result.total, Time{9});
  EXPECT_EQ(s.result.stage_span, Time{9});
  EXPECT_DOUBLE_EQ(s.result.bubble_rate, 3.0 / 9);
  EXPECT_EQ(s.result.peak_until_backward, (std::vector<double>{2, 1}));
  EXPECT_EQ(s.result.peak_until_weight, (std::vector<double>{2, 1}));
}

TEST(PipelineGoldenTest, ZbH1WithTwoStagesAndTwoMicroBatches) {
  // F = B = W = 1. Stage 1 (W one backward late): F0 at 1, B0 2, F1 3, B1 4, W0 5, W1 6, ends at 7,
  // span 6. Stage 0: F0 at 0, F1 1, B0 3, W0 4, B1 5, W1 6, ends at 7, span 7; bubble (7 - 6) / 7.
  const PipelineShape shape = Uniform(2, 2, 1, 1, 1);
  const PipelineOrder order = Named("zb-h1").build(shape);
  EXPECT_EQ(OrderText(order.by_stage[0]), "F0 F1 B0 W0 B1 W1");
  EXPECT_EQ(OrderText(order.by_stage[1]), "F0 B0 F1 B1 W0 W1");
  const Solved s = Solve("zb-h1", shape);
  EXPECT_EQ(Starts(s, 0), (std::vector<int64_t>{0, 1, 3, 4, 5, 6}));
  EXPECT_EQ(Starts(s, 1), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(s.result.stage_span, Time{7});
  EXPECT_DOUBLE_EQ(s.result.bubble_rate, 1.0 / 7);
  EXPECT_EQ(s.result.peak_until_backward, (std::vector<double>{2, 1}));
  EXPECT_EQ(s.result.peak_until_weight, (std::vector<double>{2, 2}));
}

TEST(PipelineGoldenTest, InterleavedWithTwoStagesTwoChunksAndTwoMicroBatches) {
  // Warm-up 2 (p - s - 1) + (v - 1) p: 4 chunk forwards on stage 0, 2 on stage 1. With F = 1, B + W
  // = 2 a chunk: stage 1: F0.0 at 1, F1.0 2, F0.1 3, B0.1 4, F1.1 6, B1.1 7, B0.0 when stage 0's
  // B0.1 ends, at 9. stage 0: F at 0, 1, 2, 3 (F0.1 waits for stage 1's F0.0 until 2), B0.1 at 6,
  // B1.1 at 9, B0.0 at 11, B1.0 at 13.
  const PipelineShape shape = Uniform(2, 2, 2, 2, 2, 2);
  const PipelineOrder order = Named("interleaved").build(shape);
  EXPECT_EQ(OrderText(order.by_stage[0], true), "F0.0 F1.0 F0.1 F1.1 B0.1 B1.1 B0.0 B1.0");
  EXPECT_EQ(OrderText(order.by_stage[1], true), "F0.0 F1.0 F0.1 B0.1 F1.1 B1.1 B0.0 B1.0");
  const Solved s = Solve("interleaved", shape);
  EXPECT_EQ(Starts(s, 0), (std::vector<int64_t>{0, 1, 2, 3, 6, 9, 11, 13}));
  EXPECT_EQ(Starts(s, 1), (std::vector<int64_t>{1, 2, 3, 4, 6, 7, 9, 11}));
  EXPECT_EQ(s.result.stage_span, Time{15});  // work 12, bubble (p - 1)(F + B + W) / v = 3
  EXPECT_DOUBLE_EQ(s.result.bubble_rate, 3.0 / 15);
  EXPECT_EQ(s.result.peak_until_backward, (std::vector<double>{2, 1.5}));
}

TEST(PipelineGoldenTest, ZbH2WithTwoStagesAndThreeMicroBatches) {
  // F = B = W = 1. Stage 0: 2 (2 - 0) - 1 = 3 forwards at 0, 1, 2, then B0 when stage 1's B0 ends
  // at 3, W0 4, B1 5, W1 6, B2 7, W2 8, ends at 9. Stage 1 (W two backwards late): F0 1, B0 2, F1
  // 3, B1 4, F2 5, B2 6, W0 7, W1 8, W2 9, ends at 10. Both work 9 without a gap: no bubble.
  const PipelineShape shape = Uniform(2, 3, 1, 1, 1);
  const PipelineOrder order = Named("zb-h2").build(shape);
  EXPECT_EQ(OrderText(order.by_stage[0]), "F0 F1 F2 B0 W0 B1 W1 B2 W2");
  EXPECT_EQ(OrderText(order.by_stage[1]), "F0 B0 F1 B1 F2 B2 W0 W1 W2");
  const Solved s = Solve("zb-h2", shape);
  EXPECT_EQ(Starts(s, 0), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(Starts(s, 1), (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(s.result.bubble_rate, 0);
  EXPECT_EQ(s.result.peak_until_weight, (std::vector<double>{3, 3}));
}

TEST(PipelineGoldenTest, Zb1pWithTwoStagesAndTwoMicroBatchesIsZbH1) {
  // Stage 0: memory for two forwards before B0 arrives at 3; then B0, W0 fills the gap until stage
  // 1's B1 ends at 5.
  const PipelineShape shape = Uniform(2, 2, 1, 1, 1);
  EXPECT_EQ(OrderText(Named("zb-1p").build(shape).by_stage[0]), "F0 F1 B0 W0 B1 W1");
  EXPECT_EQ(OrderText(Named("zb-1p").build(shape).by_stage[1]), "F0 B0 F1 B1 W0 W1");
  EXPECT_EQ(Solve("zb-1p", shape).result.stage_span, Time{7});
}

TEST(PipelineGoldenTest, Zb2pFillsTheGapBeforeTheFirstBackwardThatZb1pHasNoMemoryFor) {
  // Two stages, F = B = W = 1: before B0 is back, at 3, stage 0 has time for three forwards; p = 2
  // micro-batches of memory hold two, 2 p hold three.
  const PipelineShape shape = Uniform(2, 3, 1, 1, 1);
  EXPECT_EQ(OrderText(Named("zb-1p").build(shape).by_stage[0]).substr(0, 8), "F0 F1 B0");
  EXPECT_EQ(OrderText(Named("zb-2p").build(shape).by_stage[0]).substr(0, 11), "F0 F1 F2 B0");
  EXPECT_EQ(Solve("zb-1p", shape).result.stage_span, Time{10});
  EXPECT_EQ(Solve("zb-2p", shape).result.stage_span, Time{9});
}

TEST(PipelineGoldenTest, ZbVWithTwoStagesAndOneMicroBatch) {
  // Virtual stages 0, 1, 2, 3 are on stages 0, 1, 1, 0. Slots of 1: F 0 to 3, then B of 3, 2, 1, 0
  // at 4 to 7. Stage 0 runs F0.0 at 0, F0.1 3, B0.1 4, W0.1 while stage 1 runs its two B, B0.0 7,
  // W0.0 8. Stage 1: F0.0 1, F0.1 2, B0.1 5, B0.0 6, W0.1 7, W0.0 8.
  const PipelineShape shape = Uniform(2, 1, 2, 2, 2, 2);
  const PipelineOrder order = Named("zb-v").build(shape);
  EXPECT_EQ(OrderText(order.by_stage[0], true), "F0.0 F0.1 B0.1 W0.1 B0.0 W0.0");
  EXPECT_EQ(OrderText(order.by_stage[1], true), "F0.0 F0.1 B0.1 B0.0 W0.1 W0.0");
  const Solved s = Solve("zb-v", shape);
  EXPECT_EQ(Starts(s, 0), (std::vector<int64_t>{0, 3, 4, 5, 7, 8}));
  EXPECT_EQ(Starts(s, 1), (std::vector<int64_t>{1, 2, 5, 6, 7, 8}));
  EXPECT_EQ(OrderText(Named("v-half").build(shape).by_stage[0], true),
            "F0.0 F0.1 B0.1 W0.1 B0.0 W0.0");
  EXPECT_EQ(OrderText(Named("v-min").build(shape).by_stage[1], true),
            "F0.0 F0.1 B0.1 B0.0 W0.1 W0.0");
}

// One stage, so no waiting: two forwards, the pairs, and the last two backwards, of which the
// latter leaves its weight gradients for the end.
TEST(PipelineGoldenTest, DualPipeVWithOneStageAndThreeMicroBatches) {
  const PipelineOrder order = Named("dualpipev").build(Uniform(1, 3, 2, 2, 2, 2));
  EXPECT_EQ(OrderText(order.by_stage[0], true),
            "F0.0 F0.1 F1.0 B0.1 F1.1&B0.0 F2.0&B1.1 F2.1&B1.0 B2.1 B2.0 W2.0");
}

TEST(PipelineGoldenTest, DualPipeWithTwoStagesAndFourMicroBatches) {
  // Micro-batches 0 and 1 enter at stage 0, 2 and 3 at stage 1. F = 2, B = W = 1, a pair 3. Stage
  // 0: F0 at 0, F2 (from stage 1, where it ran at 0) at 2, F1 at 4, B2 in full at 6, F3 with B0 at
  // 8 (B0 of stage 1 is back at 8), B3 at 11 (stage 1 ran F1 with B2 until 11), B1 at 13 (stage 1
  // ran B1 until 13), W1 at 14, ends at 15. Stage 1 is its mirror image.
  PipelineShape shape = Uniform(2, 4, 2, 1, 1, 1, 0, 2);
  shape.pair.assign(4, Time{3});
  const PipelineOrder order = Named("dualpipe").build(shape);
  EXPECT_EQ(OrderText(order.by_stage[0], true), "F0.0 F2.1 F1.0 B2.1 F3.1&B0.0 B3.1 B1.0 W1.0");
  EXPECT_EQ(OrderText(order.by_stage[1], true), "F2.1 F0.0 F3.1 B0.0 F1.0&B2.1 B1.0 B3.1 W3.1");
  const Solved s = Solve("dualpipe", shape);
  EXPECT_EQ(Starts(s, 0), (std::vector<int64_t>{0, 2, 4, 6, 8, 11, 13, 14}));
  EXPECT_EQ(Starts(s, 1), Starts(s, 0));
  EXPECT_EQ(s.result.stage_span, Time{15});
  EXPECT_EQ(s.result.bubble_rate, 0);
  EXPECT_EQ(s.result.peak_until_backward, (std::vector<double>{3, 3}));  // PP + 1
}

TEST(PipelineGoldenTest, ATransferDelaysEveryHopBetweenStages) {
  // One micro-batch over 3 stages, F = 2, B + W = 3, transfer 10: 3 * 2 + 3 * 3 + 4 * 10.
  EXPECT_EQ(Solve("1f1b", Uniform(3, 1, 2, 1, 2, 1, 10)).result.total, Time{55});
  // Split, W of stage 0 ends it: 3 * 2 + 3 * 1 + 2 + 4 * 10.
  EXPECT_EQ(Solve("zb-h1", Uniform(3, 1, 2, 1, 2, 1, 10)).result.total, Time{51});
  // In a V two chunks cross stages 4 times a direction, not where they turn on stage 2; W of chunk
  // 0 of stage 0 ends it, with chunk times halved: 6 * 1 + 6 * 1 + 2 + 8 * 10.
  for (const char* name : {"zb-v", "v-half", "v-min"})
    EXPECT_EQ(Solve(name, Uniform(3, 1, 2, 2, 4, 2, 10)).result.total, Time{94});
  // Two chunks cross stages 5 times a direction: 3 * 2 + 3 * 3 + 10 * 10 with chunk times halved.
  EXPECT_EQ(Solve("interleaved", Uniform(3, 1, 2, 2, 2, 2, 10)).result.total,
            Time{3 * 2 + 3 * 4 + 100});
}

TEST(PipelineGoldenTest, ASlowStageSetsThePace) {
  // 1F1B over stages of 1, 4 and 1 (F), twice that backward, many micro-batches: the slow stage
  // works without a gap from its first forward to its last backward, 10 micro-batches of 12; then
  // stage 0 has one backward of 2 left.
  PipelineShape shape = Uniform(3, 10, 1, 1, 1);
  shape.forward[1] = Time{4};
  shape.backward[1] = shape.weight[1] = Time{4};
  const Solved s = Solve("1f1b", shape);
  const int32_t begin = s.schedule.lane_begin[1], end = s.schedule.lane_begin[2];
  EXPECT_GE(s.timing.end[end - 1] - s.timing.start[begin], Time{120});
  EXPECT_EQ(s.timing.start[begin], Time{1});
  EXPECT_EQ(s.timing.end[end - 1] + Time{2}, s.result.total);
}

TEST(PipelineClosedFormTest, OneFOneBIdlesOneMicroBatchForEveryFurtherStage) {
  Random random(11);
  for (int p = 1; p <= 9; ++p) {
    for (int m = 1; m <= 20; ++m) {
      const auto f = static_cast<int64_t>(random.Below(9));
      const auto b = static_cast<int64_t>(random.Below(9));
      const auto w = 1 + static_cast<int64_t>(random.Below(9));
      EXPECT_EQ(Solve("1f1b", Uniform(p, m, f, b, w)).result.stage_span,
                Time{(m + p - 1) * (f + b + w)});
      EXPECT_DOUBLE_EQ(Solve("1f1b", Uniform(p, m, 1, 1, 1)).result.bubble_rate,
                       (p - 1.0) / (m + p - 1));
    }
  }
}

TEST(PipelineClosedFormTest, ZbH1IdlesForwardPlusBackwardLessWhatWeightGradientsFill) {
  // arXiv 2401.10241 table 1: (p - 1)(F + B - W) where W is the shortest; else the shortest of the
  // three fills the gap.
  Random random(12);
  for (int p = 1; p <= 9; ++p) {
    for (int m = p; m <= 24; ++m) {
      const auto f = static_cast<int64_t>(random.Below(9));
      const auto b = static_cast<int64_t>(random.Below(9));
      const auto w = static_cast<int64_t>(random.Below(9));
      EXPECT_EQ(Solve("zb-h1", Uniform(p, m, f, b, w)).result.stage_span,
                Time{m * (f + b + w) + (p - 1) * (b + std::max<int64_t>(f - w, 0))})
          << p << " stages, " << m << " micro-batches, " << f << " " << b << " " << w;
    }
  }
}

TEST(PipelineClosedFormTest,
     ZbH1HasAThirdOfTheBubbleOfOneFOneBWhereForwardBackwardAndWeightAreEqual) {
  for (const int p : {2, 4, 16}) {
    const Time work{3 * 7 * 50};
    const Time one_f_one_b = Solve("1f1b", Uniform(p, 50, 7, 7, 7)).result.stage_span - work;
    EXPECT_EQ((Solve("zb-h1", Uniform(p, 50, 7, 7, 7)).result.stage_span - work) * 3, one_f_one_b);
  }
}

// Each W right after its B passes gradients on a W later at each of p - 1 stages; an order built
// for that loses no more against the best one, also where memory is short because more is kept from
// B to W than from F to B.
TEST(PipelineClosedFormTest, AutomaticOrdersThatPutNothingOffLoseAWeightAStage) {
  for (const auto& [f, b, w] : {std::tuple(7, 7, 7), {20, 30, 20}, {30, 30, 20}, {20, 25, 30}}) {
    for (const int p : {2, 3, 4, 6, 8}) {
      for (const double kept : {1.0, 1.5, 2.0}) {
        PipelineShape shape = Uniform(p, 3 * p + 1, f, b, w);
        shape.kept_for_weight = kept;
        const Time free = Solve("zb-1p", shape).result.stage_span;
        for (shape.weight_delay = 0; shape.weight_delay < 3; ++shape.weight_delay)
          EXPECT_LE(Solve("zb-1p", shape).result.stage_span, free + Time{(p - 1) * w})
              << p << " stages, " << kept << " kept, " << shape.weight_delay << " put off";
      }
    }
  }
}

// Bubble in slots of one chunk's F, B or W, all alike.
int64_t BubbleSlots(std::string_view name, int p, int m) {
  return Solve(name, Uniform(p, m, 2, 2, 2, 2)).result.stage_span.ps - int64_t{6} * m;
}

TEST(PipelineClosedFormTest, ZbH2HasNoBubbleWhereForwardBackwardAndWeightAreEqual) {
  for (int p = 1; p <= 12; ++p)
    for (int m = 2 * p - 1; m <= 30; ++m)
      EXPECT_EQ(Solve("zb-h2", Uniform(p, m, 7, 7, 7)).result.bubble_rate, 0) << p << " x " << m;
}

TEST(PipelineClosedFormTest,
     Zb2pHasNoBubbleAndZb1pThatOfZbH1WhereForwardBackwardAndWeightAreEqual) {
  for (int p = 1; p <= 9; ++p) {
    for (int m = 2 * p; m <= 24; ++m) {
      const PipelineShape shape = Uniform(p, m, 7, 7, 7);
      EXPECT_EQ(Solve("zb-2p", shape).result.bubble_rate, 0) << p << " x " << m;
      EXPECT_EQ(Solve("zb-1p", shape).result.stage_span, Solve("zb-h1", shape).result.stage_span)
          << p << " x " << m;
    }
  }
}

TEST(PipelineClosedFormTest, ZbVHasNoBubbleUpToTwelveStagesAndHardlyOneBeyondWhereTimesAreEqual) {
  for (int p = 1; p <= 12; ++p)
    for (const int m : {2 * p, 3 * p + 1, 6 * p})
      EXPECT_EQ(BubbleSlots("zb-v", p, m), 0) << p << " x " << m;
  for (const int p : {16, 24, 32})
    EXPECT_LE(BubbleSlots("zb-v", p, 2 * p) * 20, 6 * (p - 1))
        << p;  // a twentieth of 1F1B's 6 (p - 1) slots
}

TEST(PipelineClosedFormTest,
     VHalfHasAtMostHalfAndVMinAtMostTwoThirdsOfTheBubbleOfOneFOneBWhereTimesAreEqual) {
  for (int p = 1; p <= 32; ++p) {
    for (const int m : {2 * p, 3 * p + 1}) {
      EXPECT_LE(BubbleSlots("v-half", p, m) * 2, 6 * (p - 1)) << p << " x " << m;
      EXPECT_LE(BubbleSlots("v-min", p, m) * 3, 2 * 6 * (p - 1)) << p << " x " << m;
    }
  }
}

TEST(PipelineClosedFormTest,
     InterleavingDividesTheBubbleByTheChunksAlsoWhereMicroBatchesDoNotFillGroups) {
  Random random(13);
  for (int p = 1; p <= 8; ++p) {
    for (int v = 2; v <= 4; ++v) {
      for (int m = p; m <= 3 * p + 2; ++m) {
        const int64_t f = v * static_cast<int64_t>(random.Below(9));
        const int64_t b = v * static_cast<int64_t>(random.Below(9));
        const int64_t w = v * (1 + static_cast<int64_t>(random.Below(9)));
        EXPECT_EQ(Solve("interleaved", Uniform(p, m, f, b, w, v)).result.stage_span,
                  Time{m * (f + b + w) + (p - 1) * (f + b + w) / v})
            << p << " stages, " << v << " chunks, " << m << " micro-batches, " << f << " " << b
            << " " << w;
      }
    }
  }
}

// DeepSeek's table (arXiv 2412.19437 table 2, and DualPipeV's in the repository) has (PP / 2 -
// 1)(F&B + B - 3 W) with B a full backward; PP stages are 2 p chunks in DualPipeV.
TEST(PipelineClosedFormTest,
     DualPipeAndDualPipeVIdleWhatTheirTableSaysWhereAPairIsAsLongAsItsHalves) {
  Random random(14);
  for (int half = 1; half <= 8; ++half) {
    for (const int each : {2 * half, 2 * half + 1, 5 * half}) {
      const auto w = static_cast<int64_t>(random.Below(9)),
                 f = w + static_cast<int64_t>(random.Below(9));
      const int64_t pair = 2 * f + w, idle = (half - 1) * (pair + (f + w) - 3 * w);
      PipelineShape shape = Uniform(2 * half, 2 * each, f, f, w, 1, 0, 2);
      shape.pair.assign(static_cast<size_t>(shape.virtual_stages()), Time{pair});
      EXPECT_EQ(Solve("dualpipe", shape).result.stage_span, Time{2 * each * (2 * f + w) + idle});
      EXPECT_EQ(Solve("dualpipev", Uniform(half, each, 2 * f, 2 * f, 2 * w, 2)).result.stage_span,
                Time{2 * each * (2 * f + w) + idle});
    }
  }
}

// Their order idles less than the table where a pair saves time, T = F + B + W - d of a stage:
// where W <= B <= F and d <= F, (PP / 2 - 1)(2 F + B - W) - (PP - 3) d. The table would take off
// (PP / 2 - 1) d only.
TEST(PipelineClosedFormTest, WhatAPairSavesTakesMoreOffTheBubbleOfDualPipeThanItsTableSays) {
  Random random(15);
  for (int round = 0; round < 300; ++round) {
    const int half = 2 + static_cast<int>(random.Below(7)),
              each = 2 * half + static_cast<int>(random.Below(9));
    const auto up_to = [&](int64_t n) {
      return static_cast<int64_t>(random.Below(static_cast<uint64_t>(n + 1)));
    };
    const int64_t f = 1 + up_to(40);
    const int64_t b = up_to(f);
    const int64_t w = up_to(b);
    const int64_t saved = up_to(std::min(f, b + w));
    const int64_t pair = f + b + w - saved;
    const int64_t idle = (half - 1) * (2 * f + b - w) - (2 * half - 3) * saved;
    PipelineShape shape = Uniform(2 * half, 2 * each, f, b, w, 1, 0, 2);
    shape.pair.assign(static_cast<size_t>(shape.virtual_stages()), Time{pair});
    const PipelineResult r = Solve("dualpipe", shape).result;
    EXPECT_NEAR(r.bubble_rate * r.stage_span.seconds().value * 1e12, static_cast<double>(idle),
                1e-6);
    PipelineShape folded = Uniform(half, each, 2 * f, 2 * b, 2 * w, 2);
    folded.pair.assign(static_cast<size_t>(folded.virtual_stages()), Time{pair});
    EXPECT_EQ(Solve("dualpipev", folded).result.stage_span, r.stage_span);
  }
}

TEST(PipelineMemoryTest, DualPipeHoldsOneMicroBatchMoreThanItHasStagesAndDualPipeVAsManyChunks) {
  for (int half = 1; half <= 12; ++half) {
    const PipelineResult r =
        Solve("dualpipe", Uniform(2 * half, 6 * half, 2, 2, 2, 1, 0, 2)).result;
    EXPECT_EQ(r.peak_until_backward,
              std::vector<double>(static_cast<size_t>(2 * half), 2 * half + 1));
    EXPECT_EQ(r.peak_until_weight, r.peak_until_backward);
    const PipelineResult folded = Solve("dualpipev", Uniform(half, 3 * half, 2, 2, 2, 2)).result;
    EXPECT_EQ(folded.peak_until_backward,
              std::vector<double>(static_cast<size_t>(half), half + 0.5));
    EXPECT_EQ(folded.peak_until_weight, folded.peak_until_backward);
  }
}

TEST(PipelineClosedFormTest, InterleavedWithOneChunkIsOneFOneB) {
  for (const auto& [p, m] : {std::pair{1, 3}, {4, 2}, {4, 9}}) {
    const PipelineShape shape = Uniform(p, m, 3, 2, 1);
    EXPECT_EQ(Named("interleaved").build(shape).by_stage, Named("1f1b").build(shape).by_stage);
  }
}

TEST(PipelineClosedFormTest, OneStageHasNoBubble) {
  for (const PipelineSchedule& row : PipelineSchedules())
    for (int chunks = row.least_chunks; chunks <= std::min(row.most_chunks, 3); ++chunks)
      for (const int m : {1, 2, 7}) {
        const PipelineShape shape = Uniform(1, m, 6, 12, 18, chunks, 1000, row.copies);
        if (!row.pairs || RejectPipeline(row, shape).empty()) {
          EXPECT_EQ(Solve(row.name, shape).result.bubble_rate, 0) << row.name;
        }
      }
}

TEST(PipelineMemoryTest, OneFOneBHoldsFewerTheLaterTheStage) {
  for (const int m : {1, 3, 6, 20}) {
    const PipelineResult r = Solve("1f1b", Uniform(6, m, 2, 2, 1)).result;
    for (int s = 0; s < 6; ++s) EXPECT_EQ(r.peak_until_backward[s], std::min(6 - s, m));
    EXPECT_EQ(r.peak_until_weight, r.peak_until_backward);
  }
}

TEST(PipelineMemoryTest, ZbH1HoldsOnEveryStageWhatOneFOneBHoldsOnTheFirst) {
  for (const int m : {1, 3, 6, 20}) {
    const PipelineResult r = Solve("zb-h1", Uniform(6, m, 2, 2, 1)).result;
    for (int s = 0; s < 6; ++s) {
      EXPECT_EQ(r.peak_until_backward[s], std::min(6 - s, m));
      EXPECT_EQ(r.peak_until_weight[s], std::min(6, m));
    }
  }
}

TEST(PipelineMemoryTest, InterleavedHoldsTheWarmUpAndOneChunkMore) {
  // 2 (p - s - 1) + (v - 1) p + 1 chunks of 1/3; on stage 0 the p (1 + (p - 1) / (p v)) of arXiv
  // 2205.05198.
  const PipelineResult r = Solve("interleaved", Uniform(4, 12, 3, 3, 3, 3)).result;
  EXPECT_EQ(r.peak_until_backward, (std::vector<double>{15.0 / 3, 13.0 / 3, 11.0 / 3, 9.0 / 3}));
}

TEST(PipelineMemoryTest, ZbH2HoldsOneLessThanTwiceWhatOneFOneBHolds) {
  for (const int m : {1, 3, 11, 20}) {
    const PipelineResult r = Solve("zb-h2", Uniform(6, m, 2, 2, 1)).result;
    for (int s = 0; s < 6; ++s) {
      EXPECT_EQ(r.peak_until_backward[s], std::min(2 * (6 - s) - 1, m));
      EXPECT_EQ(r.peak_until_weight[s], std::min(11, m));
    }
  }
}

TEST(PipelineMemoryTest, VPlacementHoldsWhatItsPaperSays) {
  // arXiv 2405.15362: p for V-ZB (ours one more until W ends), (p + 2) / 2 for V-Half, (p + 4) / 3
  // for V-Min, rounded down.
  for (int p = 2; p <= 24; ++p) {
    const PipelineShape shape = Uniform(p, 4 * p, 2, 2, 2, 2);
    EXPECT_EQ(PeakAlive(shape, Named("v-half").build(shape)), (p + 2) / 2) << p;
    EXPECT_EQ(PeakAlive(shape, Named("v-min").build(shape)), (p + 4) / 3) << p;
    EXPECT_LE(PeakAlive(shape, Named("zb-v").build(shape)), p + 1) << p;
    PipelineShape until_backward = shape;
    until_backward.kept_for_weight = 0;
    EXPECT_LE(PeakAlive(until_backward, Named("zb-v").build(shape)), p) << p;
  }
}

TEST(PipelineMemoryTest, Zb1pWithTheMemoryOfZb2pIsZb2p) {
  PipelineShape shape = Uniform(4, 12, 3, 3, 2);
  shape.memory_limit = 8;
  EXPECT_EQ(Named("zb-1p").build(shape).by_stage, Named("zb-2p").build(shape).by_stage);
}

TEST(PipelineMemoryTest, StagesOfTheirOwnKeepToTheirOwnLimits) {
  PipelineShape shape = Uniform(4, 12, 3, 3, 2);
  shape.stage_limit = {6, 3, 3.5, 2};
  shape.stage_kept_for_weight = {1, 1.5, 0.5, 2};
  const PipelineOrder order = Named("zb-2p").build(shape);
  for (int s = 0; s < 4; ++s) {
    PipelineShape alone = Uniform(1, 12, 3, 3, 2);
    alone.kept_for_weight = shape.stage_kept_for_weight[s];
    EXPECT_LE(PeakAlive(alone, {.by_stage = {order.by_stage[s]}}), shape.stage_limit[s] + 1e-6)
        << s;
  }
}

// 16 stages in the memory of 16 micro-batches, which keep twice as much from B to W: 15 in flight
// on the first stage. The work of a round trip, 16 (F + B), fits into what 15 micro-batches take,
// 15 (F + B + W).
TEST(PipelineMemoryTest, Zb1pDoesNotIdleForMicroBatchesThatKeepMoreForTheirWeightGradients) {
  PipelineShape shape = Uniform(16, 72, 36000, 65000, 20000);
  shape.kept_for_weight = 2;
  const PipelineResult automatic = Solve("zb-1p", shape).result;
  const PipelineResult plain = Solve("1f1b", shape).result;
  EXPECT_LE(automatic.bubble_rate, plain.bubble_rate * 1.15);
  EXPECT_LE(PeakAlive(shape, Named("zb-1p").build(shape)), 16 + 1e-6);
}

}  // namespace
}  // namespace moecast
