#include "sim/pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/quantity_text.h"
#include "base/random.h"
#include "scenarios/pipeline_claims.h"

namespace moecast {
namespace {

const PipelineSchedule& Named(std::string_view name) {
  const PipelineSchedule* row = FindPipelineSchedule(name);
  EXPECT_NE(row, nullptr) << name;
  return *row;
}

// Equal stages; the times are of a whole stage in picoseconds, divided among the chunks.
PipelineShape Uniform(int stages, int micro_batches, int64_t f, int64_t b, int64_t w, int chunks = 1,
                      int64_t comm = 0) {
  PipelineShape shape{
      .stages = stages, .micro_batches = micro_batches, .chunks = chunks, .transfer = Time{comm}};
  shape.forward.assign(shape.virtual_stages(), Time{f / chunks});
  shape.backward.assign(shape.virtual_stages(), Time{b / chunks});
  shape.weight.assign(shape.virtual_stages(), Time{w / chunks});
  return shape;
}

struct Solved {
  Schedule schedule;
  Timing timing;
  PipelineResult result;
};

Solved Solve(std::string_view name, const PipelineShape& shape) {
  const PipelineSchedule& row = Named(name);
  EXPECT_EQ(RejectPipeline(row, shape), "");
  Solved s;
  s.schedule = LowerPipeline(row, shape, row.build(shape));
  Retimer(s.schedule).Run(PipelineDurations(row, shape), std::span(&shape.transfer, 1), s.timing);
  s.result = Summarize(row, shape, s.schedule, s.timing);
  return s;
}

// "F0 F1 B0 ...", the chunk after a dot where there are several.
std::string OrderText(const std::vector<PipelineTask>& tasks, bool chunks = false) {
  std::string text;
  for (const PipelineTask& t : tasks) {
    if (!text.empty()) text += ' ';
    text += "FBW"[static_cast<int>(t.phase)] + std::to_string(t.micro_batch);
    if (chunks) text += "." + std::to_string(t.chunk);
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
    EXPECT_NEAR(Solve(c.schedule, c.shape).result.bubble_rate, c.bubble_rate, c.tolerance) << c.name;
    ++rows[c.schedule];
  }
  EXPECT_EQ(rows, (std::map<std::string, int>{{"1f1b", 6}, {"interleaved", 6}, {"zb-h1", 6}}));
}

TEST(PipelineGoldenTest, OneFOneBWithTwoStagesAndTwoMicroBatches) {
  // F = B = W = 1, so a backward task takes 2. Stage 1: F0 at 1, B0 at 2, F1 at 4, B1 at 5, ends at 7.
  // Stage 0: F0 at 0, F1 at 1, B0 when stage 1's ends at 4, B1 at 7, ends at 9 = (2 + 2 - 1) 3; bubble (9 -
  // 6) / 9.
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
  // F = B = W = 1. Stage 1 (W one backward late): F0 at 1, B0 2, F1 3, B1 4, W0 5, W1 6, ends at 7, span 6.
  // Stage 0: F0 at 0, F1 1, B0 3, W0 4, B1 5, W1 6, ends at 7, span 7; bubble (7 - 6) / 7.
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
  // Warm-up 2 (p - s - 1) + (v - 1) p: 4 chunk forwards on stage 0, 2 on stage 1. With F = 1, B + W = 2 a
  // chunk: stage 1: F0.0 at 1, F1.0 2, F0.1 3, B0.1 4, F1.1 6, B1.1 7, B0.0 when stage 0's B0.1 ends, at 9.
  // stage 0: F at 0, 1, 2, 3 (F0.1 waits for stage 1's F0.0 until 2), B0.1 at 6, B1.1 at 9, B0.0 at 11, B1.0
  // at 13.
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

TEST(PipelineGoldenTest, ATransferDelaysEveryHopBetweenStages) {
  // One micro-batch over 3 stages, F = 2, B + W = 3, transfer 10: 3 * 2 + 3 * 3 + 4 * 10.
  EXPECT_EQ(Solve("1f1b", Uniform(3, 1, 2, 1, 2, 1, 10)).result.total, Time{55});
  // Split, W of stage 0 ends it: 3 * 2 + 3 * 1 + 2 + 4 * 10.
  EXPECT_EQ(Solve("zb-h1", Uniform(3, 1, 2, 1, 2, 1, 10)).result.total, Time{51});
  // Two chunks cross stages 5 times a direction: 3 * 2 + 3 * 3 + 10 * 10 with chunk times halved.
  EXPECT_EQ(Solve("interleaved", Uniform(3, 1, 2, 2, 2, 2, 10)).result.total, Time{3 * 2 + 3 * 4 + 100});
}

TEST(PipelineGoldenTest, ASlowStageSetsThePace) {
  // 1F1B over stages of 1, 4 and 1 (F), twice that backward, many micro-batches: the slow stage works without
  // a gap from its first forward to its last backward, 10 micro-batches of 12; then stage 0 has one backward
  // of 2 left.
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
      const auto f = static_cast<int64_t>(random.Below(9)), b = static_cast<int64_t>(random.Below(9)),
                 w = 1 + static_cast<int64_t>(random.Below(9));
      EXPECT_EQ(Solve("1f1b", Uniform(p, m, f, b, w)).result.stage_span, Time{(m + p - 1) * (f + b + w)});
      EXPECT_DOUBLE_EQ(Solve("1f1b", Uniform(p, m, 1, 1, 1)).result.bubble_rate, (p - 1.0) / (m + p - 1));
    }
  }
}

TEST(PipelineClosedFormTest, ZbH1IdlesForwardPlusBackwardLessWhatWeightGradientsFill) {
  // arXiv 2401.10241 table 1: (p - 1)(F + B - W) where W is the shortest; else the shortest of the three
  // fills the gap.
  Random random(12);
  for (int p = 1; p <= 9; ++p) {
    for (int m = p; m <= 24; ++m) {
      const auto f = static_cast<int64_t>(random.Below(9)), b = static_cast<int64_t>(random.Below(9)),
                 w = static_cast<int64_t>(random.Below(9));
      EXPECT_EQ(Solve("zb-h1", Uniform(p, m, f, b, w)).result.stage_span,
                Time{m * (f + b + w) + (p - 1) * (b + std::max<int64_t>(f - w, 0))})
          << p << " stages, " << m << " micro-batches, " << f << " " << b << " " << w;
    }
  }
}

TEST(PipelineClosedFormTest, ZbH1HasAThirdOfTheBubbleOfOneFOneBWhereForwardBackwardAndWeightAreEqual) {
  for (const int p : {2, 4, 16}) {
    const Time work{3 * 7 * 50};
    const Time one_f_one_b = Solve("1f1b", Uniform(p, 50, 7, 7, 7)).result.stage_span - work;
    EXPECT_EQ((Solve("zb-h1", Uniform(p, 50, 7, 7, 7)).result.stage_span - work) * 3, one_f_one_b);
  }
}

TEST(PipelineClosedFormTest, InterleavingDividesTheBubbleByTheChunksAlsoWhereMicroBatchesDoNotFillGroups) {
  Random random(13);
  for (int p = 1; p <= 8; ++p) {
    for (int v = 2; v <= 4; ++v) {
      for (int m = p; m <= 3 * p + 2; ++m) {
        const int64_t f = v * static_cast<int64_t>(random.Below(9)),
                      b = v * static_cast<int64_t>(random.Below(9)),
                      w = v * (1 + static_cast<int64_t>(random.Below(9)));
        EXPECT_EQ(Solve("interleaved", Uniform(p, m, f, b, w, v)).result.stage_span,
                  Time{m * (f + b + w) + (p - 1) * (f + b + w) / v})
            << p << " stages, " << v << " chunks, " << m << " micro-batches, " << f << " " << b << " " << w;
      }
    }
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
    for (int chunks = 1; chunks <= (row.chunked ? 3 : 1); ++chunks)
      for (const int m : {1, 2, 7})
        EXPECT_EQ(Solve(row.name, Uniform(1, m, 6, 12, 18, chunks, 1000)).result.bubble_rate, 0) << row.name;
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
  // 2 (p - s - 1) + (v - 1) p + 1 chunks of 1/3; on stage 0 the p (1 + (p - 1) / (p v)) of arXiv 2205.05198.
  const PipelineResult r = Solve("interleaved", Uniform(4, 12, 3, 3, 3, 3)).result;
  EXPECT_EQ(r.peak_until_backward, (std::vector<double>{15.0 / 3, 13.0 / 3, 11.0 / 3, 9.0 / 3}));
}

// A random shape: unequal stages, times of zero, fewer micro-batches than stages or more.
PipelineShape RandomShape(Random& random, bool chunked) {
  const auto below = [&](uint64_t n) { return static_cast<int>(random.Below(n)); };
  PipelineShape shape{
      .stages = 1 + below(9), .micro_batches = 1 + below(20), .chunks = chunked ? 1 + below(4) : 1};
  shape.transfer = Time{below(6)};
  for (std::vector<Time>* times : {&shape.forward, &shape.backward, &shape.weight})
    for (int v = 0; v < shape.virtual_stages(); ++v) times->push_back(Time{below(30)});
  return shape;
}

class PipelinePropertyTest : public testing::TestWithParam<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(Schedules, PipelinePropertyTest, testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const PipelineSchedule& row : PipelineSchedules()) names.push_back(row.name);
                           return names;
                         }()),
                         [](const auto& param) {
                           std::string name(param.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(PipelinePropertyTest, EveryMicroBatchPassesEveryVirtualStageOnceAPhaseInOrder) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(21);
  for (int round = 0; round < 300; ++round) {
    const PipelineShape shape = RandomShape(random, row.chunked);
    const Solved s = Solve(row.name, shape);
    const int last = shape.virtual_stages() - 1, m = shape.micro_batches;
    std::map<std::tuple<int, Phase, int>, std::pair<Time, Time>> when;  // virtual stage, phase, micro-batch
    std::vector<int> stage_of(shape.virtual_stages());
    for (int stage = 0; stage < shape.stages; ++stage) {
      Time free{};
      for (int32_t i = s.schedule.lane_begin[stage]; i < s.schedule.lane_begin[stage + 1]; ++i) {
        const Task& t = s.schedule.tasks[i];
        const int v = row.virtual_stage(shape, stage, t.chunk);
        stage_of[v] = stage;
        EXPECT_TRUE(when.insert({{v, t.phase, t.micro_batch}, {s.timing.start[i], s.timing.end[i]}}).second);
        EXPECT_GE(s.timing.start[i], free) << "overlap on stage " << stage;
        free = s.timing.end[i];
        const Time work = t.phase == Phase::kForward  ? shape.forward[v]
                          : t.phase == Phase::kWeight ? shape.weight[v]
                          : row.splits_weight         ? shape.backward[v]
                                                      : shape.backward[v] + shape.weight[v];
        EXPECT_EQ(s.timing.end[i] - s.timing.start[i], work);
      }
    }
    ASSERT_EQ(when.size(), static_cast<size_t>(m) * (last + 1) * (row.splits_weight ? 3 : 2));
    const auto hop = [&](int a, int b) { return stage_of[a] == stage_of[b] ? Time{} : shape.transfer; };
    for (int i = 0; i < m; ++i) {
      for (int v = 0; v <= last; ++v) {
        const auto forward = when.at({v, Phase::kForward, i}), backward = when.at({v, Phase::kBackward, i});
        const auto ready = [&](int before, Phase phase) {
          return before < 0 || before > last ? Time{} : when.at({before, phase, i}).second + hop(before, v);
        };
        EXPECT_GE(forward.first, ready(v - 1, Phase::kForward));
        EXPECT_GE(backward.first, ready(v + 1, Phase::kBackward));
        EXPECT_GE(backward.first, forward.second);
        EXPECT_GE(row.splits_weight ? when.at({v, Phase::kWeight, i}).first : kNever, backward.second);
      }
    }
  }
}

TEST_P(PipelinePropertyTest, TotalIsNoLessThanTheBusiestStageAndOneMicroBatchAlone) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(22);
  for (int round = 0; round < 300; ++round) {
    const PipelineShape shape = RandomShape(random, row.chunked);
    const Solved s = Solve(row.name, shape);
    for (int stage = 0; stage < shape.stages; ++stage) {
      Time busy{};
      for (int c = 0; c < shape.chunks; ++c) {
        const int v = row.virtual_stage(shape, stage, c);
        busy += (shape.forward[v] + shape.backward[v] + shape.weight[v]) * shape.micro_batches;
      }
      EXPECT_GE(s.result.total, busy);
    }
    Time alone{};
    for (int v = 0; v < shape.virtual_stages(); ++v) {
      alone += shape.forward[v] + shape.backward[v];
      if (!row.splits_weight || v == 0) alone += shape.weight[v];
    }
    if (shape.stages > 1) alone += shape.transfer * (2 * (shape.virtual_stages() - 1));
    EXPECT_GE(s.result.total, alone);
    EXPECT_GE(s.result.total, s.result.stage_span);
    EXPECT_GE(s.result.bubble_rate, 0);
    EXPECT_LE(s.result.bubble_rate, 1);
  }
}

