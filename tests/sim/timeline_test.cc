#include "sim/pipeline/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "scenarios/scenario.h"
#include "sim/pipeline/pipeline.h"
#include "sim/training/timeline.h"
#include "traces/chrome_trace.h"

namespace moecast {
namespace {

struct TimedPipeline {
  TrainingSchedule schedule;
  Timing timing;
};

TimedPipeline TimePipeline(const std::string& name, int stages, int micro_batches, int chunks,
                           Time transfer) {
  const PipelineSchedule& row = *FindPipelineSchedule(name);
  PipelineShape shape{
      .stages = stages, .micro_batches = micro_batches, .chunks = chunks, .transfer = transfer};
  shape.forward.assign(stages * chunks, Time{3});
  shape.backward.assign(stages * chunks, Time{4});
  shape.weight.assign(stages * chunks, Time{2});
  EXPECT_EQ(RejectPipeline(row, shape), "");
  TimedPipeline timed{LowerPipeline(row, shape, row.build(shape)), {}};
  Retimer(timed.schedule).Run(PipelineDurations(row, shape), std::span(&transfer, 1), timed.timing);
  return timed;
}

std::string Print(const Timeline& t) {
  std::string text;
  for (const Timeline::Span& s : t.spans)
    text += t.processes[t.tracks[s.track].process].name + ": " + t.names[s.name] + " " +
            std::to_string(s.start.ps) + "-" + std::to_string(s.end.ps) + "\n";
  for (const Timeline::Flow& f : t.flows)
    text += t.names[t.spans[f.from].name] + " > " + t.names[t.spans[f.to].name] + ": " +
            t.names[f.name] + "\n";
  return text;
}

TEST(PipelineTimelineTest, OneMicroBatchGoesUpAndDownTwoStages) {
  // F 3, a transfer of 1, F 3, B + W 6, a transfer of 1, B + W 6.
  const TimedPipeline timed = TimePipeline("1f1b", 2, 1, 1, Time{1});
  EXPECT_EQ(Print(TimelineOf(timed.schedule, timed.timing)),
            "stage 0: F 0 0-3\n"
            "stage 0: BW 0 14-20\n"
            "stage 1: F 0 4-7\n"
            "stage 1: BW 0 7-13\n"
            "BW 0 > BW 0: send gradients\n"
            "F 0 > F 0: send activations\n");
}

TEST(PipelineTimelineTest, ZeroBubbleTasksAreNamedByPhaseAndMicroBatch) {
  const TimedPipeline timed = TimePipeline("zb-h1", 1, 2, 1, Time{});
  EXPECT_EQ(Print(TimelineOf(timed.schedule, timed.timing)),
            "stage 0: F 0 0-3\nstage 0: B 0 3-7\nstage 0: W 0 7-9\n"
            "stage 0: F 1 9-12\nstage 0: B 1 12-16\nstage 0: W 1 16-18\n");
}

TEST(PipelineTimelineTest, EveryTaskIsASliceAndEverySendAnArrowThatTakesItsTime) {
  for (const auto& [name, chunks] :
       {std::pair("1f1b", 1), std::pair("interleaved", 3), std::pair("zb-h1", 1)}) {
    for (const Time transfer : {Time{0}, Time{5}}) {
      const int stages = 4, micro_batches = 8;
      const TimedPipeline timed = TimePipeline(name, stages, micro_batches, chunks, transfer);
      const Timeline t = TimelineOf(timed.schedule, timed.timing);
      EXPECT_EQ(t.spans.size(), timed.schedule.tasks.size());
      EXPECT_EQ(t.flows.size(), static_cast<size_t>(2 * (stages * chunks - 1) * micro_batches));
      for (const Timeline::Flow& f : t.flows)
        EXPECT_GE(t.spans[f.to].start, t.spans[f.from].end + transfer);
    }
  }
}

TEST(OpSpanTest, SaysWhenEachOpOfABlockRan) {
  // A collective waits for the first kernel, the third kernel for the collective; the second runs
  // beside it, compute bound, at half its rate: 2 s + 1 s of 0.5 s work, then from 5 s on.
  const Op kernel{.name = OpName::kOutput, .query = GemmQuery{}};
  const Op collective{.name = OpName::kDispatch, .query = CollectiveQuery{}, .after = 0};
  Op waiting = kernel;
  waiting.after = 1;
  CostedOps block{
      {kernel, collective, kernel, waiting}, std::vector<Cost>(4), {0.5, 0, 0.5, 0.5}, {}};
  block.costs[2].bound = Bound::kCompute;
  const std::vector<Seconds> times = {Seconds(2), Seconds(3), Seconds(0.5), Seconds(1)};
  std::vector<OpSpan> spans;
  EXPECT_DOUBLE_EQ(SolveBlock(block, times, &spans).total.value, 6);
  const std::vector<std::pair<double, double>> expected = {{0, 2}, {2, 5}, {2, 3}, {5, 6}};
  ASSERT_EQ(spans.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(spans[i].start.value, expected[i].first) << i;
    EXPECT_DOUBLE_EQ(spans[i].end.value, expected[i].second) << i;
  }
}

struct PreparedScenario {
  Scenario scenario;
  StepCache cache;
  Step step;
  explicit PreparedScenario(const std::string& name, std::vector<std::string> sets = {})
      : scenario(Scenario::Load(name, sets)),
        step(PrepareStep(std::make_shared<const TrainingRun>(scenario.training().phases[0]),
                         scenario.training().phases[0].plan.phases.front(), cache)) {}
};

class StepTimelineTest
    : public testing::TestWithParam<std::pair<const char*, std::vector<std::string>>> {
 protected:
  PreparedScenario prepared_{GetParam().first, GetParam().second};
  const Step& step_ = prepared_.step;
};

TEST_P(StepTimelineTest, AProcessStandsForEachStage) {
  const Timeline t = TimelineOf(step_);
  int64_t gpus = 0;
  ASSERT_EQ(t.processes.size(), static_cast<size_t>(step_.shape.stages));
  for (size_t s = 0; s < t.processes.size(); ++s) {
    EXPECT_EQ(t.processes[s].id, step_.RankOfStage(static_cast<int>(s)));
    gpus += t.processes[s].stands_for;
  }
  EXPECT_EQ(gpus, prepared_.scenario.training().phases[0].plan.parallel.gpus());
}

TEST_P(StepTimelineTest, WithoutDetailItHasTheTasksOfTheScheduleAtTheirTimes) {
  const Timeline t = TimelineOf(step_, TimelineDetail::kTasks);
  std::vector<std::pair<Time, Time>> expected, found;
  for (size_t i = 0; i < step_.schedule().tasks.size(); ++i)
    expected.emplace_back(step_.timing.start[i], step_.timing.end[i]);
  for (const Timeline::Span& s : t.spans) found.emplace_back(s.start, s.end);
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, expected);
  EXPECT_EQ(t.flows.size(),
            static_cast<size_t>(step_.shape.stages == 1
                                    ? 0
                                    : 2 * (step_.shape.virtual_stages() - step_.shape.copies) *
                                          step_.shape.micro_batches_each()));
}

TEST_P(StepTimelineTest, TheMemoryCounterPeaksAtTheMemoryOfTheRank) {
  const Timeline t = TimelineOf(step_);
  const std::vector<StageMemory> memory = step_.memory;
  ASSERT_EQ(t.counters.size(), memory.size());
  for (size_t s = 0; s < memory.size(); ++s) {
    double peak = 0;
    Time latest;
    for (const auto& sample : t.counters[s].samples) {
      peak = std::max(peak, sample.value);
      EXPECT_GE(sample.at, latest);
      latest = sample.at;
    }
    EXPECT_DOUBLE_EQ(peak, memory[s].total() / GiB(1));
    EXPECT_NEAR(t.counters[s].samples.back().value, t.counters[s].samples.front().value, 1e-6);
  }
}

TEST_P(StepTimelineTest, TheOpsOfALayerTakeTheTimeItsBlockWasGiven) {
  const Timeline t = TimelineOf(step_);
  // Compute time of each task that is one layer, by its ops: slices with the task of one that began
  // before them.
  std::map<int32_t, Time> compute;
  std::map<int32_t, int> slices;
  for (const Timeline::Span& s : t.spans) {
    if (s.task < 0 || slices[s.task]++ == 0) continue;  // the layer itself comes first
    if (t.tracks[s.track].name == "compute") compute[s.task] += s.end - s.start;
  }
  const std::vector<BlockKind> kinds = LayerKinds(prepared_.scenario.training().phases[0].model);
  size_t checked = 0;
  for (const auto& [id, time] : compute) {
    const Timeline::Task& task = t.tasks[id];
    EXPECT_EQ(task.micro_batch, 0);
    if (task.first_layer < 0) continue;  // embedding, head
    if (t.names[task.phase] == NameOf(Phase::kForwardBackward)) {
      std::vector<double> pairs;  // each busy on the compute stream for as long
      for (size_t p = 0; p < step_.blocks.pairs.size(); ++p) {
        Seconds busy = step_.blocks.pairs[p].alone.recomputed;
        for (int c = 0; c < static_cast<int>(OpClass::kCollective); ++c)
          busy += step_.blocks.pairs[p].alone.busy[c];
        pairs.push_back(std::abs(busy.value * 1e12 - static_cast<double>(time.ps)));
      }
      EXPECT_LT(*std::min_element(pairs.begin(), pairs.end()), 3000) << id;
      continue;
    }
    Seconds expected;
    for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight}) {
      const bool full =
          pass != Pass::kForward && t.names[task.phase] == NameOf(Phase::kFullBackward);
      if (!full && t.names[task.phase] != NameOf(pass)) continue;
      const BlockTime& solved = step_.blocks.Of(kinds[task.first_layer], pass).alone;
      expected += solved.recomputed;
      for (int c = 0; c < static_cast<int>(OpClass::kCollective); ++c) expected += solved.busy[c];
    }
    // Each begin and end is rounded to a picosecond.
    EXPECT_NEAR(static_cast<double>(time.ps), expected.value * 1e12, 300) << id;
    ++checked;
  }
  const size_t phases = step_.pipeline->splits_weight ? 3 : 2;
  if (!step_.pipeline->pairs) {
    EXPECT_EQ(checked, kinds.size() * phases);
  }
}

