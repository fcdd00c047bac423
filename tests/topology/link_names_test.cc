#include "topology/link_names.h"

#include <gtest/gtest.h>

#include "tests/message_of.h"
#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

TEST(LinkNamesTest, EveryLinkIsFoundByItsName) {
  FabricSpec three = {.kind = FabricKind::kFatTree,
                      .layers = 3,
                      .planes = 2,
                      .nodes_per_leaf = 1,
                      .units_per_pod = 2,
                      .switch_ports = 32};
  for (const Cluster& c :
       {NodesOf8(2, {}), NodesOf8(2, {}, 2), NodesOf8(4, SmallTree()), NodesOf8(4, three)}) {
    int links = 0;
    for (LinkId link = 0; link < NumberOfLinks(c); ++link) {
      if (!Exists(c, link)) continue;
      ++links;
      EXPECT_EQ(LinkByName(c, LinkName(c, link)), link);
    }
    const int ports = c.nodes() * (8 + c.nics()) * 2;
    EXPECT_EQ(links,
              ports + (c.switches.value ? static_cast<int>(c.switches.value->links().size()) : 0));
  }
}

TEST(LinkNamesTest, SwitchLinksAreNamedFromBelow) {
  const Cluster ecmp = NodesOf8(4, SmallTree()),
                adaptive = NodesOf8(4, SmallTree(LoadBalancing::kAdaptive));
  EXPECT_EQ(LinkName(ecmp, ecmp.ports()), "unit0.leaf0.up.spine0");
  EXPECT_EQ(LinkName(ecmp, ecmp.ports() + 3), "unit0.leaf0.down.spine1");
  EXPECT_EQ(LinkName(adaptive, adaptive.ports() + 2), "unit0.leaf1.up");
  EXPECT_EQ(LinkKindName(ecmp, ecmp.ports() + 3), "leaf-down");
  EXPECT_EQ(LinkKindName(ecmp, 2), "nic-out");
}

TEST(LinkNamesTest, UnknownNamesHaveTheNearest) {
  const Cluster c = NodesOf8(4, SmallTree());
  EXPECT_EQ(MessageOf([&] { LinkByName(c, "unit0.leaf3.up.spin1"); }),
            "--fail: found \"unit0.leaf3.up.spin1\", expected a link of test (did you mean "
            "\"unit0.leaf3.up.spine1\"?)");
  EXPECT_EQ(
      MessageOf([&] { Without(c, {"spine2"}); }),
      "--fail: found \"spine2\", expected a link or a switch of test (did you mean \"spine0\"?)");
  // A NIC's port has the name of the first GPU that it serves.
  EXPECT_NE(
      MessageOf([&] { LinkByName(NodesOf8(2, {}, 4), "node0.gpu3.nic-out"); }).find("did you mean"),
      std::string::npos);
}

TEST(LinkNamesTest, WhatFailsHasLessCapacityAndNothingElseHas) {
  const Cluster c = NodesOf8(4, SmallTree(LoadBalancing::kAdaptive));
  const auto changed = [&](std::initializer_list<std::string> failed) {
    const Cluster d = Without(c, failed);
    std::vector<std::string> names;
    for (LinkId link = 0; link < NumberOfLinks(c); ++link) {
      const double left = CapacityOf(d, link) / CapacityOf(c, link);
      EXPECT_EQ(left, DatasheetRate(d, link) / DatasheetRate(c, link));
      if (left < 1) names.push_back(LinkName(c, link) + (left > 0 ? " half" : ""));
    }
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(changed({"node1.gpu2.nvlink-in"}), (Names{"node1.gpu2.nvlink-in"}));
  EXPECT_EQ(changed({"unit0.leaf3.up"}), (Names{"unit0.leaf3.up"}));
  EXPECT_EQ(changed({"unit0.leaf3.up.spine1"}), (Names{"unit0.leaf3.up half"}));
  EXPECT_EQ(changed({"unit0.leaf3.up.spine1", "unit0.leaf3.up.spine0"}), (Names{"unit0.leaf3.up"}));
  EXPECT_EQ(changed({"unit0.leaf3"}),
            (Names{"node0.gpu3.nic-out", "node0.gpu3.nic-in", "node1.gpu3.nic-out",
                   "node1.gpu3.nic-in", "unit0.leaf3.up", "unit0.leaf3.down"}));
  EXPECT_EQ(changed({"spine1"}).size(), 32u);
  EXPECT_EQ(changed({"node3.nvswitch"}).size(), 16u);
}

TEST(LinkNamesTest, FailuresAddUpInAnyOrder) {
  const Cluster c = NodesOf8(4, SmallTree());
  const Cluster at_once = Without(c, {"spine0", "node0.gpu0.nic-in", "unit1.leaf2.up.spine1"});
  EXPECT_EQ(
      Without(Without(Without(c, {"unit1.leaf2.up.spine1"}), {"spine0"}), {"node0.gpu0.nic-in"}),
      at_once);
  EXPECT_NE(at_once, c);
  EXPECT_EQ(Without(c, {}), c);
}

}  // namespace
}  // namespace moecast
