// A schedule's text: what it shows, that it reads back, and what it refuses.
#include "sim/pipeline/schedule_text.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/message_of.h"
#include "tests/sim/random_plans.h"
#include "tests/sim/step_probe.h"
#include "viz/train_view.h"

namespace moecast {
namespace {

TEST(ScheduleTextTest, AHandWrittenScheduleIsTimed) {
  const WrittenSchedule written = ReadSchedule(R"(what comes before is not read
schedule
# comments neither
lane 0 compute stands-for 8
task 10 forward micro-batch 0 program 0
task 12 full-backward micro-batch 0 program 3 after 11+0
lane 1 compute
task 13 forward program 0 after 10+0
task 11 full-backward program 3 longer 1ms
program 0 4
program 3 5 7*3
block 4 1ms layer forward
block 5 2ms layer backward
block 7 1ms
transfer 0 500us
end
nor what comes after)",
                                               "f");
  const Timing timing = TimingOf(written);
  // F ends at 1 ms, comes at 1.5, ends at 2.5; its backward takes 2 + 3 * 1 + 1 ms; half a
  // millisecond later stage 0 does its own in 5.
  EXPECT_EQ(timing.end[3], Time::From(Seconds(8.5e-3)));
  EXPECT_EQ(timing.start[1], Time::From(Seconds(9e-3)));
  EXPECT_EQ(timing.total, Time::From(Seconds(14e-3)));
  EXPECT_EQ(PrintSchedule(written, timing), R"(schedule
block 4 1ms layer forward
block 5 2ms layer backward
block 7 1ms
transfer 0 0.5ms
program 0 4
program 3 5 7*3
lane 0 compute stands-for 8
task 0 forward micro-batch 0 program 0  # 0 ns .. 1.00000 ms
task 1 full-backward micro-batch 0 program 3 after 3+0  # 9.00000 ms .. 14.0000 ms
lane 1 compute
task 2 forward micro-batch 0 program 0 after 0+0  # 1.50000 ms .. 2.50000 ms
task 3 full-backward micro-batch 0 program 3 longer 1ms  # 2.50000 ms .. 8.50000 ms
end
)");
}

// Every schedule there is, with pairs, chunks, gathers, reductions and unequal loads among them.
TEST(ScheduleTextTest, ThatOfRandomPlansReadsBackAndTakesAsLong) {
  Random rng(5);
  int plans = 0;
  for (int i = 0; i < 400; ++i) {
    const RandomPlan plan = AnyPlan(rng);
    SCOPED_TRACE(plan.Text());
    StepCache cache;
    std::optional<PreparedPhase> phase;
    try {
      phase.emplace(RunAlone(plan.scenario, plan.sets), cache);
    } catch (const UserError&) {
      continue;
    }
    ++plans;
    const Step& step = phase->step();
    const WrittenSchedule written = WrittenScheduleOf(step);
    const WrittenSchedule read = ReadSchedule(PrintSchedule(written, step.timing), "printed");
    EXPECT_TRUE(read == written);
    EXPECT_TRUE(read.schedule.tasks == step.schedule().tasks);
    EXPECT_TRUE(read.schedule.dependencies == step.schedule().dependencies);
    const Timing timing = TimingOf(read);
    EXPECT_EQ(timing.start, step.timing.start);
    EXPECT_EQ(timing.end, step.timing.end);
  }
  EXPECT_GT(plans, 10);
}

constexpr const char* kOneStage = R"(schedule
block 0 1ms
program 0 0
transfer 0 1us
lane 0 compute
task 0 forward program 0
task 1 backward program 0
task 2 weight program 0
lane 0 dp
task 3 grad-reduce program 0 after 2
end
)";

std::string With(const std::string& line, const std::string& in_place) {
  std::string text = kOneStage;
  const size_t at = text.find(line + "\n");
  EXPECT_NE(at, text.npos) << line;
  return text.replace(at, line.size(), in_place);
}