TEST_P(StepTimelineTest, ItsFileKeepsAllOfIt) {
  const Timeline t = TimelineOf(step_);
  const std::string text = WriteChromeTrace(t);
  std::map<std::string, size_t>
      events;  // by phase: a slice is a B and an E, an arrow an s and an f
  const auto document = ParseJson(text, "t.json");
  for (const Json& event : document->root["traceEvents"]) ++events[event["ph"].get<std::string>()];
  EXPECT_EQ(events["B"], t.spans.size());
  EXPECT_EQ(events["E"], t.spans.size());
  EXPECT_EQ(events["s"], t.flows.size());
  EXPECT_EQ(events["f"], t.flows.size());
  EXPECT_LT(text.size(), size_t{5} << 20);
}

INSTANTIATE_TEST_SUITE_P(
    Scenarios, StepTimelineTest,
    testing::Values(std::pair("deepseek-v2-pretrain", std::vector<std::string>{}),
                    std::pair("deepseek-v2-lite-pretrain", std::vector<std::string>{}),
                    std::pair("deepseek-v2-lite-pretrain",
                              std::vector<std::string>{"training/schedule=\"interleaved\"",
                                                       "training/parallel/vpp=2"}),
                    std::pair("deepseek-67b-pretrain", std::vector<std::string>{}),
                    std::pair("deepseek-v3-pretrain", std::vector<std::string>{})),
    [](const auto& scenario) {
      std::string name =
          scenario.param.first + std::string(scenario.param.second.empty() ? "" : "-interleaved");
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(StepTimelineDetailTest, AllMicroBatchesShowWhatTheFirstShows) {
  const PreparedScenario prepared("deepseek-v2-lite-pretrain");
  const auto ops = [&](TimelineDetail detail) {
    return TimelineOf(prepared.step, detail).spans.size() -
           TimelineOf(prepared.step, TimelineDetail::kTasks).spans.size();
  };
  // Parts of split tasks have no slice of their block inside, so micro-batches may differ by one
  // slice a block.
  const size_t first = ops(TimelineDetail::kFirstMicroBatch), all = ops(TimelineDetail::kAll);
  const size_t micro_batches = static_cast<size_t>(prepared.step.shape.micro_batches);
  EXPECT_NEAR(static_cast<double>(all), static_cast<double>(first * micro_batches),
              0.05 * static_cast<double>(all));
}

}  // namespace
}  // namespace moecast
