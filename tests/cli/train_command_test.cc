// train, validate and scenario as a user runs them: output, files and exit codes.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

TEST(TrainCommandTest, JsonHasTheKeysOfTheContract) {
  const Json json = RunForJson("train deepseek-v2-pretrain --samples 8");
  for (const char* key : {"step_time_s",
                          "tokens_per_step",
                          "gpus",
                          "tokens_per_gpu_per_s",
                          "gpu_hours_per_trillion_tokens",
                          "gpu_hours_total",
                          "days",
                          "cost_usd",
                          "model_tflops_per_gpu",
                          "mfu",
                          "flops_convention",
                          "bubble_fraction",
                          "exposed_communication_fraction",
                          "breakdown",
                          "memory",
                          "traffic",
                          "busiest_links",
                          "contention_s",
                          "imbalance_s",
                          "critical_path",
                          "marginal",
                          "uncertainty",
                          "intervals",
                          "phases",
                          "extrapolated_fraction"})
    EXPECT_TRUE(json.contains(key)) << key;
  double sum = 0;
  for (const Json& row : json["breakdown"]) sum += row["fraction"].get<double>();
  EXPECT_NEAR(sum, 1, 1e-6);
  EXPECT_LE(json["gpu_hours_per_trillion_tokens"]["p10"],
            json["gpu_hours_per_trillion_tokens"]["p50"]);
  EXPECT_LE(json["gpu_hours_per_trillion_tokens"]["p50"],
            json["gpu_hours_per_trillion_tokens"]["p90"]);
  EXPECT_EQ(json["published"]["gpu_hours_per_trillion_tokens"], 172800);
}

TEST(TrainCommandTest, EveryHeadlineHasItsInterval) {
  for (const char* scenario : {"deepseek-v2-pretrain", "deepseek-v2-programme"}) {
    const Json json = RunForJson(std::string("train --samples 8 ") + scenario);
    std::vector<std::string> keys = {"step_time_s",
                                     "tokens_per_gpu_per_s",
                                     "gpu_hours_per_trillion_tokens",
                                     "gpu_hours_total",
                                     "days",
                                     "cost_usd",
                                     "mfu",
                                     "model_tflops_per_gpu",
                                     "memory_peak_bytes"};
    for (const char* with_failures : {"wall_days", "wall_cost_usd", "availability"}) {
      EXPECT_EQ(json.contains(with_failures), json["phases"].size() > 1);
      if (json.contains(with_failures)) keys.push_back(with_failures);
    }
    EXPECT_EQ(json["intervals"].size(), keys.size());
    for (const std::string& key : keys) {
      ASSERT_TRUE(json["intervals"].contains(key)) << key;
      EXPECT_LT(json["intervals"][key]["p10"], json["intervals"][key]["p90"]) << key;
    }
  }
}

TEST(TrainCommandTest, EachResourceHasItsValueOrAReason) {
  const Json json = RunForJson("train deepseek-v2-pretrain --samples 8");
  std::vector<std::string> resources;
  for (const Json& m : json["marginal"]) {
    resources.push_back(m["resource"].Text());
    EXPECT_TRUE(m["step_change_percent"].is_number() || !m["choice"].get<std::string>().empty());
  }
  EXPECT_EQ(resources, (std::vector<std::string>{"compute", "hbm", "nvlink", "ib", "memory",
                                                 "gpus_per_replica"}));
}

