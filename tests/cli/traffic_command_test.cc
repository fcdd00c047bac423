// `moecast traffic` as a user runs it.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

// A file of the test's own, gone after it.
struct TestFile {
  std::string path;
  explicit TestFile(const std::string& name, const std::string& text = "")
      : path(testing::TempDir() + name) {
    if (!text.empty()) WriteFile(path, text);
  }
  ~TestFile() { std::remove(path.c_str()); }
};

TEST(TrafficCommandTest, StatsOfATraceAreItsOwn) {
  const TestFile trace("stats.jsonl",
                       "{\"timestamp\": 0, \"input_length\": 1000, \"output_length\": 10, "
                       "\"hash_ids\": [1, 2]}\n"
                       "{\"timestamp\": 4000, \"input_length\": 1500, \"output_length\": 30, "
                       "\"hash_ids\": [1, 2, 3]}\n");
  const Json json = RunForJson("traffic stats " + trace.path);
  EXPECT_EQ(json["requests"], 2);
  EXPECT_EQ(json["duration_s"], 4);
  EXPECT_EQ(json["request_rate"], 0.25);
  EXPECT_EQ(json["input"]["mean"], 1250);
  EXPECT_EQ(json["input"]["median"], 1250);
  EXPECT_EQ(json["output"]["p99"], 29.8);
  EXPECT_EQ(json["input_tokens_per_s"], 312.5);
  EXPECT_EQ(json["prefix_hit_rate"], 0.4096);  // 2 * 512 of 2500
  // At twice the rate; cut; and at a rate of its own.
  EXPECT_EQ(RunForJson("traffic stats --speedup 2 " + trace.path)["duration_s"], 2);
  EXPECT_EQ(RunForJson("traffic stats --start 1s " + trace.path)["requests"], 1);
  EXPECT_EQ(RunForJson("traffic stats --duration 4s " + trace.path)["input"]["mean"], 1000);
  EXPECT_EQ(RunForJson("traffic stats --limit 1 " + trace.path)["requests"], 1);
  EXPECT_NE(RunForJson("traffic stats --rate 5 " + trace.path)["duration_s"], 4);
}

TEST(TrafficCommandTest, WhatIsDrawnIsTheSameAndItsStatsAreThoseOfItsFile) {
  const TestFile a("a.jsonl"), b("b.jsonl"), c("c.csv");
  const std::string gen = "traffic gen mooncake-conversation-like --set duration=300s --out ";
  EXPECT_EQ(RunCommand(gen + a.path).exit_code, 0);
  EXPECT_EQ(RunCommand(gen + b.path).exit_code, 0);
  EXPECT_EQ(ReadFile(a.path), ReadFile(b.path));
  EXPECT_EQ(RunCommand(gen + b.path + " --seed 2").exit_code, 0);
  EXPECT_NE(ReadFile(a.path), ReadFile(b.path));
  const Json drawn = RunForJson(
      "traffic stats mooncake-conversation-like --set duration=300s --against " + a.path);
  EXPECT_GT(drawn["requests"], 500);
  EXPECT_EQ(drawn["difference"]["input_distribution"], 0);
  EXPECT_EQ(drawn["difference"]["percent"]["prefix_hit_rate"], 0);
  EXPECT_EQ(drawn["against"]["input"]["mean"], drawn["input"]["mean"]);
  const Json converted = RunForJson("traffic convert " + a.path + " --to vidur --out " + c.path);
  EXPECT_EQ(converted["lost"], "hashes of prefixes");
  EXPECT_EQ(converted["format"], "vidur");
  EXPECT_EQ(RunForJson("traffic stats " + c.path)["output"]["mean"], drawn["output"]["mean"]);
}

TEST(TrafficCommandTest, StandardOutputHoldsTheTraceAlone) {
  const Ran ran = RunCommand(
      "traffic gen azure-conv-like --set duration=1s --set arrivals/process=constant --format "
      "azure "
      "--set output/distribution=fixed --set output/value=7 --out -");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_TRUE(
      ran.output.starts_with("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00."))
      << ran.output;
  EXPECT_TRUE(ran.output.ends_with(",7\n")) << ran.output;
}

TEST(TrafficCommandTest, TextShowsBothTracesAndHowFarApartTheyAre) {
  const TestFile lengths("lengths.csv", "num_prefill_tokens,num_decode_tokens\n100,20\n0,40\n");
  const Ran ran = RunCommand("traffic stats azure-conv-like --limit 50 --against " + lengths.path);
  EXPECT_EQ(ran.exit_code, 0);
  for (const char* says :
       {"azure-conv-like  lengths.csv  difference", "  requests ", "  input, median ",
        "requests/s in each twelfth of the time", "distribution functions differ by at most ",
        "lengths.csv: 1 requests without a prompt or an answer are left out",
        "lengths.csv: no arrival times; --rate gives it some"})
    EXPECT_NE(ran.output.find(says), std::string::npos) << says << "\n" << ran.output;
}

TEST(TrafficCommandTest, FaultsAreTheUsers) {
  const TestFile wrong("wrong.csv",
                       "arrived_at,num_prefill_tokens,num_decode_tokens\n2,1,1\n1,1,1\n");
  const std::pair<std::string, std::string> kFaults[] = {
      {"stats " + wrong.path, "wrong.csv: line 3, column \"arrived_at\": found \"1\", expected no"},
      {"stats azure-conv-lik", "(did you mean \"azure-conv-like\"?)"},
      {"stats azure-conv-like --set arrivals/rat=3", "(did you mean \"rate\"?)"},
      {"stats azure-conv-like --start 2h", "found no requests between --start and --start + "},
      {"stats azure-conv-like --start 5", "--start: found \"5\", expected a time such as 10min"},
      {"stats azure-conv-like --duration 0s", "--duration: found \"0s\", expected a time such as"},
      {"stats azure-conv-like --limit 0", "--limit: found 0, expected at least 1"},
      {"stats azure-conv-like --speedup 0", "--speedup: found 0, expected a factor from"},
      {"stats azure-conv-like --rate -1", "--rate: found -1.00, expected from 1e-6 to 1e9"},
      {"gen azure-conv-like --out - --format azur", "(did you mean \"azure\"?)"},
      // Three months of it would take hours to draw.
      {"gen mooncake-conversation-like --set block_tokens=16 --set duration=90d --out -",
       "found hashes of 16 tokens, expected 512, as the format mooncake has it"},
      {"convert azure-conv-like --out -", "--to is required"},
      {"stats /dev/null", "/dev/null"},
  };
  for (const auto& [arguments, says] : kFaults) {
    const Ran ran = RunCommand("traffic " + arguments);
    EXPECT_EQ(ran.exit_code, 2) << arguments;
    EXPECT_NE(ran.output.find(says), std::string::npos) << arguments << "\n" << ran.output;
  }
}

TEST(TrafficCommandTest, ListNamesWhatIsBuiltIn) {
  EXPECT_EQ(RunCommand("traffic list").output, "azure-conv-like\nmooncake-conversation-like\n");
}

}  // namespace
}  // namespace moecast
