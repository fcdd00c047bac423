// `moecast pipeline` as a user runs it: the program, its output and its exit code.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

Ran RunPipeline(const std::string& arguments) {
  return RunCommand("pipeline " + arguments);
}

const std::string kTimes = " --forward 1ms --backward 1ms --weight 1ms";

Json RunJson(const std::string& arguments) {
  return RunForJson("pipeline " + arguments);
}

TEST(PipelineCommandTest, JsonHasTheFiguresOfASchedule) {
  // ZB-H1, 2 stages, 2 micro-batches, F = B = W = 1 ms: work 6 ms, span 7 ms.
  const Json json = RunJson("--schedule zb-h1 --stages 2 --micro-batches 2" + kTimes);
  EXPECT_DOUBLE_EQ(json["total_time_s"].get<double>(), 0.007);
  EXPECT_DOUBLE_EQ(json["stage_span_s"].get<double>(), 0.007);
  EXPECT_NEAR(json["bubble_rate"].get<double>(), 1.0 / 7, 1e-9);
  EXPECT_EQ(
      DumpJson(json["peak_activations"], -1),
      R"([{"stage":0,"until_backward":2,"until_weight":2},{"stage":1,"until_backward":1,"until_weight":2}])");
  EXPECT_FALSE(json.contains("timeline"));
}

TEST(PipelineCommandTest, TimesMayDifferByStageAndTransfersCount) {
  // One micro-batch of 1F1B: (1 + 2) F, 2 (1 + 1) B and W, two transfers of 0.5 ms.
  const Json json = RunJson(
      "--stages 2 --micro-batches 1 --forward 1ms,2ms --backward 1ms --weight 1ms --comm 500us");
  EXPECT_DOUBLE_EQ(json["total_time_s"].get<double>(), 0.008);
}

TEST(PipelineCommandTest, TheTimelineIsAFileOfItsTasks) {
  const std::string path = testing::TempDir() + "pipeline_timeline.json";
  const Ran ran = RunPipeline("--stages 2 --micro-batches 3 --timeline '" + path + "'" + kTimes);
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  const Json timeline = ParseJson(ReadFile(path), path)->root;
  std::remove(path.c_str());
  EXPECT_EQ(timeline["otherData"]["timeline"], "predicted");
  int slices = 0;
  for (const Json& event : timeline["traceEvents"]) slices += event["ph"] == "B";
  EXPECT_EQ(slices, 12);  // 2 stages, 3 micro-batches, forward and backward
  EXPECT_EQ(RunPipeline("--stages 2 --micro-batches 3 --timeline - --json -" + kTimes).exit_code,
            2);
}

TEST(PipelineCommandTest, VppDividesTheTimesOfAStage) {
  // Bubble (p - 1)(F + B + W) / v = 3 * 3 ms / 2 over 8 * 3 ms of work.
  const Json json = RunJson("--schedule interleaved --vpp 2 --stages 4 --micro-batches 8" + kTimes);
  EXPECT_DOUBLE_EQ(json["stage_span_s"].get<double>(), 0.0285);
}

TEST(PipelineCommandTest, TheTimelineIsPrintedOnRequest) {
  const std::string arguments = "--stages 1 --micro-batches 1" + kTimes + " --print timeline";
  EXPECT_EQ(
      DumpJson(RunJson(arguments)["timeline"], -1),
      R"([{"stage":0,"phase":"forward","micro_batch":0,"chunk":0,"start_s":0,"end_s":0.001},)"
      R"({"stage":0,"phase":"full-backward","micro_batch":0,"chunk":0,"start_s":0.001,"end_s":0.003}])");
  EXPECT_NE(
      RunPipeline(arguments).output.find("0  BW 0              0    1.00000 ms    3.00000 ms"),
      std::string::npos);
}

TEST(PipelineCommandTest, APersonSeesTheScheduleDrawn) {
  const Ran ran = RunPipeline(
      "--schedule 1f1b --stages 2 --micro-batches 2 --forward 1ms --backward 2ms --weight 2ms");
  EXPECT_EQ(ran.exit_code, 0);
  // 15 ms in all, 7 columns a millisecond. Stage 0: F at 0 and 1, idle from 2 to 6, B at 6 to 10,
  // idle, b at 11.
  const std::string stage_0 = std::string(7, 'F') + std::string(7, 'f') + std::string(28, ' ') +
                              std::string(28, 'B') + std::string(7, ' ') + std::string(28, 'b') +
                              "\n";
  EXPECT_NE(ran.output.find("    0  " + stage_0), std::string::npos) << ran.output;
}

