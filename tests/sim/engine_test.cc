#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <tuple>

#include "base/random.h"
#include "sim/engine/schedule.h"

namespace moecast {
namespace {

struct TimedTask {
  int32_t block;
  std::vector<Dependency> after;
};

// Tasks by lane; dependencies name tasks by their place in the concatenation of the lanes.
Schedule MakeSchedule(const std::vector<std::vector<TimedTask>>& lanes) {
  Schedule s;
  s.lane_begin.push_back(0);
  s.dependency_begin.push_back(0);
  for (const auto& lane : lanes) {
    s.lanes.push_back({.rank = static_cast<int32_t>(s.lanes.size())});
    for (const TimedTask& task : lane) {
      s.program_of.push_back(task.block);
      s.dependencies.insert(s.dependencies.end(), task.after.begin(), task.after.end());
      s.dependency_begin.push_back(static_cast<int32_t>(s.dependencies.size()));
    }
    s.lane_begin.push_back(s.size());
  }
  return s;
}

Timing TimeOf(const Schedule& schedule, const std::vector<Time>& duration,
              const std::vector<Time>& transfer) {
  Timing timing;
  Retimer(schedule).Run(duration, transfer, timing);
  return timing;
}

std::vector<int64_t> Picoseconds(const std::vector<Time>& times) {
  std::vector<int64_t> ps;
  for (const Time t : times) ps.push_back(t.ps);
  return ps;
}

// The slow reference: events in a queue, no topological order. A task is released by its lane and
// by each dependency; the last release starts it.
Timing EventDriven(const Schedule& s, const std::vector<Time>& duration,
                   const std::vector<Time>& transfer) {
  struct Release {
    Time at;
    int32_t task;
    bool operator>(const Release& o) const { return std::tie(at, task) > std::tie(o.at, o.task); }
  };
  std::priority_queue<Release, std::vector<Release>, std::greater<>> queue;
  std::vector<int32_t> missing(s.program_of.size());
  for (size_t l = 0; l < s.lanes.size(); ++l) {
    for (int32_t i = s.lane_begin[l]; i < s.lane_begin[l + 1]; ++i) {
      missing[i] = 1 + s.dependency_begin[i + 1] - s.dependency_begin[i];
      if (i == s.lane_begin[l]) queue.push({Time{}, i});
    }
  }
  Timing out{.start = std::vector<Time>(s.program_of.size()),
             .end = std::vector<Time>(s.program_of.size()),
             .total = Time{}};
  while (!queue.empty()) {
    const Release now = queue.top();
    queue.pop();
    if (--missing[now.task] > 0) continue;
    const Time end = now.at + duration[s.program_of[now.task]];
    out.start[now.task] = now.at;
    out.end[now.task] = end;
    out.total = std::max(out.total, end);
    if (now.task + 1 < s.size() && s.LaneOf(now.task) == s.LaneOf(now.task + 1))
      queue.push({end, now.task + 1});
    for (size_t i = 0; i < s.program_of.size(); ++i)
      for (int32_t d = s.dependency_begin[i]; d < s.dependency_begin[i + 1]; ++d)
        if (s.dependencies[d].task == now.task)
          queue.push({end + (s.dependencies[d].transfer < 0 ? Time{}
                                                            : transfer[s.dependencies[d].transfer]),
                      static_cast<int32_t>(i)});
  }
  for (const int32_t m : missing) EXPECT_EQ(m, 0);
  return out;
}

struct RandomCase {
  Schedule schedule;
  std::vector<Time> duration, transfer;
};

// Tasks are dealt to lanes in one global order and depend on earlier ones only, so there is no
// cycle. Short integer times, zero among them, make ties common.
RandomCase MakeRandomCase(Random& random) {
  const auto below = [&](uint64_t n) { return static_cast<int32_t>(random.Below(n)); };
  const int32_t lanes = 1 + below(6), tasks = below(60), blocks = 1 + below(8),
                transfers = 1 + below(3);
  std::vector<int32_t> lane_of(tasks), size(lanes, 0), rank_in_lane(tasks);
  for (int32_t i = 0; i < tasks; ++i) {
    lane_of[i] = below(static_cast<uint64_t>(lanes));
    rank_in_lane[i] = size[lane_of[i]]++;
  }
  std::vector<int32_t> begin(lanes, 0);
  for (int32_t l = 1; l < lanes; ++l) begin[l] = begin[l - 1] + size[l - 1];
  std::vector<std::vector<TimedTask>> by_lane(lanes);
  for (int32_t i = 0; i < tasks; ++i) {
    TimedTask task{.block = below(static_cast<uint64_t>(blocks)), .after = {}};
    for (int32_t d = i == 0 ? 0 : below(4); d > 0; --d) {
      const int32_t other = below(static_cast<uint64_t>(i));
      task.after.push_back({begin[lane_of[other]] + rank_in_lane[other],
                            below(static_cast<uint64_t>(transfers) + 1) - 1});
    }
    by_lane[lane_of[i]].push_back(task);
  }
  RandomCase c{.schedule = MakeSchedule(by_lane), .duration = {}, .transfer = {}};
  for (int32_t i = 0; i < blocks; ++i) c.duration.push_back(Time{below(5)});
  for (int32_t i = 0; i < transfers; ++i) c.transfer.push_back(Time{below(4)});
  return c;
}

TEST(RetimerTest, TasksOfALaneRunOneAfterAnother) {
  const Timing t = TimeOf(MakeSchedule({{{0, {}}, {1, {}}, {0, {}}}}), {Time{3}, Time{5}}, {});
  EXPECT_EQ(Picoseconds(t.start), (std::vector<int64_t>{0, 3, 8}));
  EXPECT_EQ(Picoseconds(t.end), (std::vector<int64_t>{3, 8, 11}));
  EXPECT_EQ(t.total, Time{11});
}

TEST(RetimerTest, ATaskWaitsForItsDependencyAndTheTransfer) {
  // Task 2 of lane 1 waits for task 0 (ends at 3) and a transfer of 4; task 1 of lane 0 waits for
  // task 2, no transfer.
  const Schedule s = MakeSchedule({{{0, {}}, {0, {{2, -1}}}}, {{1, {{0, 0}}}}});
  const Timing t = TimeOf(s, {Time{3}, Time{10}}, {Time{4}});
  EXPECT_EQ(Picoseconds(t.start), (std::vector<int64_t>{0, 17, 7}));
  EXPECT_EQ(Picoseconds(t.end), (std::vector<int64_t>{3, 20, 17}));
}

TEST(RetimerTest, TheLatestOfSeveralDependenciesDecides) {
  const Schedule s = MakeSchedule({{{0, {}}}, {{1, {}}}, {{0, {{0, 0}, {1, -1}}}}});
  EXPECT_EQ(TimeOf(s, {Time{3}, Time{5}}, {Time{1}}).start[2], Time{5});
  EXPECT_EQ(TimeOf(s, {Time{3}, Time{5}}, {Time{9}}).start[2], Time{12});
}

TEST(RetimerTest, ATaskMayTakeLongerOrShorterThanItsBlock) {
  // Two tasks of 10, the first 3 longer; on the other lane one of 10, 4 shorter, after the first.
  const Schedule s = MakeSchedule({{{0, {}}, {0, {}}}, {{0, {{0, -1}}}}});
  Timing timing;
  Retimer(s).Run(std::vector<Time>{{10}}, {}, timing, std::vector<Time>{{3}, {0}, {-4}});
  EXPECT_EQ(Picoseconds(timing.end), (std::vector<int64_t>{13, 23, 19}));
}

TEST(RetimerTest, AnEmptyScheduleTakesNoTime) {
  EXPECT_EQ(TimeOf(MakeSchedule({}), {}, {}).total, Time{});
  EXPECT_EQ(TimeOf(MakeSchedule({{}, {}}), {}, {}).total, Time{});
}

TEST(RetimerTest, ATimingIsReusedWithoutATraceOfTheLastOne) {
  Random random(3);
  Timing reused;
  for (int i = 0; i < 50; ++i) {
    const RandomCase c = MakeRandomCase(random);
    const Retimer retimer(c.schedule);
    retimer.Run(c.duration, c.transfer, reused);
    const Timing fresh = TimeOf(c.schedule, c.duration, c.transfer);
    EXPECT_EQ(reused.start, fresh.start);
    EXPECT_EQ(reused.end, fresh.end);
    EXPECT_EQ(reused.total, fresh.total);
  }
}

TEST(RetimerTest, LaneOfFindsTheLaneAlsoBesideEmptyLanes) {
  const Schedule s = MakeSchedule({{}, {{0, {}}, {0, {}}}, {}, {{0, {}}}, {}});
  EXPECT_EQ(s.LaneOf(0), 1);
  EXPECT_EQ(s.LaneOf(1), 1);
  EXPECT_EQ(s.LaneOf(2), 3);
}

TEST(RetimerDeathTest, ACycleOfLaneOrderAndDependenciesAborts) {
  EXPECT_DEATH(Retimer(MakeSchedule({{{0, {{3, -1}}}, {0, {}}}, {{0, {{1, -1}}}, {0, {}}}})),
               "check failed");
  EXPECT_DEATH(Retimer(MakeSchedule({{{0, {{0, -1}}}}})), "check failed");
}

TEST(RetimerDeathTest, TooFewDurationsOrTransfersAbort) {
  const Schedule s = MakeSchedule({{{1, {}}}, {{0, {{0, 2}}}}});
  EXPECT_DEATH(TimeOf(s, {Time{1}}, {Time{1}, Time{1}, Time{1}}), "check failed");
  EXPECT_DEATH(TimeOf(s, {Time{1}, Time{1}}, {Time{1}, Time{1}}), "check failed");
}

TEST(RetimerTest, AgreesWithAnEventQueueOnRandomSchedules) {
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    const RandomCase c = MakeRandomCase(random);
    const Timing swept = TimeOf(c.schedule, c.duration, c.transfer);
    const Timing reference = EventDriven(c.schedule, c.duration, c.transfer);
    ASSERT_EQ(Picoseconds(swept.start), Picoseconds(reference.start)) << "case " << i;
    ASSERT_EQ(Picoseconds(swept.end), Picoseconds(reference.end)) << "case " << i;
    ASSERT_EQ(swept.total, reference.total) << "case " << i;
  }
}

TEST(RetimerTest, TotalIsNoLessThanTheBusiestLaneAndTheLongestChain) {
  Random random(2);
  for (int i = 0; i < 200; ++i) {
    const RandomCase c = MakeRandomCase(random);
    const Schedule& s = c.schedule;
    const Timing t = TimeOf(s, c.duration, c.transfer);
    for (size_t l = 0; l < s.lanes.size(); ++l) {
      Time busy{};
      for (int32_t k = s.lane_begin[l]; k < s.lane_begin[l + 1]; ++k)
        busy += c.duration[s.program_of[k]];
      EXPECT_GE(t.total, busy);
    }
    // Longest chain of dependencies alone, by relaxing as often as there are tasks.
    std::vector<Time> chain(s.program_of.size());
    for (size_t round = 0; round <= s.program_of.size(); ++round) {
      for (size_t k = 0; k < s.program_of.size(); ++k) {
        Time start{};
        for (int32_t d = s.dependency_begin[k]; d < s.dependency_begin[k + 1]; ++d) {
          const auto [before, transfer] = s.dependencies[d];
          start = std::max(start, chain[before] + (transfer < 0 ? Time{} : c.transfer[transfer]));
        }
        chain[k] = start + c.duration[s.program_of[k]];
      }
    }
    for (const Time end : chain) EXPECT_GE(t.total, end);
  }
}

TEST(RetimerTest, TheOrderOfTheLanesDoesNotMatter) {
  Random random(4);
  for (int i = 0; i < 100; ++i) {
    const RandomCase c = MakeRandomCase(random);
    const Schedule& s = c.schedule;
    // The same lanes in reverse; `moved` says where each task went.
    std::vector<int32_t> moved(s.program_of.size());
    int32_t at = 0;
    for (size_t l = s.lanes.size(); l-- > 0;)
      for (int32_t k = s.lane_begin[l]; k < s.lane_begin[l + 1]; ++k) moved[k] = at++;
    std::vector<std::vector<TimedTask>> lanes;
    for (size_t l = s.lanes.size(); l-- > 0;) {
      std::vector<TimedTask>& lane = lanes.emplace_back();
      for (int32_t k = s.lane_begin[l]; k < s.lane_begin[l + 1]; ++k) {
        TimedTask& task = lane.emplace_back(TimedTask{s.program_of[k], {}});
        for (int32_t d = s.dependency_begin[k]; d < s.dependency_begin[k + 1]; ++d)
          task.after.push_back({moved[s.dependencies[d].task], s.dependencies[d].transfer});
      }
    }
    const Timing before = TimeOf(s, c.duration, c.transfer);
    const Timing after = TimeOf(MakeSchedule(lanes), c.duration, c.transfer);
    for (size_t k = 0; k < s.program_of.size(); ++k)
      EXPECT_EQ(before.start[k], after.start[moved[k]]);
    EXPECT_EQ(before.total, after.total);
  }
}

}  // namespace
}  // namespace moecast