TEST_P(PipelinePropertyTest, AMemoryLimitIsAcceptedFromTheOrdersOwnPeakOn) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(23);
  for (int round = 0; round < 200; ++round) {
    PipelineShape shape = RandomShape(random, row.chunked);
    const std::vector<double> peaks = Solve(row.name, shape).result.peak_until_weight;
    shape.memory_limit = *std::max_element(peaks.begin(), peaks.end());
    EXPECT_EQ(RejectPipeline(row, shape), "");
    shape.memory_limit -= 0.01;
    EXPECT_NE(RejectPipeline(row, shape), "");
  }
}

TEST(PipelineRejectTest, ShapesThatCannotBeScheduledSayWhatWasExpected) {
  const PipelineSchedule& row = Named("1f1b");
  const PipelineShape good = Uniform(4, 8, 1, 1, 1);
  ASSERT_EQ(RejectPipeline(row, good), "");
  const auto rejects = [&](auto change) {
    PipelineShape shape = good;
    change(shape);
    return RejectPipeline(row, shape);
  };
  EXPECT_EQ(rejects([](PipelineShape& s) { s.micro_batches = 0; }),
            "at least 1 stage, 1 micro-batch and 1 chunk");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.chunks = 2; }), "1 chunk a stage (vpp) with schedule 1f1b");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.micro_batches = 2'000'000'000; }),
            "at most 1000000 stages * micro-batches * chunks");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.stages = 2'000'000'000; }), "at most 10000 stages");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.weight.pop_back(); }),
            "as many forward, backward and weight times as virtual stages (4)");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.backward[2] = Time{-1}; }), "no negative time");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.transfer = Time{-1}; }), "no negative transfer time");
  EXPECT_NE(rejects([](PipelineShape& s) { s.forward[0] = Time::From(Seconds(9e6)); }), "");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.memory_limit = 3; }),
            "a memory limit of at least 4 micro-batches, which this schedule holds alive");
}

TEST(PipelineLowerDeathTest, AnOrderThatIsNotOneOfTheShapeAborts) {
  const PipelineSchedule& row = Named("1f1b");
  const PipelineShape shape = Uniform(2, 2, 1, 1, 1);
  const auto lower = [&](auto change) {
    PipelineOrder order = row.build(shape);
    change(order.by_stage[0]);
    LowerPipeline(row, shape, order);
  };
  EXPECT_DEATH(lower([](auto& tasks) { tasks.pop_back(); }), "check failed");
  EXPECT_DEATH(lower([](auto& tasks) { tasks.push_back(tasks[0]); }), "check failed");
  EXPECT_DEATH(lower([](auto& tasks) { std::swap(tasks.front(), tasks.back()); }), "check failed");
}

}  // namespace
}  // namespace moecast
