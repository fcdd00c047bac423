#include "topology/cluster.h"

#include <gtest/gtest.h>

#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

Cluster Mixed() {
  Cluster spec{.name = "mixed", .gpus = 32, .nic = GBps(50), .nic_usable = GBps(40)};
  spec.pools = {{.device_name = "fast", .nodes = 1, .nic = GBps(100), .nic_usable = GBps(90)},
                {.device_name = "slow",
                 .nodes = 3,
                 .nic = GBps(25),
                 .nic_usable = GBps(24),
                 .nvlink_usable = GBps(100)}};
  return spec;
}
std::vector<Device> FastAndSlow() {
  Device fast = TestDevice(), slow = TestDevice();
  fast.nvlink = GBps(450);
  fast.nvlink_usable = GBps(360);
  fast.pcie_usable = GBps(200);
  fast.hbm = GBps(3000);
  slow.hbm = GBps(2000);
  return {fast, slow};
}

TEST(ClusterTest, LinksOfAPoolHaveItsRates) {
  Device device = TestDevice();
  device.hbm = GBps(2500);
  const Cluster c = BuildCluster(Mixed(), device, FastAndSlow());
  EXPECT_EQ(CapacityOf(c, LinkOf(7, Port::kNvlinkOut)), GBps(360));
  EXPECT_EQ(CapacityOf(c, LinkOf(8, Port::kNvlinkOut)), GBps(100));
  EXPECT_EQ(CapacityOf(c, LinkOf(7, Port::kNicIn)), GBps(90));
  EXPECT_EQ(CapacityOf(c, LinkOf(31, Port::kNicIn)), GBps(24));
  EXPECT_EQ(DatasheetRate(c, LinkOf(0, Port::kNvlinkIn)), GBps(450));
  EXPECT_EQ(DatasheetRate(c, LinkOf(31, Port::kNicOut)), GBps(25));
  // What sends and tokens find: the fast pool's PCIe carries 200, the slow one's 55.
  EXPECT_EQ(PortRate(c, 7, Port::kNicOut), GBps(90));
  EXPECT_EQ(PortRate(c, 8, Port::kNvlinkIn), GBps(100));
  EXPECT_EQ(SlowestPortRate(c, Port::kNicOut), GBps(24));
  EXPECT_EQ(SlowestPortRate(c, Port::kNvlinkOut), GBps(100));
  // What a kernel of the slowest rank has.
  EXPECT_EQ(c.device.name, "test");
  EXPECT_EQ(c.device.hbm, GBps(2000));
  EXPECT_EQ(c.device.nvlink_usable, GBps(100));
}

// What a pool leaves out it has of the cluster.
TEST(ClusterTest, APoolWithoutNicsHasTheClusters) {
  Cluster named = Mixed();
  named.pools[1].nic = named.pools[1].nic_usable = std::nullopt;
  const Cluster c = BuildCluster(named, TestDevice(), FastAndSlow());
  EXPECT_EQ(CapacityOf(c, LinkOf(31, Port::kNicIn)), GBps(40));
  EXPECT_EQ(DatasheetRate(c, LinkOf(31, Port::kNicIn)), GBps(50));
}

// A GPU's PCIe lanes bind where they are slower than its NIC; those of the built-in devices are
// not.
TEST(ClusterTest, PcieBindsBelowTheNic) {
  Cluster c = NodesOf8(2, {});
  EXPECT_EQ(CapacityOf(c, LinkOf(0, Port::kNicOut)), GBps(40));
  c.device.pcie_usable = GBps(25);
  EXPECT_EQ(CapacityOf(c, LinkOf(0, Port::kNicOut)), GBps(25));
}

// A protocol leaves 40 of 50 GB/s of a NIC, and as much of a cable.
TEST(ClusterTest, SwitchLinksHaveTheirCables) {
  Cluster c = NodesOf8(4, SmallTree(LoadBalancing::kAdaptive));
  EXPECT_EQ(NumberOfLinks(c), 128 + 32);
  EXPECT_EQ(DatasheetRate(c, 128), GBps(100));
  EXPECT_EQ(CapacityOf(c, 128), GBps(80));
  FabricSpec fast = SmallTree();
  fast.cable = GBps(100);
  c = NodesOf8(4, fast);
  EXPECT_EQ(NumberOfLinks(c), 128 + 32);  // half the cables, each a link
  EXPECT_EQ(CapacityOf(c, 128), GBps(80));
}

TEST(ClusterTest, ResizingGrowsTheFabricAndTheLastPool) {
  const Cluster c = NodesOf8(4, SmallTree());
  EXPECT_EQ(Resized(c, 48), NodesOf8(6, SmallTree()));
  EXPECT_EQ(Resized(c, 32), c);
  EXPECT_FALSE(Resized(c, 8 * 100));  // more leaves than the ports of a spine
  const Cluster mixed = BuildCluster(Mixed(), TestDevice(), FastAndSlow());
  EXPECT_EQ(Resized(mixed, 48)->pools.back().nodes, 5);
  EXPECT_FALSE(Resized(mixed, 8));
}

TEST(ClusterTest, WhatCannotBeIsNamed) {
  struct Case {
    const char* what;
    void (*change)(Cluster&);
    const char *pointer, *expected;
  };
  const Case cases[] = {
      {"NICs that do not divide", [](Cluster& s) { s.nics_per_node = 3; }, "/nics_per_node",
       "a divisor of the 8 GPUs"},
      {"more NICs than GPUs", [](Cluster& s) { s.nics_per_node = 16; }, "/nics_per_node",
       "a divisor of the 8 GPUs"},
      {"a card beyond itself", [](Cluster& s) { s.nic_usable = GBps(51); }, "/nic_usable",
       "at most the card's rate"},
      {"NVLink beyond itself", [](Cluster& s) { s.nvlink_usable = GBps(201); }, "/nvlink_usable",
       "at most the device's NVLink"},
      {"a pool's card", [](Cluster& s) { s.pools[1].nic_usable = GBps(26); }, "/pools/1/nic_usable",
       "at most the card's rate"},
      {"a pool's NVLink", [](Cluster& s) { s.pools[1].nvlink_usable = GBps(201); },
       "/pools/1/nvlink_usable", "at most the device's NVLink"},
      {"pools of another size", [](Cluster& s) { s.gpus = 40; }, "/gpus",
       "32, as many as the pools' 4 nodes have"},
      {"half a node under a tree",
       [](Cluster& s) {
         s.pools.clear();
         s.gpus = 36;
         s.fabric = SmallTree();
       },
       "/gpus", "whole nodes of 8"},
      {"planes that do not divide",
       [](Cluster& s) {
         s.fabric = SmallTree();
         s.fabric.planes = 3;
       },
       "/fabric/planes", "a divisor of the node's 8 NICs"},
  };
  EXPECT_FALSE(CheckCluster(Mixed(), TestDevice(), FastAndSlow()));
  for (const Case& c : cases) {
    Cluster spec = Mixed();
    c.change(spec);
    const auto devices = FastAndSlow();
    const auto fault =
        CheckCluster(spec, TestDevice(), std::span(devices).first(spec.pools.size()));
    ASSERT_TRUE(fault) << c.what;
    EXPECT_EQ(fault->pointer, c.pointer) << c.what;
    EXPECT_NE(fault->expected.find(c.expected), std::string::npos)
        << c.what << ": " << fault->expected;
  }
}

}  // namespace
}  // namespace moecast
