// `moecast routing` as a user runs it.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

// Small enough for a test: one sequence of 512 tokens a rank, one layer.
constexpr char kSmall[] =
    "deepseek-v2-pretrain --layers 1 --step-tokens 512 --set "
    "training/phases/0/sequence_length=512 ";

Json Routed(const std::string& arguments) {
  return RunForJson("routing " + arguments);
}

TEST(RoutingCommandTest, JsonHoldsLoadsSpreadAndBytesBetweenRanks) {
  const Json json = Routed(kSmall);
  // 8 ranks of 512 tokens of 6 experts over 160, less what is dropped at capacity 1.
  const double kept = 1 - json["dropped_fraction"].get<double>();
  EXPECT_NEAR(json["expert_load"]["mean"].get<double>(), 8 * 512 * 6 / 160.0 * kept, 1e-6);
  EXPECT_NEAR(json["device_load"]["mean"].get<double>(), 512 * 6 * kept, 1e-4);
  EXPECT_GT(json["devices_per_token"].get<double>(), 2.8);
  EXPECT_EQ(json["nodes_per_token"].get<double>() <= 1, true);
  ASSERT_EQ(json["dispatch_bytes"].size(), 8u);
  double bytes = 0;
  for (int from = 0; from < 8; ++from) {
    EXPECT_EQ(json["dispatch_bytes"][from][from], 0);
    for (int to = 0; to < 8; ++to) bytes += json["dispatch_bytes"][from][to].get<double>();
  }
  // Tokens of 5120 bf16 numbers; an eighth of the visited ranks are the token's own.
  const double tokens = bytes / (5120 * 2);
  EXPECT_NEAR(tokens, 8 * 512 * json["devices_per_token"].get<double>() * 7 / 8, 0.02 * tokens);
  ASSERT_EQ(json["history"].size(), 1u);
  EXPECT_EQ(json["history"][0]["step"], 0);
}

TEST(RoutingCommandTest, StepsOfALossLowerItsImbalanceAndNoneDoNot) {
  const std::string skewed =
      std::string(kSmall) +
      "--set training/routing/tokens/distribution=zipf "
      "--set training/routing/tokens/zipf_exponent=1 --steps 40 --rate 0.05 --losses ";
  const auto change = [&](const std::string& losses, const char* of) {
    const Json history = Routed(skewed + losses)["history"];
    EXPECT_EQ(history.size(), 41u);
    return history[40][of].get<double>() / history[0][of].get<double>();
  };
  EXPECT_LT(change("expert", "expert_cv"), 0.6);
  EXPECT_LT(change("device", "device_cv"), 0.6);
  EXPECT_LT(change("communication", "communication_cv"), 0.6);
  EXPECT_GT(change("none", "expert_cv"), 0.9);
}

TEST(RoutingCommandTest, WhatIsRecordedIsRoutedAlikeAgain) {
  const std::string file = testing::TempDir() + "routing_record.bin";
  Json drawn = Routed(std::string(kSmall) + "--record " + file);
  Json again = Routed(std::string(kSmall) + "--recorded " + file);
  EXPECT_EQ(again["tokens"], "recorded in " + file);
  for (const char* key : {"expert_load", "device_load", "received_tokens", "dispatch_bytes",
                          "dropped_fraction", "dropped_weight_fraction", "distinct_experts"})
    EXPECT_EQ(drawn[key], again[key]) << key;
  // Cut short it is an error that says so.
  WriteFile(file, ReadFile(file).substr(0, 1000));
  const Ran ran = RunCommand("routing " + std::string(kSmall) + "--recorded " + file);
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_NE(ran.output.find("after the header: found 960 bytes, expected 147456 bytes"),
            std::string::npos)
      << ran.output;
  std::remove(file.c_str());
}

TEST(RoutingCommandTest, WhatIsRecordedFeedsTraining) {
  const std::string even = testing::TempDir() + "even_counts.csv";
  const std::string hot = testing::TempDir() + "hot_counts.csv";
  const std::string choices = testing::TempDir() + "choices.bin";
  std::string even_rows = "layer,micro_batch,expert,tokens\n", hot_rows = even_rows;
  for (int e = 0; e < 160; ++e) {
    const std::string row = "0,0," + std::to_string(e) + ",";
    even_rows += row + "100\n";
    hot_rows += row + (e < 20 ? "240\n" : "80\n");
  }
  WriteFile(even, even_rows);
  WriteFile(hot, hot_rows);
  Routed(std::string(kSmall) + "--set training/routing={} --record " + choices);
  const auto trained = [](const std::string& file) {
    const Ran ran = RunCommand(
        "train deepseek-v2-pretrain --samples 2 --set unknown={} --set training/routing={} "
        "--set training/routing/recorded=" +
        file + " --json -");
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    return ParseJson(ran.output, "output")->root;
  };
  // Alike, a rank has an eighth; with 240 of 100 on one, 2.4 times as much.
  EXPECT_NEAR(trained(even)["imbalance_s"].get<double>(), 0, 1e-12);
  const double imbalance = trained(hot)["imbalance_s"].get<double>(),
               of_tokens = trained(choices)["imbalance_s"].get<double>();
  EXPECT_GT(of_tokens, 0);
  EXPECT_GT(imbalance, of_tokens);
  // `routing` reads what the scenario names, too.
  EXPECT_EQ(
      Routed(std::string(kSmall) + "--set training/routing={} --set training/routing/recorded=" +
             hot)["device_load"]["max"],
      4800);
  for (const std::string& file : {even, hot, choices}) std::remove(file.c_str());
}