TEST(ScheduleTextTest, ErrorsSayLineColumnAndWhatWasExpected) {
  ReadSchedule(kOneStage, "f");
  struct Case {
    std::string text, says;
  };
  const Case cases[] = {
      {"", "f: found no line \"schedule\""},
      {With("end", "ends"), "f: line 11, column 1: found \"ends\", expected one of block"},
      {With("end", "# end"), "found no line \"end\""},
      {With("end", "end 3"), "line 11, column 5: found \"3\", expected the line's end"},
      {With("block 0 1ms", "block 0 1"), "line 2, column 9: found \"1\", expected a time"},
      {With("block 0 1ms", "block 0"), "line 2, column 8: found the line's end, expected a time"},
      {With("block 0 1ms", "block 0 9001ks"), "line 2, column 9"},
      {With("block 0 1ms", "block 1 1ms"), "line 3, column 11: found \"0\", expected block 0 on a"},
      {With("block 0 1ms", "blok 0 1ms"), "(did you mean \"block\"?)"},
      {With("block 0 1ms", "block 0 1ms\nblock 0 1ms"),
       "line 3, column 7: found \"0\", expected the block's number not given before: line 2"},
      {With("program 0 0", "program 0 0*0"),
       "line 3, column 11: found \"0*0\", expected a block's"},
      {With("block 0 1ms", "block 0 8000000s"), "line 7, column 6: found \"1\", expected at most"},
      {With("program 0 0", "program 1048576"), "a whole number from 0 to 1048575"},
      {With("lane 0 compute", "lane 1 compute"), "line 5, column 6: found \"1\", expected compute"},
      {With("lane 0 compute", "lane 0 compte"), "(did you mean \"compute\"?)"},
      {With("lane 0 compute", "lane 0 compute stands 3"), "expected stands-for"},
      {With("lane 0 compute", "lane 0 compute\nlane 1 compute"),
       "line 5, column 1: found \"lane\", expected a task or more"},
      {With("lane 0 dp",
            "lane 1 compute\ntask 5 forward program 0\nlane 0 dp"
            "\nlane 2 compute"),
       "expected compute lanes first"},
      {With("lane 0 compute", ""), "line 6, column 1: found \"task\", expected a lane before"},
      {With("task 1 backward program 0", "task 1 backwards program 0"),
       "line 7, column 8: found \"backwards\", expected a phase"},
      {With("task 1 backward program 0", "task 1 backward"),
       "line 7, column 16: found the line's end, expected program"},
      {With("task 1 backward program 0", "task 1 backward program 7"),
       "line 7, column 25: found \"7\", expected program 7 on a line"},
      {With("task 1 backward program 0", "task 1 backward program 0 chunck 1"),
       "(did you mean \"chunk\"?)"},
      {With("task 1 backward program 0", "task 1 backward program 0 after 9"),
       "line 7, column 33: found \"9\", expected the number of a task"},
      {With("task 1 backward program 0", "task 1 backward program 0 after 0+3"),
       "line 7, column 33: found \"0+3\", expected transfer 3"},
      {With("task 1 backward program 0", "task 1 backward program 0 shorter 2ms"),
       "line 7, column 6: found \"1\", expected a task that is shorter by no more"},
      {With("task 1 backward program 0", "task 1 backward program 0 backward 0 0"),
       "expected forward-backward, which alone"},
      {With("task 1 backward program 0", "task 1 forward-backward program 0"),
       "expected backward with its micro-batch and its chunk"},
      {With("task 1 backward program 0", ""),
       "line 8, column 6: found \"2\", expected the backward of micro-batch 0 of chunk 0 before "
       "its "
       "weight"},
      {With("task 0 forward program 0", "task 0 forward micro-batch 1 program 0"),
       "line 7, column 6: found \"1\", expected the forward of micro-batch 0 of chunk 0 before its "
       "backward"},
      {With("task 2 weight program 0", "task 2 backward program 0"), "of chunk 0 once"},
      {With("task 1 backward program 0", "task 1 backward program 0 after 3"),
       "line 7, column 6: found \"1\", expected tasks that do not wait for each other, as 1 after "
       "3 "
       "after 2 after 1 do"},
      {With("task 1 backward program 0", "task 1 backward program 0 after 1"), "as 1 after 1 do"},
  };
  for (const Case& c : cases) {
    const std::string message = MessageOf([&] { ReadSchedule(c.text, "f"); });
    EXPECT_NE(message.find(c.says), std::string::npos) << c.text << message;
  }
}

TEST(ScheduleTextTest, DamagedTextIsAScheduleOrAnError) {
  Random rng(7);
  const std::string text =
      PrintSchedule(ReadSchedule(kOneStage, "f"), TimingOf(ReadSchedule(kOneStage, "f")));
  int schedules = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = text;
    for (uint64_t n = 1 + rng.Below(3); n > 0; --n) {
      const size_t at = rng.Below(damaged.size());
      if (rng.Below(2) == 0)
        damaged.erase(at, 1 + rng.Below(3));
      else
        damaged.insert(at, std::string(1, text[rng.Below(text.size())]));
    }
    try {
      const WrittenSchedule read = ReadSchedule(damaged, "f");
      const std::string printed = PrintSchedule(read, TimingOf(read));
      EXPECT_TRUE(ReadSchedule(printed, "f") == read) << damaged;
      ++schedules;
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(schedules, 100);
}

}  // namespace
}  // namespace moecast