TEST(PipelineCommandTest, MemoryKeptForWeightGradientsChangesAnAutomaticOrder) {
  // Two stages with memory for two micro-batches: where nothing is kept for them, weight gradients
  // can all wait.
  const std::string shape =
      "--schedule zb-2p --memory-limit 2 --stages 2 --micro-batches 8" + kTimes;
  const Json all = RunJson(shape), none = RunJson(shape + " --kept-for-weight 0");
  EXPECT_LE(all["peak_activations"][1]["until_weight"].get<double>(), 2);
  EXPECT_GT(none["peak_activations"][1]["until_weight"].get<double>(), 2);
  EXPECT_LE(none["peak_activations"][1]["until_backward"].get<double>(), 2);
}

TEST(PipelineCommandTest, AnOverlappedPairShortensDualPipe) {
  // 8 stages, 20 micro-batches, F = B = W = 1 ms: a pair as long as its halves leaves the published
  // (8 / 2 - 1)(3 + 2 - 3) = 6 ms idle in 60 ms of work; 100 us less take (8 - 3) 100 us off that.
  const std::string shape = "--schedule dualpipe --stages 8 --micro-batches 20" + kTimes;
  EXPECT_DOUBLE_EQ(RunJson(shape)["stage_span_s"].get<double>(), 0.066);
  const Json json = RunJson(shape + " --overlapped-pair 2.9ms");
  EXPECT_NEAR(json["bubble_rate"].get<double>() * json["stage_span_s"].get<double>(), 0.0055, 1e-9);
  EXPECT_EQ(json["peak_activations"][3]["until_backward"], 9);
}

TEST(PipelineCommandTest, VSchedulesHaveTwoChunksAStageWithoutBeingTold) {
  // F = B = W = 1 ms, no bubble: 8 * 3 ms.
  const Json json = RunJson("--schedule zb-v --stages 4 --micro-batches 8" + kTimes);
  EXPECT_EQ(json["vpp"], 2);
  EXPECT_DOUBLE_EQ(json["stage_span_s"].get<double>(), 0.024);
}

// What --print schedule shows is timed as the order that was built, and edited as what it then is.
TEST(PipelineCommandTest, AWrittenScheduleIsReadBackAndMayBeChanged) {
  const std::string path = testing::TempDir() + "schedule.txt";
  for (const char* order : {"--schedule zb-h1", "--schedule zb-v", "--schedule interleaved --vpp 2",
                            "--schedule dualpipe --overlapped-pair 2.9ms"}) {
    const std::string arguments =
        std::string(order) + " --stages 4 --micro-batches 8 --comm 100us" + kTimes;
    const Ran printed = RunPipeline(arguments + " --print schedule");
    ASSERT_EQ(printed.exit_code, 0) << printed.output;
    WriteFile(path, printed.output);
    const Json built = RunJson(arguments), read = RunJson("--schedule-file '" + path + "'");
    for (const char* key :
         {"stages", "micro_batches", "total_time_s", "stage_span_s", "bubble_rate"})
      EXPECT_EQ(read[key], built[key]) << order << " " << key;
  }
  // 1F1B of two micro-batches on two stages: a forward of the first, F B F B of the second, which
  // then has it all, and a backward of the first: 1 + (1 + 2 + 1 + 2) + 2 = 9 ms, 10 where the
  // first stage's forward takes 2.
  const std::string two = "--stages 2 --micro-batches 2" + kTimes;
  std::string text = RunPipeline(two + " --print schedule").output;
  const std::string forward = "block 0 1ms piece 0 forward";
  ASSERT_NE(text.find(forward), std::string::npos) << text;
  text.replace(text.find(forward), forward.size(), "block 0 2ms piece 0 forward");
  WriteFile(path, text);
  EXPECT_DOUBLE_EQ(RunJson(two)["total_time_s"].get<double>(), 0.009);
  EXPECT_DOUBLE_EQ(RunJson("--schedule-file '" + path + "'")["total_time_s"].get<double>(), 0.010);
  const Ran both = RunPipeline("--schedule-file '" + path + "' --stages 2");
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_NE(both.output.find("--stages: found it beside --schedule-file"), std::string::npos)
      << both.output;
  WriteFile(path, "schedule\nlane 0 compute\n");
  EXPECT_NE(RunPipeline("--schedule-file '" + path + "'").output.find("no line \"end\""),
            std::string::npos);
  std::remove(path.c_str());
  const Ran neither = RunPipeline("--micro-batches 2" + kTimes);
  EXPECT_EQ(neither.exit_code, 2);
  EXPECT_NE(neither.output.find("--stages: expected it, or a --schedule-file"), std::string::npos)
      << neither.output;
}

