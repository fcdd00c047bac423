// `moecast topo` as a user runs it.
#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

Ran RunTopo(const std::string& arguments) {
  return RunCommand("topo " + arguments);
}

TEST(TopoCommandTest, JsonHasTheKeysOfAClusterAndNothingElseIsPrinted) {
  const Ran ran = RunTopo("h800-64 --json -");
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const Json json = ParseJson(ran.output, "output")->root;
  EXPECT_EQ(json["gpus"], 64);
  EXPECT_EQ(json["nodes"], 8);
  EXPECT_EQ(json["bisection_bytes_per_s"], 32 * 50e9);
  EXPECT_EQ(json["links"].size(), 256u);
}

TEST(TopoCommandTest, DotOnStandardOutputIsTheDrawingAlone) {
  const Ran ran = RunTopo("h800-8 --dot -");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_TRUE(ran.output.starts_with("graph \"h800-8\" {")) << ran.output;
  EXPECT_TRUE(ran.output.ends_with("}\n")) << ran.output;
}

TEST(TopoCommandTest, FailuresAreAnsweredWithWhatIsLeft) {
  const Ran ran = RunTopo("h800-32-fat-tree --fail spine0 --fail node0.gpu3.nic-out --json -");
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const Json json = ParseJson(ran.output, "output")->root;
  EXPECT_EQ(json["bisection_bytes_per_s"], 400e9);
  EXPECT_EQ(json["healthy_bisection_bytes_per_s"], 800e9);
  EXPECT_EQ(json["failed"].size(), 2u);
  // Cut in two: an answer.
  const Ran cut = RunTopo("h800-32-fat-tree --fail spine0,spine1");
  EXPECT_EQ(cut.exit_code, 0);
  EXPECT_NE(cut.output.find("51.61% cut off"), std::string::npos) << cut.output;
}

TEST(TopoCommandTest, FaultsAreTheUsers) {
  const Ran unknown = RunTopo("h800-46");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.output.find("did you mean \"h800-64\""), std::string::npos) << unknown.output;
  EXPECT_EQ(RunTopo("h800-8 --json - --dot -").exit_code, 2);
  EXPECT_EQ(RunTopo("h800-8 --dot /nowhere/at/all.dot").exit_code, 2);
  EXPECT_EQ(RunTopo("").exit_code, 2);
  EXPECT_EQ(RunTopo("h800-8 --fields").exit_code, 2);
  const Ran link = RunTopo("h800-32-fat-tree --fail unit0.leaf8.up");
  EXPECT_EQ(link.exit_code, 2);
  EXPECT_NE(link.output.find(
                "--fail: found \"unit0.leaf8.up\", expected a link or a switch of h800-32-fat-tree "
                "(did you mean \"unit0.leaf0.up\"?)"),
            std::string::npos)
      << link.output;
}

}  // namespace
}  // namespace moecast
