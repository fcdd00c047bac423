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
  while (true) {
    PipelineShape shape{.stages = 1 + below(9),
                        .micro_batches = 1 + below(20),
                        .chunks = row.least_chunks +
                                  below(static_cast<uint64_t>(most_chunks - row.least_chunks + 1)),
                        .copies = row.copies};
    shape.transfer = Time{below(6)};
    for (std::vector<Time>* times : {&shape.forward, &shape.backward, &shape.weight})
      for (int v = 0; v < shape.virtual_stages(); ++v) times->push_back(Time{below(30)});
    if (row.pairs && below(4) > 0)
      for (int v = 0; v < shape.virtual_stages(); ++v) shape.pair.push_back(Time{below(60)});
    // Some schedules want numbers of stages and micro-batches that go together.
    if (RejectPipeline(row, shape).empty()) return shape;
  }
}

// How long a stage's task takes; of a pair by default both halves.
Time TimeOf(const PipelineSchedule& row, const PipelineShape& shape, int stage, const Task& task) {
  Time time{};
  EachHalf(task, [&](Phase phase, int32_t, int16_t chunk) {
    const int v = row.virtual_stage(shape, stage, chunk);
    if (phase == Phase::kForward) time += shape.forward[v];
    if (DoesBackward(phase)) time += shape.backward[v];
    if (DoesWeight(phase)) time += shape.weight[v];
  });
  if (task.phase == Phase::kForwardBackward && !shape.pair.empty())
    return shape.pair[row.virtual_stage(shape, stage, task.chunk)];
  return time;
}

class PipelinePropertyTest : public testing::TestWithParam<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(Schedules, PipelinePropertyTest, testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const PipelineSchedule& row : PipelineSchedules())
                             names.push_back(row.name);
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
    const int last = shape.virtual_stages() - 1;
    std::map<std::tuple<int, Phase, int>, std::pair<Time, Time>>
        when;  // virtual stage, phase, micro-batch
    std::map<std::pair<int, int>, bool>
        full;  // by virtual stage and micro-batch: weights with the backward
    std::vector<int> stage_of(shape.virtual_stages());
    for (int stage = 0; stage < shape.stages; ++stage) {
      Time free{};
      for (int32_t i = s.schedule.lane_begin[stage]; i < s.schedule.lane_begin[stage + 1]; ++i) {
        const Task& t = s.schedule.tasks[i];
        EachHalf(t, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
          const int v = row.virtual_stage(shape, stage, chunk);
          stage_of[v] = stage;
          const std::pair<Time, Time> span = {s.timing.start[i], s.timing.end[i]};
          if (phase == Phase::kForward) {
            EXPECT_TRUE(when.insert({{v, Phase::kForward, micro_batch}, span}).second);
          }
          if (DoesBackward(phase)) {
            EXPECT_TRUE(when.insert({{v, Phase::kBackward, micro_batch}, span}).second);
          }
          if (DoesWeight(phase)) {
            EXPECT_TRUE(when.insert({{v, Phase::kWeight, micro_batch}, span}).second);
            full.insert_or_assign({v, micro_batch}, phase == Phase::kFullBackward);
          }
        });
        EXPECT_GE(s.timing.start[i], free) << "overlap on stage " << stage;
        free = s.timing.end[i];
        EXPECT_EQ(s.timing.end[i] - s.timing.start[i], TimeOf(row, shape, stage, t));
      }
    }
    const int each = shape.micro_batches_each();
    ASSERT_EQ(when.size(), static_cast<size_t>(each) * (last + 1) * 3);
    const auto hop = [&](int a, int b) {
      return stage_of[a] == stage_of[b] ? Time{} : shape.transfer;
    };
    for (int v = 0; v <= last; ++v) {
      // A copy of the model takes its own micro-batches, and has a first and a last piece of its
      // own.
      const int copy = v / shape.pieces();
      for (int i = copy * each; i < (copy + 1) * each; ++i) {
        const auto forward = when.at({v, Phase::kForward, i}),
                   backward = when.at({v, Phase::kBackward, i});
        const auto ready = [&](int before, Phase phase) {
          return before < 0 || before > last || before / shape.pieces() != copy
                     ? Time{}
                     : when.at({before, phase, i}).second + hop(before, v);
        };
        EXPECT_GE(forward.first, ready(v - 1, Phase::kForward));
        EXPECT_GE(backward.first, ready(v + 1, Phase::kBackward));
        EXPECT_GE(backward.first, forward.second);
        const auto weight = when.at({v, Phase::kWeight, i});
        EXPECT_TRUE(full.at({v, i}) ? weight == backward : weight.first >= backward.second);
        EXPECT_TRUE(row.splits_weight || full.at({v, i}));
      }
    }
  }
}

