#include "viz/topo_view.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "scenarios/cluster_loader.h"
#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

// NVLink 200 GB/s of which 160 can be used, NIC 50 GB/s of which 48.
Cluster Gpus(int gpus, int gpus_per_node) {
  Cluster c{.name = "test",
            .gpus = gpus,
            .gpus_per_node = gpus_per_node,
            .nic = GBps(50),
            .nic_usable = GBps(48)};
  c.device.name = "h800";
  c.device.nvlink = GBps(200);
  c.device.nvlink_usable = GBps(160);
  return c;
}

Survey Healthy(const Cluster& c) {
  return SurveyOf(c, {});
}

size_t CountOf(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

TEST(TopoViewTest, JsonListsEveryLinkWithItsCapacity) {
  const Json json = TopoJson(Healthy(Gpus(16, 8)));
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
  EXPECT_EQ(TopoText(Healthy(Gpus(16, 8))), R"(test: 16 GPUs (h800) in 2 nodes
  bisection  400 GB/s  from the first half of the GPUs to the second

  links       count  datasheet    usable
  nvlink-out     16   200 GB/s  160 GB/s
  nvlink-in      16   200 GB/s  160 GB/s
  nic-out        16    50 GB/s   48 GB/s
  nic-in         16    50 GB/s   48 GB/s
)");
  EXPECT_EQ(TopoText(Healthy(Gpus(8, 8))).find("nic"),
            std::string::npos);  // one node has no network
}

TEST(TopoViewTest, ASmallClusterIsDrawnInFull) {
  const std::string dot = TopoDot(Healthy(Gpus(6, 2)));
  EXPECT_EQ(CountOf(dot, "subgraph"), 3u);
  EXPECT_EQ(CountOf(dot, "[label=\"GPU "), 6u);
  EXPECT_EQ(CountOf(dot, " -- gpu"), 6u);
  EXPECT_EQ(CountOf(dot, " -- network"), 6u);
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '{'), std::count(dot.begin(), dot.end(), '}'));
}

// 255 nodes of 8 NICs of 50 GB/s: 102,000 GB/s.
TEST(TopoViewTest, OfALargeClusterOneNodeIsDrawnAndTheOthersAreABox) {
  const std::string dot = TopoDot(Healthy(Gpus(2048, 8)));
  EXPECT_EQ(CountOf(dot, "subgraph"), 1u);
  EXPECT_EQ(CountOf(dot, " -- gpu"), 8u);
  EXPECT_NE(dot.find("255 more nodes\\nGPUs 8-2047"), std::string::npos);
  EXPECT_NE(dot.find("others -- network [label=\"102000 GB/s\"]"), std::string::npos) << dot;
}

TEST(TopoViewTest, BuiltInClustersHaveTheirGpus) {
  EXPECT_EQ(TopoJson(Healthy(LoadCluster("h800-8")))["gpus"], 8);
  EXPECT_EQ(TopoJson(Healthy(LoadCluster("h800-64")))["nodes"], 8);
  EXPECT_EQ(TopoJson(Healthy(LoadCluster("h800-2048")))["bisection_bytes_per_s"], 1024 * 50e9);
}

TEST(TopoViewTest, AFabricHasItsSwitchesAndFailuresWhatTheyLeave) {
  const std::vector<std::string> failed = {"spine0", "node0.gpu3.nic-out"};
  const Survey s = SurveyOf(NodesOf8(4, SmallTree(LoadBalancing::kAdaptive)), failed);
  EXPECT_EQ(TopoText(s), R"(test: 32 GPUs (test) in 4 nodes
  fabric     rail-optimised fat tree: 16 leaves, 2 spines, 32 cables, adaptive
  bisection  400 GB/s  from the first half of the GPUs to the second
  pairs      22.58% over NVLink, 75% over their NICs, 2.419% forwarded by a neighbour over NVLink
  without    spine0, node0.gpu3.nic-out: 33 links slower or gone, 0 GPUs cut off
  healthy    800 GB/s, 22.58% over NVLink, 77.42% over their NICs

  links       count  datasheet    usable
  nvlink-out     32   200 GB/s  160 GB/s
  nvlink-in      32   200 GB/s  160 GB/s
  nic-out        31    50 GB/s   40 GB/s
  nic-out         1     0 GB/s    0 GB/s
  nic-in         32    50 GB/s   40 GB/s
  leaf-up        16    50 GB/s   40 GB/s
  leaf-down      16    50 GB/s   40 GB/s
)");
  const Json json = TopoJson(s);
  EXPECT_EQ(json["fabric"]["spines"], 2);
  EXPECT_EQ(json["failed"], Json(failed));
  EXPECT_EQ(json["bisection_bytes_per_s"], 400e9);
  EXPECT_EQ(json["healthy_bisection_bytes_per_s"], 800e9);
  EXPECT_EQ(json["degraded_links"].size(), 33u);
  EXPECT_EQ(json["pairs"]["forwarded"], 24);
  EXPECT_EQ(json["pairs"]["unreachable"], 0);
}

TEST(TopoViewTest, AFatTreeIsDrawnWithItsSwitchesAndWhatFailedInRed) {
  const Survey healthy = Healthy(NodesOf8(4, SmallTree()));
  const std::string dot = TopoDot(healthy);
  EXPECT_EQ(CountOf(dot, "[label=\"unit"), 16u);
  EXPECT_EQ(CountOf(dot, "[label=\"spine"), 2u);
  EXPECT_EQ(CountOf(dot, " -- leaf"), 32u);
  EXPECT_EQ(CountOf(dot, " -- spine"), 32u);
  EXPECT_EQ(CountOf(dot, "color=red"), 0u);
  const std::vector<std::string> failed = {"spine0", "node0.gpu3.nic-in"};
  EXPECT_EQ(CountOf(TopoDot(SurveyOf(healthy.cluster, failed)), ", color=red"), 17u);
}

// Node 0's 8 leaves, their 31 other nodes at 31 x 50 GB/s each, and boxes for the other units and
// the spines.
TEST(TopoViewTest, OfALargeFatTreeOneUnitsLeavesAreDrawn) {
  const std::string two = TopoDot(Healthy(LoadCluster("h800-2048-fat-tree")));
  EXPECT_EQ(CountOf(two, "unit -- leaf"), 8u);
  EXPECT_EQ(CountOf(two, "unit -- leaf3 [label=\"1550 GB/s\"]"), 1u);
  EXPECT_EQ(CountOf(two, "leaf3 -- spines0 [label=\"1600 GB/s\"]"), 1u);
  EXPECT_EQ(CountOf(two, "56 more leaf switches"), 1u);
  EXPECT_EQ(CountOf(two, "leaves -- spines0 [label=\"89600 GB/s\"]"), 1u);
  const std::string three = TopoDot(Healthy(LoadCluster("h100-16384-fat-tree")));
  EXPECT_EQ(CountOf(three, "spines0 -- cores0 [label=\"51200 GB/s\"]"), 1u);
  EXPECT_EQ(CountOf(three, "far_spines -- cores0 [label=\"768000 GB/s\"]"), 1u);
}

}  // namespace
}  // namespace moecast