TEST(TrainCommandTest, JsonOfAProgrammeSaysWhatEachPhaseTakes) {
  const Json json = RunForJson("train deepseek-v2-programme --samples 8");
  double hours = 0, days = 0, wall_days = 0, cost = 0;
  ASSERT_EQ(json["phases"].size(), 4u);
  for (const Json& phase : json["phases"]) {
    for (const char* key : {"name", "gpus", "steps", "tokens", "step_time_s", "mtbf_s",
                            "checkpoint_interval_s", "best_checkpoint_interval_s",
                            "checkpoint_write_s", "availability", "wall_cost_usd", "memory"})
      EXPECT_TRUE(phase.contains(key)) << key;
    for (const char* key : {"gpu_hours", "days", "cost_usd", "wall_days", "wall_cost_usd"}) {
      EXPECT_LE(phase["intervals"][key]["p10"], phase["intervals"][key]["p50"]) << key;
      EXPECT_LE(phase["intervals"][key]["p50"], phase["intervals"][key]["p90"]) << key;
    }
    EXPECT_GT(phase["wall_days"], phase["days"]);
    hours += phase["gpu_hours"].get<double>();
    days += phase["days"].get<double>();
    wall_days += phase["wall_days"].get<double>();
    cost += phase["cost_usd"].get<double>();
  }
  // Nine digits are printed.
  EXPECT_NEAR(json["gpu_hours_total"].get<double>() / hours, 1, 1e-8);
  EXPECT_NEAR(json["days"].get<double>() / days, 1, 1e-8);
  EXPECT_NEAR(json["wall_days"].get<double>() / wall_days, 1, 1e-8);
  EXPECT_NEAR(json["cost_usd"].get<double>() / cost, 1, 1e-8);
  EXPECT_EQ(json["detailed_phase"], "pretrain");
}

TEST(TrainCommandTest, APhaseThatDoesNotFitIsAnAnswer) {
  const std::string change = " --set unknown={} --set training/phases/2/plan/weight_delay=8";
  EXPECT_EQ(RunForJson("train deepseek-v2-programme --samples 4" + change)["memory"]["fits"],
            false);
  EXPECT_NE(RunCommand("train deepseek-v2-programme --samples 4" + change)
                .output.find("GiB, DOES NOT FIT"),
            std::string::npos);
}

TEST(TrainCommandTest, TheSameSeedPrintsTheSameBytes) {
  const std::string command = "train deepseek-67b-pretrain --samples 16 --seed 3 --json -";
  EXPECT_EQ(RunCommand(command).output, RunCommand(command).output);
}

TEST(TrainCommandTest, APlanThatDoesNotFitIsAnAnswer) {
  const Json json = RunForJson(
      "train deepseek-67b-pretrain --samples 4 --set unknown={} --set "
      "training/parallel='{\"pp\":1,\"dp\":16}'");
  EXPECT_EQ(json["memory"]["fits"], false);
  // 67.4e9 parameters at 2 bytes and 4 of gradients alone are over 400 GB.
  EXPECT_GT(json["memory"]["over_bytes"].get<double>(), 300e9);
}

TEST(TrainCommandTest, WhyMemoryListsRowsThatSumToThePeakOfTheFullestRank) {
  const Json json = RunForJson("train deepseek-v2-pretrain --samples 4 --why-memory");
  double sum = 0;
  for (const Json& row : json["why_memory"]["rows"]) {
    for (const char* key : {"part", "block", "what", "until", "copies", "micro_batches", "bytes"})
      EXPECT_TRUE(row.contains(key)) << key;
    sum += row["bytes"].get<double>();
  }
  EXPECT_NEAR(sum / json["memory"]["peak_bytes"].get<double>(), 1,
              1e-8);  // nine digits are printed
  for (const char* key : {"rank", "stage", "task", "micro_batch", "chunk", "at_s", "peak_bytes"})
    EXPECT_TRUE(json["why_memory"].contains(key)) << key;
  EXPECT_FALSE(RunForJson("train deepseek-v2-pretrain --samples 4").contains("why_memory"));
}

TEST(TrainCommandTest, OffloadedStatesThatTheHostCannotHoldDoNotFit) {
  // 67.4e9 parameters on one rank of a host of 2 TB: 18 bytes each are 1.2 TB; eight such ranks do
  // not fit.
  const Json json = RunForJson(
      "train deepseek-67b-pretrain --samples 4 --set unknown={} --set "
      "training/parallel='{\"pp\":1,\"dp\":16,\"zero\":0}' --set training/optimizer/offload=1");
  EXPECT_GT(json["memory"]["host_bytes_per_node"].get<double>(), 8e12);
  EXPECT_EQ(json["memory"]["fits"], false);
}

TEST(TrainCommandTest, AChangedScenarioIsNotComparedWithThePublishedRun) {
  EXPECT_FALSE(RunForJson("train deepseek-v2-pretrain --samples 4 --set training/parallel/dp=64")
                   .contains("published"));
}