// Ends by virtual stage, phase and micro-batch, found by asking every stage again and again whether
// its next task can start: no dependencies, no blocks.
TEST_P(PipelinePropertyTest, TimesAgreeWithASlowReference) {
  const PipelineSchedule& row = Named(GetParam());
  Random random(27);
  for (int round = 0; round < 60; ++round) {
    const PipelineShape shape = RandomShape(random, row);
    const Solved s = Solve(row.name, shape);
    std::vector<int> stage_of(shape.virtual_stages());
    for (int stage = 0; stage < shape.stages; ++stage)
      for (int c = 0; c < shape.held(); ++c) stage_of[row.virtual_stage(shape, stage, c)] = stage;
    std::map<std::tuple<int, Phase, int>, Time> end;
    std::vector<int32_t> next(s.schedule.lane_begin.begin(), s.schedule.lane_begin.end() - 1);
    std::vector<Time> free(static_cast<size_t>(shape.stages));
    for (bool moved = true; moved;) {
      moved = false;
      for (int stage = 0; stage < shape.stages; ++stage) {
        if (next[stage] == s.schedule.lane_begin[stage + 1]) continue;
        const Task& task = s.schedule.tasks[next[stage]];
        Time start = free[stage];
        bool waits = false;
        EachHalf(task, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
          const int v = row.virtual_stage(shape, stage, chunk);
          const auto needs = [&](int of, Phase pass) {
            const auto found = end.find({of, pass, micro_batch});
            if (found == end.end())
              waits = true;
            else
              start = std::max(start,
                               found->second + (stage_of[of] == stage ? Time{} : shape.transfer));
          };
          const int place = v % shape.pieces();
          if (phase == Phase::kForward && place > 0) needs(v - 1, Phase::kForward);
          if (DoesBackward(phase)) needs(v, Phase::kForward);
          if (DoesBackward(phase) && place + 1 < shape.pieces()) needs(v + 1, Phase::kBackward);
          if (phase == Phase::kWeight) needs(v, Phase::kBackward);
        });
        if (waits) continue;
        free[stage] = start + TimeOf(row, shape, stage, task);
        EachHalf(task, [&](Phase phase, int32_t micro_batch, int16_t chunk) {
          const int v = row.virtual_stage(shape, stage, chunk);
          const Phase pass = DoesBackward(phase) ? Phase::kBackward : phase;
          end[{v, pass, micro_batch}] = free[stage];
        });
        EXPECT_EQ(s.timing.start[next[stage]], start);
        EXPECT_EQ(s.timing.end[next[stage]], free[stage]);
        ++next[stage];
        moved = true;
      }
    }
    for (int stage = 0; stage < shape.stages; ++stage)
      EXPECT_EQ(next[stage], s.schedule.lane_begin[stage + 1]);
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
      for (int32_t i = s.schedule.lane_begin[stage]; i < s.schedule.lane_begin[stage + 1]; ++i)
        busy += TimeOf(row, shape, stage, s.schedule.tasks[i]);
      EXPECT_GE(s.result.total, busy);
      if (row.pairs) continue;
      Time work{};
      for (int c = 0; c < shape.held(); ++c) {
        const int v = row.virtual_stage(shape, stage, c);
        work += (shape.forward[v] + shape.backward[v] + shape.weight[v]) * shape.micro_batches;
      }
      EXPECT_EQ(busy, work);
    }
    Time alone{};
    for (int v = 0; v < shape.pieces() && !row.pairs;
         ++v) {  // a pair may be given as shorter than its halves
      alone += shape.forward[v] + shape.backward[v];
      if (!row.splits_weight || v == 0) alone += shape.weight[v];
    }
    std::vector<int> stage_of(shape.virtual_stages());
    for (int stage = 0; stage < shape.stages; ++stage)
      for (int c = 0; c < shape.held(); ++c) stage_of[row.virtual_stage(shape, stage, c)] = stage;
    for (int v = 1; v < shape.pieces(); ++v)
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
    EXPECT_DOUBLE_EQ(PeakAlive(shape, order), *std::max_element(result.peak_until_weight.begin(),
                                                                result.peak_until_weight.end()));
    if (!row.splits_weight) continue;
    shape.kept_for_weight = 0;
    EXPECT_DOUBLE_EQ(PeakAlive(shape, order), *std::max_element(result.peak_until_backward.begin(),
                                                                result.peak_until_backward.end()));
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
    other.pair.clear();
    differ = differ || row.build(shape).by_stage != row.build(other).by_stage;
  }
  EXPECT_EQ(differ, row.times_matter);
}

}  // namespace
}  // namespace moecast