TEST(PipelineCommandTest, WrongInputsGiveOneClearErrorAndExitCodeTwo) {
  struct Case {
    const char* arguments;
    const char* error;
  };
  const Case cases[] = {
      {"--stages 4 --micro-batches 0",
       "--micro-batches: found 0, expected a whole number from 1 to 250000"},
      {"--stages 1000000000000000000 --micro-batches 8",
       "--stages: found 1000000000000000000, expected a whole number from 1 to 10000"},
      {"--stages -4 --micro-batches 8",
       "--stages: found -4, expected a whole number from 1 to 10000"},
      {"--stages 4 --micro-batches 8 --vpp 2",
       "--vpp: found 2, expected 1: schedule 1f1b has one chunk a stage"},
      {"--stages 4 --micro-batches 8 --schedule zb-v --vpp 3",
       "--vpp: found 3, expected 2: schedule zb-v has 2 chunks a stage"},
      {"--stages 4 --micro-batches 8 --schedule zb-1p --kept-for-weight=-1",
       "expected 0 to 1000 of a micro-batch's memory kept for its weight gradients"},
      {"--stages 4 --micro-batches 8 --schedule zb-h",
       "--schedule: found \"zb-h\", expected one of 1f1b, interleaved, zb-h1, zb-h2, zb-1p, zb-2p, "
       "zb-v, "
       "v-half, v-min, dualpipe, dualpipev (did you mean \"zb-h1\"?)"},
      {"--stages 4 --micro-batches 8 --comm 3",
       "--comm: found \"3\", expected a time with a unit such as 18.5ms"},
      {"--stages 4 --micro-batches 8 --comm=-3ms",
       "--comm: found \"-3ms\", expected a time from 0s to 2500h"},
      {"--stages 4 --micro-batches 8 --comm 1ms,2ms",
       "--comm: found \"1ms,2ms\", expected one time; these are 2"},
      {"--stages 4 --micro-batches 8 --comm nanms",
       "--comm: found \"nanms\", expected a time with a unit"},
      {"--stages 4 --micro-batches 8 --memory-limit 3",
       "expected a memory limit of at least 4 micro-batches, which this schedule holds alive"},
      {"--stages 4 --micro-batches 8 --memory-limit nan",
       "expected a memory limit of 0 (none) or more micro-batches"},
      {"--stages 1 --micro-batches 60000 --print timeline",
       "--print timeline: found 120000 tasks, expected at most"},
      {"--stages 4 --micro-batches 8 --overlapped-pair 2ms",
       "--overlapped-pair: found \"2ms\", expected a schedule that runs forwards together with "
       "backwards, "
       "not "
       "1f1b"},
      {"--stages 4 --micro-batches 8 --schedule dualpipe --overlapped-pair 2",
       "--overlapped-pair: found \"2\", expected a time with a unit such as 18.5ms"},
      {"--stages 4 --micro-batches 8 --schedule dualpipe --overlapped-pair=-2ms",
       "--overlapped-pair: found \"-2ms\", expected a time from 0s to 2500h"},
      {"--stages 4 --micro-batches 8 --schedule dualpipev --overlapped-pair 1ms,2ms",
       "--overlapped-pair: found \"1ms,2ms\", expected one time, or one for each of the 4 stages; "
       "these are "
       "2"},
      {"--stages 5 --micro-batches 10 --schedule dualpipe",
       "expected an even number of stages with schedule dualpipe"},
      {"--stages 4 --micro-batches 6 --schedule dualpipe",
       "expected an even number of micro-batches, at least 8, twice the stages"},
      {"--stages 4 --micro-batches 8 --vpp 2 --schedule dualpipe",
       "--vpp: found 2, expected 1: schedule dualpipe has one chunk a stage"},
      {"--stages 4 --micro-batches 8 --print order", "order not in {timeline,schedule}"},
  };
  for (const Case& c : cases) {
    const Ran ran = RunPipeline(c.arguments + kTimes);
    EXPECT_EQ(ran.exit_code, 2) << c.arguments;
    EXPECT_NE(ran.output.find(c.error), std::string::npos) << c.arguments << "\n" << ran.output;
    EXPECT_EQ(ran.output.find('\n'), ran.output.size() - 1) << "one line: " << ran.output;
  }
  const Ran lengths =
      RunPipeline("--stages 4 --micro-batches 8 --forward 1ms,2ms --backward 1ms --weight 1ms");
  EXPECT_EQ(lengths.exit_code, 2);
  EXPECT_EQ(lengths.output,
            "error: --forward: found \"1ms,2ms\", expected one time, or one for each of the 4 "
            "stages; these "
            "are 2\n");
}

}  // namespace
}  // namespace moecast
