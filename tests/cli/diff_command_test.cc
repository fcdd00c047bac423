// diff as a user runs it.
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

Json DiffJson(const std::string& arguments) {
  return RunForJson(arguments + " --samples 8");
}

TEST(DiffCommandTest, CausesSumToTheDifferenceOfTheTwoTrainPrints) {
  const Json d =
      DiffJson("diff deepseek-v2-pretrain deepseek-v2-pretrain --set-b training/schedule=1f1b");
  const Json a = DiffJson("train deepseek-v2-pretrain"),
             b = DiffJson("train deepseek-v2-pretrain --set training/schedule=1f1b");
  double seconds = 0;
  for (const Json& c : d["causes"]) seconds += c["seconds"].get<double>();
  const double difference = b["step_time_s"].get<double>() - a["step_time_s"].get<double>();
  EXPECT_NEAR(seconds, difference, 1e-7);
  EXPECT_NEAR(d["difference_s"].get<double>(), difference, 1e-7);
  EXPECT_EQ(d["a"]["intervals"], a["intervals"]);
  EXPECT_EQ(d["b"]["intervals"], b["intervals"]);
  EXPECT_EQ(d["b"]["breakdown"], b["breakdown"]);
  EXPECT_EQ(d["a"]["memory"]["peak_bytes"], a["memory"]["peak_bytes"]);
}

TEST(DiffCommandTest, FieldsAreResolvedAndASetFieldIsNoLongerUnknown) {
  const Json d = DiffJson(
      "diff deepseek-v2-pretrain deepseek-v2-pretrain --set training/parallel/zero=2 --set-a "
      "training/schedule=1f1b --set-b training/parallel/dp=64");
  ASSERT_EQ(d["fields"].size(), 3u);
  EXPECT_EQ(d["fields"][0]["pointer"], "/training/parallel/dp");
  EXPECT_EQ(d["fields"][0]["a"], 128);
  EXPECT_EQ(d["fields"][0]["b"], 64);
  EXPECT_EQ(d["fields"][1]["pointer"], "/training/schedule");
  EXPECT_EQ(d["fields"][1]["a"], "1f1b");
  EXPECT_EQ(d["fields"][2]["pointer"], "/unknown/~1training~1parallel~1dp");
  EXPECT_TRUE(d["fields"][2]["b"].is_null());
}

TEST(DiffCommandTest, APlanAndItselfDifferInNothing) {
  const Json d = DiffJson("diff deepseek-67b-pretrain deepseek-67b-pretrain");
  EXPECT_TRUE(d["causes"].empty());
  EXPECT_TRUE(d["fields"].empty());
  EXPECT_EQ(d["difference_s"], 0);
  EXPECT_NE(RunCommand("diff deepseek-67b-pretrain deepseek-67b-pretrain")
                .output.find("no field differs"),
            std::string::npos);
}

TEST(DiffCommandTest, WrongInputsAreOneErrorAndExitCodeTwo) {
  struct Case {
    std::string arguments, says;
  };
  const Case cases[] = {
      {"diff", "a is required"},
      {"diff deepseek-v2-pretrain", "b is required"},
      {"diff deepseek-v2-pretrain deepseek-v2-pretran", "did you mean \"deepseek-v2-pretrain\""},
      {"diff deepseek-v2-pretrain deepseek-67b-pretrain deepseek-v3-pretrain",
       "deepseek-v3-pretrain"},
      {"diff deepseek-v2-pretrain deepseek-v2-pretrain --set-b training/paralel/tp=2",
       "/training/paralel: found an unknown field"},
      {"diff deepseek-v2-pretrain deepseek-v2-pretrain --set-b training/parallel/tpp=2",
       "did you mean \"tp\""},
      {"diff deepseek-v2-pretrain deepseek-v2-pretrain --set-b training/schedule/x=2", "--set-b"},
      {"diff deepseek-v2-pretrain deepseek-v2-pretrain --set-b training/parallel/tp", "--set-b"},
      {"diff deepseek-v2-pretrain deepseek-v2-pretrain --set-a training/parallel/tp=7",
       "--set-a training/parallel/tp=7"},
      {"diff deepseek-v2-pretrain deepseek-v2-pretrain --samples 1", "--samples"},
      {"dif deepseek-v2-pretrain deepseek-v2-pretrain", "did you mean \"diff\""},
  };
  for (const Case& c : cases) {
    const Ran ran = RunCommand(c.arguments);
    EXPECT_EQ(ran.exit_code, 2) << c.arguments << "\n" << ran.output;
    EXPECT_NE(ran.output.find(c.says), std::string::npos) << c.arguments << "\n" << ran.output;
  }
}

}  // namespace
}  // namespace moecast