TEST(TrainCommandTest, TheTimelineIsAFileOfSlices) {
  const std::string path = testing::TempDir() + "train_timeline.json";
  const Ran ran =
      RunCommand("train deepseek-v2-lite-pretrain --samples 4 --timeline '" + path + "'");
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  const size_t of_first = ParseJson(ReadFile(path), path)->root["traceEvents"].size();
  EXPECT_GT(of_first, 200u);
  const Ran tasks = RunCommand(
      "train deepseek-v2-lite-pretrain --samples 4 --timeline-detail tasks --timeline '" + path +
      "'");
  EXPECT_EQ(tasks.exit_code, 0) << tasks.output;
  EXPECT_LT(ParseJson(ReadFile(path), path)->root["traceEvents"].size(), of_first);
  std::remove(path.c_str());
}

TEST(TrainCommandTest, PrintShowsEveryStageOfThePipe) {
  const Json json = RunForJson(
      "train deepseek-v2-lite-pretrain --samples 4 --print layout,ops,costs,blocks,schedule");
  for (const char* key : {"ops", "costs", "blocks", "schedule"})
    EXPECT_GT(json[key].size(), 10u) << key;
  // Blocks are all that runs, reductions and updates too, and their ops are all ops.
  std::set<std::string> passes;
  for (const Json& block : json["blocks"]) passes.insert(block["pass"].get<std::string>());
  for (const char* pass : {"forward", "backward", "weight", "grad-reduce over dp",
                           "param-gather over dp", "grad-norm", "optimizer"})
    EXPECT_TRUE(passes.contains(pass)) << pass;
  // Layers of all stages are the model's 27.
  int layers = 0;
  for (const Json& stage : json["layout"])
    for (const Json& run : stage["blocks"])
      if (run["kind"] == "dense-layer" || run["kind"] == "moe-layer")
        layers += run["count"].get<int>();
  EXPECT_EQ(layers, 27);
  // An op shows what it runs, a cost where it comes from.
  EXPECT_TRUE(json["ops"][0].contains("shape"));
  EXPECT_TRUE(json["costs"][0].contains("source"));
}

// The step's order as text, timed by another command: alone on idle links it is the step.
TEST(TrainCommandTest, ThePrintedScheduleTakesAsLongAsTheStep) {
  const std::string path = testing::TempDir() + "step_schedule.txt";
  const std::string arguments = "train deepseek-v2-lite-pretrain --level analytic --samples 4";
  WriteFile(path, RunCommand(arguments + " --print schedule").output);
  const Json timed = RunForJson("pipeline --schedule-file '" + path + "'");
  std::remove(path.c_str());
  EXPECT_NEAR(
      timed["total_time_s"].get<double>() / RunForJson(arguments)["step_time_s"].get<double>(), 1,
      1e-9);
}

TEST(TrainCommandTest, SensitivityListsQuantitiesWithTheirSourceLargestFirst) {
  const Json rows =
      RunForJson("train deepseek-v2-pretrain --samples 4 --sensitivity")["sensitivity"];
  ASSERT_GT(rows.size(), 10u);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_FALSE(rows[i]["source"].get<std::string>().empty()) << rows[i];
    const double change = std::fabs(rows[i]["change_percent"].get<double>());
    if (i > 0) {
      EXPECT_LE(change, std::fabs(rows[i - 1]["change_percent"].get<double>()));
    }
  }
}

