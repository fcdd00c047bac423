#include "viz/topo_view.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

// NVLink 200 GB/s of which 160 can be used, NIC 50 GB/s of which 48.
Cluster Gpus(int gpus, int gpus_per_node) {
  Cluster c{
      .name = "test", .gpus = gpus, .gpus_per_node = gpus_per_node, .nic = GBps(50), .nic_usable = GBps(48)};
  c.device.name = "h800";
  c.device.nvlink = GBps(200);
  c.device.nvlink_usable = GBps(160);
  return c;
}

size_t CountOf(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

TEST(TopoViewTest, JsonListsEveryLinkWithItsCapacity) {
  const Json json = TopoJson(Gpus(16, 8));
  EXPECT_EQ(json["gpus"], 16);
  EXPECT_EQ(json["nodes"], 2);
  EXPECT_EQ(json["bisection_bytes_per_s"], 8 * 50e9);
  ASSERT_EQ(json["links"].size(), 64u);
  EXPECT_EQ(
      DumpJson(json["links"][2], -1),
      R"({"name":"node0.gpu0.nic-out","capacity_bytes_per_s":50000000000,"usable_bytes_per_s":48000000000})");
  EXPECT_EQ(json["link_kinds"][0]["count"], 16);
}

TEST(TopoViewTest, TextCountsLinksByKind) {
  EXPECT_EQ(TopoText(Gpus(16, 8)), R"(test: 16 GPUs (h800) in 2 nodes
  bisection  400 GB/s  from the first half of the GPUs to the second

  links       count  datasheet    usable
  nvlink-out     16   200 GB/s  160 GB/s
  nvlink-in      16   200 GB/s  160 GB/s
  nic-out        16    50 GB/s   48 GB/s
  nic-in         16    50 GB/s   48 GB/s
)");
  EXPECT_EQ(TopoText(Gpus(8, 8)).find("nic"), std::string::npos);  // one node has no network
}

TEST(TopoViewTest, ASmallClusterIsDrawnInFull) {
  const std::string dot = TopoDot(Gpus(6, 2));
  EXPECT_EQ(CountOf(dot, "subgraph"), 3u);
  EXPECT_EQ(CountOf(dot, "[label=\"GPU "), 6u);
  EXPECT_EQ(CountOf(dot, " -- switch"), 6u);
  EXPECT_EQ(CountOf(dot, " -- network"), 6u);
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '{'), std::count(dot.begin(), dot.end(), '}'));
}

// 255 nodes of 8 NICs of 50 GB/s: 102,000 GB/s.
TEST(TopoViewTest, OfALargeClusterOneNodeIsDrawnAndTheOthersAreABox) {
  const std::string dot = TopoDot(Gpus(2048, 8));
  EXPECT_EQ(CountOf(dot, "subgraph"), 1u);
  EXPECT_EQ(CountOf(dot, " -- switch"), 8u);
  EXPECT_NE(dot.find("255 more nodes\\nGPUs 8-2047"), std::string::npos);
  EXPECT_NE(dot.find("others -- network [label=\"102000 GB/s\"]"), std::string::npos) << dot;
}

TEST(TopoViewTest, BuiltInClustersHaveTheirGpus) {
  EXPECT_EQ(TopoJson(LoadCluster("h800-8"))["gpus"], 8);
  EXPECT_EQ(TopoJson(LoadCluster("h800-64"))["nodes"], 8);
  EXPECT_EQ(TopoJson(LoadCluster("h800-2048"))["bisection_bytes_per_s"], 1024 * 50e9);
}

}  // namespace
}  // namespace moecast
