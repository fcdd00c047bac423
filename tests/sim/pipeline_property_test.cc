// What holds of every row of the table of schedules, over random shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"
#include "sim/pipeline/pipeline.h"
#include "tests/sim/solve_pipeline.h"

namespace moecast {
namespace {

// A random shape: unequal stages, times of zero, fewer micro-batches than stages or more.
PipelineShape RandomShape(Random& random, const PipelineSchedule& row) {
  const auto below = [&](uint64_t n) { return static_cast<int>(random.Below(n)); };
  const int most_chunks = std::min(row.most_chunks, 4);
  PipelineShape shape{
      .stages = 1 + below(9),
      .micro_batches = 1 + below(20),
      .chunks = row.least_chunks + below(static_cast<uint64_t>(most_chunks - row.least_chunks + 1))};
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
    const PipelineShape shape = RandomShape(random, row);
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
    const PipelineShape shape = RandomShape(random, row);
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
    std::vector<int> stage_of(shape.virtual_stages());
    for (int stage = 0; stage < shape.stages; ++stage)
      for (int c = 0; c < shape.chunks; ++c) stage_of[row.virtual_stage(shape, stage, c)] = stage;
    for (size_t v = 1; v < stage_of.size(); ++v)
      if (stage_of[v] != stage_of[v - 1]) alone += shape.transfer * 2;
    EXPECT_GE(s.result.total, alone);
    EXPECT_GE(s.result.total, s.result.stage_span);
    EXPECT_GE(s.result.bubble_rate, 0);
    EXPECT_LE(s.result.bubble_rate, 1);
  }
}

TEST_P(PipelinePropertyTest, AnAcceptedMemoryLimitIsKept) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(23);
  for (int round = 0; round < 200; ++round) {
    PipelineShape shape = RandomShape(random, row);
    shape.kept_for_weight = 2 * random.Uniform();
    const double peak = PeakAlive(shape, row.build(shape));
    shape.memory_limit = std::max(peak, 1.0);
    EXPECT_EQ(RejectPipeline(row, shape), "");
    EXPECT_LE(PeakAlive(shape, row.build(shape)), shape.memory_limit + 1e-6);
    shape.memory_limit = (0.1 + 0.9 * random.Uniform()) * peak;
    if (RejectPipeline(row, shape).empty()) {
      EXPECT_LE(PeakAlive(shape, row.build(shape)), shape.memory_limit + 1e-6);
    } else {
      EXPECT_LT(shape.memory_limit, row.times_matter ? std::max(1.0, shape.kept_for_weight) : peak);
    }
  }
}

TEST_P(PipelinePropertyTest, PeakAliveIsWhatTheTimedScheduleHolds) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(24);
  for (int round = 0; round < 100; ++round) {
    PipelineShape shape = RandomShape(random, row);
    const PipelineOrder order = row.build(shape);
    const PipelineResult result = Solve(row.name, shape).result;
    EXPECT_DOUBLE_EQ(PeakAlive(shape, order),
                     *std::max_element(result.peak_until_weight.begin(), result.peak_until_weight.end()));
    if (!row.splits_weight) continue;
    shape.kept_for_weight = 0;
    EXPECT_DOUBLE_EQ(PeakAlive(shape, order),
                     *std::max_element(result.peak_until_backward.begin(), result.peak_until_backward.end()));
  }
}

TEST_P(PipelinePropertyTest, NoMoreWeightGradientsArePutOffThanTheLimit) {
  const PipelineSchedule& row = Named(GetParam());
  if (!row.splits_weight) return;
  Random random(25);
  for (int round = 0; round < 100; ++round) {
    PipelineShape shape = RandomShape(random, row);
    shape.weight_delay = static_cast<int>(random.Below(5));
    ASSERT_EQ(RejectPipeline(row, shape), "");
    for (const std::vector<PipelineTask>& tasks : row.build(shape).by_stage) {
      int put_off = 0;  // a backward may be followed by its own weight gradients only
      for (size_t i = 0; i < tasks.size(); ++i) {
        put_off += (tasks[i].phase == Phase::kBackward) - (tasks[i].phase == Phase::kWeight);
        if (i + 1 < tasks.size() && tasks[i + 1].phase != Phase::kWeight) {
          EXPECT_LE(put_off, shape.weight_delay * shape.chunks);
        }
      }
    }
    Solve(row.name, shape);
  }
}

TEST_P(PipelinePropertyTest, TheOrderDependsOnTimesOnlyWhereTheTableSaysSo) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(26);
  bool differ = false;
  for (int round = 0; round < 100; ++round) {
    const PipelineShape shape = RandomShape(random, row);
    PipelineShape other = shape;
    for (std::vector<Time>* times : {&other.forward, &other.backward, &other.weight})
      for (Time& t : *times) t = Time{static_cast<int64_t>(random.Below(30))};
    differ = differ || row.build(shape).by_stage != row.build(other).by_stage;
  }
  EXPECT_EQ(differ, row.times_matter);
}

}  // namespace
}  // namespace moecast