TEST(TrainCommandTest, WrongInputsAreOneErrorAndExitCodeTwo) {
  const std::string folder = testing::TempDir();
  const std::string deep = folder + "deep.json";
  const std::string large = folder + "large.json";
  const std::string broken = folder + "broken.json";
  WriteFile(deep, std::string(100000, '[') + std::string(100000, ']'));
  WriteFile(large, "{\"model\": \"" + std::string(size_t{100} << 20, 'x') + "\"}");
  WriteFile(broken, "{\"model\": \"deepseek-v2\",\n \"cluster\": }");
  struct Case {
    std::string arguments, says;
  };
  const Case cases[] = {
      {"train", "scenario is required"},
      {"train deepseek-v2-pretran", "did you mean \"deepseek-v2-pretrain\""},
      {"trian deepseek-v2-pretrain", "did you mean \"train\""},
      {"train deepseek-v2-pretrain --level fluidd", "--level"},
      {"train deepseek-v2-pretrain --samples 0", "--samples"},
      {"train deepseek-v2-pretrain --samples many", "--samples"},
      {"train deepseek-v2-pretrain --print op", "did you mean \"ops\""},
      {"train deepseek-v2-pretrain --set training/parallel/tp=7", "/training/parallel/tp"},
      {"train deepseek-v2-pretrain --set training/parallel/dp=1000000000000000000",
       "/training/parallel/dp"},
      {"train " + folder, "directory"},
      {"train /no/such/file.json", "cannot open"},
      {"train " + deep, "nested deeper"},
      {"train " + large, "at most"},
      {"train " + broken, "line 2, column 13"},
      {"train deepseek-v2-pretrain --samples 4 --json /no/such/folder/out.json", "cannot write"},
      {"train deepseek-v2-pretrain --samples 4 --timeline " + folder, "directory"},
      {"train deepseek-v2-pretrain --sampels 4", "did you mean --samples"},
      {"train deepseek-v3-pretrain --set training/parallel/pp=15",
       "/training/parallel/pp: found 15, expected an even number of stages with schedule dualpipe"},
      {"train deepseek-v3-pretrain --set training/phases/0/global_batch=2048",
       "/training/phases/0/global_batch: found 2048, expected an even number of micro-batches, at "
       "least 32"},
      {"train deepseek-v3-pretrain --set training/parallel/vpp=2",
       "/training/parallel/vpp: found 2, expected 1 with the schedule dualpipe"},
      {"validate trainings", "did you mean \"training\""},
      {"scenario", "one of"},
      {"scenario --list --schema", "one of"},
  };
  for (const Case& c : cases) {
    const Ran ran = RunCommand(c.arguments);
    EXPECT_EQ(ran.exit_code, 2) << c.arguments << "\n" << ran.output;
    EXPECT_NE(ran.output.find(c.says), std::string::npos) << c.arguments << "\n" << ran.output;
  }
  for (const std::string& file : {deep, large, broken}) std::remove(file.c_str());
}

TEST(TrainCommandTest, AFailedRunLeavesNoFileBehind) {
  const std::string path = testing::TempDir() + "not_written.json";
  std::remove(path.c_str());
  EXPECT_EQ(
      RunCommand("train deepseek-v2-pretrain --set training/parallel/tp=7 --json '" + path + "'")
          .exit_code,
      2);
  struct stat info {};
  EXPECT_NE(stat(path.c_str(), &info), 0);
}

TEST(ValidateCommandTest, TrainingPrintsPublishedBesidePredicted) {
  const Json json = RunForJson("validate training");
  ASSERT_GE(json["cases"].size(), 4u);
  for (const Json& c : json["cases"])
    for (const char* key : {"name", "quantity", "relation", "published", "predicted", "p10", "p90",
                            "error_percent", "source", "used_for_fitting"})
      EXPECT_TRUE(c.contains(key)) << key;
}

TEST(ValidateCommandTest, TheEraFactorMakesTheFittedRunComeOutAsPublished) {
  int fitted = 0;
  const Json json = RunForJson("validate training");
  for (const Json& c : json["cases"]) {
    if (!c["used_for_fitting"].get<bool>()) continue;
    ++fitted;
    EXPECT_EQ(c["basis"], "era");
    EXPECT_NEAR(c["predicted"].get<double>() / c["published"].get<double>(), 1, 1e-6);
  }
  EXPECT_EQ(fitted, 1);
}

TEST(CalibrateCommandTest, FitPrintsTheScalarsAndEveryRun) {
  const Json json = RunForJson("calibrate fit");
  for (const char* key : {"sustained", "gap_us", "sigma"})
    EXPECT_GT(json[key].get<double>(), 0) << key;
  EXPECT_EQ(json["runs"].size(), 5u);
}

TEST(ScenarioCommandTest, TheSchemaNamesEveryTopLevelField) {
  const Json schema = RunForJson("scenario --schema");
  for (const char* key : {"model", "cluster", "stack", "training", "price", "unknown"})
    EXPECT_TRUE(schema["properties"].contains(key)) << key;
  EXPECT_EQ(schema["additionalProperties"], false);
}

}  // namespace
}  // namespace moecast
