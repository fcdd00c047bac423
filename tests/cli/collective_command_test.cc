// `moecast collective` as a user runs it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

Json CollectiveJson(const std::string& arguments) {
  return RunForJson("collective " + arguments);
}

TEST(CollectiveCommandTest, JsonHasTheKeysOfTheContract) {
  const Json json = CollectiveJson("all-reduce --cluster h800-64 --ranks 0-63 --bytes 1GiB");
  for (const char* key : {"time_s", "algorithm_bandwidth", "bus_bandwidth", "bottleneck", "links",
                          "level", "algorithm", "jobs", "finishes"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["level"], "fluid");
  EXPECT_EQ(json["ranks"], 64);
  EXPECT_EQ(json["bytes"], 1073741824);
  EXPECT_NEAR(json["bus_bandwidth"].get<double>() / json["algorithm_bandwidth"].get<double>(),
              2 * 63 / 64.0, 1e-8);
  EXPECT_EQ(json["links"].size(), 256u);
  EXPECT_GE(json["links"][0]["utilisation"], json["links"][255]["utilisation"]);
  EXPECT_EQ(json["links"][0]["name"], json["bottleneck"]);
}

TEST(CollectiveCommandTest, LevelsAgreeOnACollectiveAlone) {
  const std::string what = "all-to-all --cluster h800-8 --ranks 0-7 --bytes 64MiB --level ";
  const double fluid = CollectiveJson(what + "fluid")["time_s"].get<double>();
  EXPECT_NEAR(CollectiveJson(what + "analytic")["time_s"].get<double>(), fluid, 1e-9);
  if (::access(MOECAST_SIMGRID, X_OK) != 0) GTEST_SKIP() << "moecast-simgrid is not built";
  EXPECT_NEAR(CollectiveJson(what + "simgrid")["time_s"].get<double>(), fluid, 1e-9);
}

TEST(CollectiveCommandTest, OthersAtTheSameTimeHaveTheirOwnTimes) {
  const Json json = CollectiveJson(
      "all-gather --cluster h800-64 --ranks 0-15 --bytes 256MiB "
      "--with send:0-31:64MiB --with all-reduce:32-63:1MiB");
  ASSERT_EQ(json["jobs"].size(), 3u);
  EXPECT_EQ(json["jobs"][0]["time_s"], json["time_s"]);
  EXPECT_EQ(json["jobs"][1]["kind"], "send");
  EXPECT_EQ(json["jobs"][1]["ranks"], 32);
  EXPECT_GT(json["jobs"][1]["time_s"], json["jobs"][1]["time_alone_s"]);
}

TEST(CollectiveCommandTest, AFailureThatCutsAGroupOffIsAnAnswer) {
  const std::string what = "all-reduce --cluster h800-64 --ranks 0-15 --bytes 1GiB";
  const Json at_a_time = CollectiveJson(what + " --fail node1.gpu3.nic-in@1ms");
  EXPECT_EQ(at_a_time["finishes"], false);
  EXPECT_TRUE(at_a_time["time_s"].is_null());
  EXPECT_EQ(at_a_time["blocked_links"], Json::array({"node1.gpu3.nic-in"}));
  EXPECT_EQ(at_a_time["bottleneck"], "node1.gpu3.nic-in");
  // A switch takes its links with it.
  const Json leaf = CollectiveJson(
      "all-reduce --cluster h800-32-fat-tree --ranks 0-31 --bytes 1GiB --fail unit0.leaf0@1ms");
  EXPECT_EQ(leaf["finishes"], false);
  EXPECT_EQ(leaf["blocked_links"][0], "node0.gpu0.nic-out");
  // Missing from the start, the way is another.
  EXPECT_EQ(CollectiveJson(what + " --fail node1.gpu3.nic-in")["finishes"], true);
  const Json cut_off = CollectiveJson(
      "dispatch --cluster h800-8 --ranks 0-7 --bytes 1MiB --fail node0.nvswitch "
      "--fail node0.gpu0.nic-out");
  EXPECT_EQ(cut_off["finishes"], false);
  EXPECT_GT(cut_off["unreachable_sends"], 0);
}

TEST(CollectiveCommandTest, ADegradedLinkSlowsWhatUsesIt) {
  const std::string what = "send --cluster h800-64 --ranks 0,8 --bytes 64MiB";
  const double whole = CollectiveJson(what)["time_s"].get<double>(),
               half = CollectiveJson(what + " --degrade node0.gpu0.nic-out@0s=24.25GB/s")["time_s"]
                          .get<double>();
  EXPECT_GT(half, 1.9 * whole);
  EXPECT_LT(half, 2 * whole);
}

TEST(CollectiveCommandTest, CablesOfABundleFailOneAfterTheOther) {
  // All first GPUs of one unit send to those of the next: over the 32 cables of a leaf, with 32
  // NICs' bytes.
  std::string ranks;
  for (int node = 0; node < 64; ++node) ranks += (node > 0 ? "," : "") + std::to_string(8 * node);
  const std::string what = "send --cluster h800-2048-fat-tree --bytes 64MiB --ranks " + ranks;
  const std::string first = " --fail unit0.leaf0.up.spine0@0s";
  const std::string second = " --fail unit0.leaf0.up.spine1@0s";
  const double whole = CollectiveJson(what)["time_s"].get<double>();
  const double one = CollectiveJson(what + first)["time_s"].get<double>();
  const double two = CollectiveJson(what + second + first)["time_s"].get<double>();
  const double flowing =
      CollectiveJson(what + " --degrade unit0.leaf0.up@0s=776GB/s")["time_s"].get<double>() - whole;
  EXPECT_GT(one, whole);
  EXPECT_NEAR((two - whole) / (one - whole), (32.0 / 30 - 1) / (32.0 / 31 - 1), 1e-6);
  EXPECT_NEAR((one - whole) / flowing, 1.0 / 31, 1e-6);
}

TEST(CollectiveCommandTest, FewerSmsAndAWiderSpreadTakeLonger) {
  const std::string what = "dispatch --cluster h800-64 --ranks 0-63 --bytes 56MiB";
  const double plain = CollectiveJson(what)["time_s"].get<double>();
  const double few = CollectiveJson(what + " --sms 2")["time_s"].get<double>();
  const double spread = CollectiveJson(what + " --spread 7.5,3.5,8")["time_s"].get<double>();
  EXPECT_GT(few, plain);
  EXPECT_GT(spread, 3 * plain);
}

TEST(CollectiveCommandTest, WhatThePersonReadsIsBounded) {
  const Ran ran =
      RunCommand("collective all-gather --cluster h800-2048 --ranks 0-2047 --bytes 1GiB");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_LT(std::count(ran.output.begin(), ran.output.end(), '\n'), 20) << ran.output;
  EXPECT_NE(ran.output.find("and 8,184 more"), std::string::npos) << ran.output;
}

TEST(CollectiveCommandTest, FaultsAreTheUsers) {
  const std::string good = "all-reduce --cluster h800-64 --ranks 0-63 --bytes 1MiB";
  const struct {
    std::string arguments, says;
  } kCases[] = {
      {"all-redcue --cluster h800-64 --ranks 0-63 --bytes 1MiB", "did you mean \"all-reduce\"?"},
      {"all-reduce --cluster h800-46 --ranks 0-63 --bytes 1MiB", "h800-64"},
      {"all-reduce --cluster h800-64 --ranks 0-64 --bytes 1MiB", "ranks from 0 to 63"},
      {"all-reduce --cluster h800-64 --ranks 99999999999 --bytes 1MiB", "ranks from 0 to 63"},
      {"all-reduce --cluster h800-64 --ranks 3 --bytes 1MiB", "at least two ranks"},
      {"all-reduce --cluster h800-64 --ranks 0-3,2 --bytes 1MiB", "rank 2 comes again"},
      {"all-reduce --cluster h800-64 --ranks 7-0 --bytes 1MiB", "the lower rank first"},
      {"all-reduce --cluster h800-64 --ranks 0,,1 --bytes 1MiB", "ranks such as 0-7,16,24-31"},
      {"all-reduce --cluster h800-64 --ranks 0-x --bytes 1MiB", "ranks such as 0-7,16,24-31"},
      {"all-reduce --cluster h800-64 --ranks '' --bytes 1MiB", "--ranks"},
      {"send --cluster h800-64 --ranks 0-2 --bytes 1MiB", "as many receivers as senders"},
      {"all-reduce --cluster h800-64 --ranks 0-63 --bytes 0B", "above 0"},
      {"all-reduce --cluster h800-64 --ranks 0-63 --bytes 17", "bytes with a unit"},
      {"all-reduce --cluster h800-64 --ranks 0-63 --bytes 1e9TB", "at most 1000TB"},
      {"all-reduce --cluster h800-64 --ranks 0-63", "--bytes"},
      {good + " --level fluit", "did you mean \"fluid\"?"},
      {good + " --algorithm rign", "did you mean \"ring\"?"},
      {good + " --algorithm nvls", "ranks on one node"},
      {good + " --sms 0", "from 1 to the device's 132"},
      {good + " --spread 2,1,2", "dispatch or combine"},
      {"dispatch --cluster h800-64 --ranks 0-63 --bytes 1MiB --spread 2,3,2", "nodes 3"},
      {"dispatch --cluster h800-64 --ranks 0-63 --bytes 1MiB --spread 2", "DEVICES,NODES,EXPERTS"},
      {good + " --with send:0-7", "KIND:RANKS:BYTES"},
      {good + " --with send:0-7:1", "--with"},
      {good + " --fail node0.gpu9.nic-out@1ms", "node0.gpu9.nic-out"},
      {good + " --fail node0.gpu9.nic-out", "node0.gpu9.nic-out"},
      {good + " --fail node0.gpu0.nic-out@soon", "a time with a unit"},
      {good + " --fail node0.gpu0.nic-out@-1ms", "a time with a unit"},
      {good + " --degrade node0.gpu0.nic-out@1ms", "LINK@TIME=RATE"},
      {good + " --degrade node0.gpu0.nic-out=1GB/s", "LINK@TIME=RATE"},
      {good + " --degrade node0.gpu0.nic-out@1ms=fast", "a rate such as"},
  };
  for (const auto& c : kCases) {
    const Ran ran = RunCommand("collective " + c.arguments);
    EXPECT_EQ(ran.exit_code, 2) << c.arguments << "\n" << ran.output;
    EXPECT_NE(ran.output.find(c.says), std::string::npos) << c.arguments << "\n" << ran.output;
  }
}

TEST(CollectiveCommandTest, WithoutTheSimgridProgramTheLevelIsAFault) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / "moecast_alone";
  fs::create_directories(folder);
  const fs::path program = folder / "moecast";
  std::error_code error;
  fs::remove(program, error);
  fs::create_hard_link(MOECAST_BINARY, program, error);
  if (error) fs::copy_file(MOECAST_BINARY, program);
  const std::string command =
      program.string() +
      " collective send --cluster h800-8 --ranks 0,1 --bytes 1MiB --level simgrid "
      "2>/dev/null";
  const int status = std::system(command.c_str());
  fs::remove_all(folder);
  EXPECT_EQ(WEXITSTATUS(status), 2);
}

}  // namespace
}  // namespace moecast