TEST(RoutingCommandTest, TheGroupLimitAndTopPOfTheScenarioRoute) {
  const std::string small =
      std::string(kSmall) + "--set training/routing/device_cv=0 --set training/routing/tokens={} ";
  const Json two = Routed(small + "--set training/routing/topk_group=2");
  const Json eight = Routed(small + "--set training/routing/topk_group=8");
  const Json part = Routed(small + "--set training/routing/top_p=0.2");
  EXPECT_NEAR(two["devices_per_token"].get<double>(), 2, 0.1);
  EXPECT_NEAR(eight["uniform_choice"]["devices_per_token"].get<double>(), 4.46, 0.01);
  EXPECT_EQ(eight["experts_per_token"], 6);
  EXPECT_NE(part["experts_per_token"], 6);
}

TEST(RoutingCommandTest, CountsHaveLoadsAndNoTokens) {
  const std::string file = testing::TempDir() + "routing_counts.csv";
  WriteFile(file, "layer,micro_batch,expert,tokens\n0,0,0,60\n0,0,20,20\n");
  const Json json = Routed(std::string(kSmall) +
                           "--set training/routing/capacity_factor=null --placement global "
                           "--redundant 8 --recorded " +
                           file);
  EXPECT_EQ(json["device_load"]["max"], 60);
  EXPECT_EQ(json["device_load"]["mean"], 10);
  EXPECT_TRUE(json["devices_per_token"].is_null());
  EXPECT_TRUE(json["dispatch_bytes"].is_null());
  // Eight more slots: 60 / 7 and 20 / 3 a replica; before, 60 of a mean of 10.
  EXPECT_EQ(json["placement"]["device_max_over_mean_before"], 6);
  EXPECT_LT(json["placement"]["device_max_over_mean"].get<double>(), 1.6);
  std::remove(file.c_str());
}

TEST(RoutingCommandTest, TopPAndTheWayTokensTravelAreChosen) {
  const Json few = Routed(std::string(kSmall) + "--top-p 0.1"),
             many = Routed(std::string(kSmall) + "--top-p 0.3");
  EXPECT_LT(few["experts_per_token"].get<double>(), many["experts_per_token"].get<double>());
  const Json wide = Routed(std::string(kSmall) +
                           "--set unknown={} --set training/parallel/ep=16 --sent-once expert");
  EXPECT_EQ(wide["sent_once_per"], "expert");
  EXPECT_EQ(Routed(std::string(kSmall) + "--set training/parallel/ep=16")["sent_once_per"], "node");
}

TEST(RoutingCommandTest, FaultsAreTheUsers) {
  const struct {
    const char* arguments;
    const char* says;
  } cases[] = {
      {"--losses expret", "did you mean \"expert\""},
      {"--losses expert,expert", "each at most once"},
      {"--losses none,expert", "--losses: found \"none\""},
      {"--step-rule sing", "did you mean \"sign\""},
      {"--steps -1", "--steps"},
      {"--layers 60", "--layers: found 60"},
      {"--micro-batches 0", "--micro-batches"},
      {"--step-tokens 0", "--step-tokens"},
      {"--top-p 1.5", "--top-p"},
      {"--bias-rate 2", "--bias-rate"},
      {"--rate -1", "--rate"},
      {"--sent-once nod", "did you mean \"node\""},
      {"--placement locall", "one of hierarchical, global"},
      {"--placement global --redundant 3", "163 slots on 8 ranks"},
      {"--redundant 8", "0 without --placement"},
      {"--recorded /nowhere/at/all.bin", "/nowhere/at/all.bin"},
      {"--set training/routing/tokens/distribution=zipf --set training/routing/device_cv=0.1",
       "expected 0 where tokens say"},
  };
  for (const auto& c : cases) {
    const Ran ran = RunCommand("routing deepseek-v2-pretrain " + std::string(c.arguments));
    EXPECT_EQ(ran.exit_code, 2) << c.arguments << ran.output;
    EXPECT_NE(ran.output.find(c.says), std::string::npos) << c.arguments << ": " << ran.output;
  }
  const Ran dense = RunCommand("routing deepseek-67b-pretrain");
  EXPECT_EQ(dense.exit_code, 2);
  EXPECT_NE(dense.output.find("a model with routed experts"), std::string::npos) << dense.output;
}

}  // namespace
}  // namespace moecast
