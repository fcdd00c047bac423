#include "scenarios/calibrate/network_import.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "base/fields.h"
#include "costmodel/collectives/fit.h"
#include "scenarios/cluster_loader.h"
#include "tests/message_of.h"
#include "topology/cluster.h"

namespace moecast {
namespace {

// What nccl-tests would print on the cluster if the model were true.
std::string TestOutput(const Cluster& c, CollectiveKind kind, const char* name, int nodes,
                       int per_node) {
  char line[256];
  std::string text = std::string("# Collective test starting: ") + name + "_perf\n";
  CollectiveCall call{.kind = kind};
  for (int r = 0; r < nodes * per_node; ++r) {
    std::snprintf(line, sizeof line, "#  Rank %2d Group  0 Pid 1 on host%d device %d [0x1b] GPU\n",
                  r, r / per_node, r % per_node);
    text += line;
    call.group.push_back(r / per_node * c.gpus_per_node + r % per_node);
  }
  text +=
      "#       size         count      type   redop    root     time   algbw   busbw #wrong     "
      "time   algbw "
      "  busbw #wrong\n";
  const Routes routes(c);
  for (double bytes = 1024; bytes < 1e9; bytes *= 4) {
    call.bytes = Bytes(bytes);
    const double us =
        TimeAlone(Lower(FastestAlgorithm(call, c, routes), call, routes), c) / Microseconds(1);
    std::snprintf(line, sizeof line, "%12.0f %12.0f half sum -1 %.3f 0 0 0 %.3f 0 0 0\n", bytes,
                  bytes / 2, us, us);
    text += line;
  }
  return text;
}

Cluster TwoNodes() {
  Cluster spec{.name = "c", .device_name = "h100", .gpus = 16, .gpus_per_node = 8};
  spec.nvlink_usable = GBps(310);
  spec.nic_usable = GBps(44);
  spec.collective_launch = Microseconds(5.5);
  spec.bulk_launch = Microseconds(21);
  spec.nvlink_step = Microseconds(1.1);
  spec.network_step = Microseconds(9);
  return BuildCluster(spec, LoadDevice("h100"));
}

TEST(NetworkImportTest, FindsTheRatesAndLatenciesThatMadeTheTimes) {
  const Cluster c = TwoNodes();
  const std::vector<TextFile> sources = {
      {"ag2.txt", TestOutput(c, CollectiveKind::kAllGather, "all_gather", 1, 2)},
      {"ag8.txt", TestOutput(c, CollectiveKind::kAllGather, "all_gather", 1, 8)},
      {"ar16.txt", TestOutput(c, CollectiveKind::kAllReduce, "all_reduce", 2, 8)},
      {"g.txt", TestOutput(c, CollectiveKind::kAllReduce, "gather", 1, 8)}};
  const ImportedNetwork network = ImportNetwork(sources, LoadDevice("h100"));
  EXPECT_NEAR(network.cluster.device.nvlink_usable.value, 310e9, 5e9);
  EXPECT_NEAR(network.cluster.nic_usable.value, 44e9, 1e9);
  EXPECT_NEAR(network.cluster.collective_launch.value, 5.5e-6, 0.2e-6);
  EXPECT_NEAR(network.cluster.bulk_launch.value, 21e-6, 1e-6);
  EXPECT_NEAR(network.cluster.nvlink_step.value, 1.1e-6, 0.05e-6);
  EXPECT_NEAR(network.cluster.network_step.value, 9e-6, 0.5e-6);
  EXPECT_EQ(network.fitted.size(), 6u);
  EXPECT_EQ(network.ignored, std::vector<std::string>{"g.txt"});
  ASSERT_EQ(network.tests.size(), 3u);
  EXPECT_EQ(network.tests[2].collective, "all-reduce");
  EXPECT_EQ(network.tests[2].ranks, 16);
  EXPECT_EQ(network.tests[2].nodes, 2);
  for (const ImportedTest& t : network.tests) EXPECT_LT(t.mean_error_percent, 1.5) << t.file;
}

TEST(NetworkImportTest, WhatItWritesIsAClusterFileWithTheFit) {
  const Cluster c = TwoNodes();
  const std::vector<TextFile> sources = {
      {"ag8.txt", TestOutput(c, CollectiveKind::kAllGather, "all_gather", 1, 8)}};
  const ImportedNetwork network = ImportNetwork(sources, LoadDevice("h100"));
  // One number of ranks does not tell the launch from the steps.
  EXPECT_EQ(network.fitted,
            (std::vector<std::string>{"nvlink_usable", "collective_launch", "bulk_launch"}));
  ASSERT_EQ(network.files.size(), 2u);
  EXPECT_EQ(network.files[0].path, "network/cluster.json");
  const Cluster spec =
      Codec<Cluster>::Table().Parse(JsonCursor(ParseJson(network.files[0].text, "cluster.json")));
  EXPECT_EQ(spec.gpus, 8);
  EXPECT_EQ(spec.device_name, "h100");
  EXPECT_NEAR(spec.nvlink_usable->value / network.cluster.device.nvlink_usable.value, 1, 1e-3);
  EXPECT_EQ(spec.network_step, Cluster{}.network_step);
  EXPECT_NE(spec.source.find("ag8.txt"), spec.source.npos);
  EXPECT_NE(network.files[1].text.find("all-gather,half,8,1,1024,"), std::string::npos);
}

TEST(NetworkImportTest, UnevenHostsAndNothingModelledAreTheUsersFault) {
  const Cluster c = TwoNodes();
  std::string uneven = TestOutput(c, CollectiveKind::kAllGather, "all_gather", 2, 2);
  uneven.replace(uneven.find("host1"), 5, "host0");
  const auto import = [](const std::string& name, const std::string& text) {
    return MessageOf([&] {
      const std::vector<TextFile> sources = {{name, text}};
      ImportNetwork(sources, LoadDevice("h100"));
    });
  };
  EXPECT_EQ(import("u.txt", uneven),
            "u.txt: found 1 ranks on host host1, expected 3 as on the others");
  EXPECT_EQ(
      import("g.txt", TestOutput(c, CollectiveKind::kAllReduce, "gather", 1, 8))
          .find("calibrate import: found no modelled collective among 1 files, expected output of"),
      0u);
}

}  // namespace
}  // namespace moecast
