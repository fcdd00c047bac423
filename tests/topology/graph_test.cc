#include "topology/graph.h"

#include <gtest/gtest.h>

#include "tests/topology/shortest_path.h"
#include "tests/topology/test_clusters.h"
#include "topology/routes.h"

namespace moecast {
namespace {

// NVLink 200 GB/s, NIC 50 GB/s, each direction.
Cluster Gpus(int gpus, int gpus_per_node) {
  Cluster c{.name = "test", .gpus = gpus, .gpus_per_node = gpus_per_node, .nic = GBps(50)};
  c.device.nvlink = GBps(200);
  return c;
}

TEST(GraphTest, RoutesAreTheShortestPathsOfABreadthFirstSearch) {
  for (const Cluster& c :
       {Gpus(1, 8), Gpus(8, 8), Gpus(16, 8), Gpus(12, 4), Gpus(5, 1), Gpus(10, 4)}) {
    const Routes routes(c);
    for (int from = 0; from < c.gpus; ++from) {
      for (int to = 0; to < c.gpus; ++to) {
        const Path path = routes.Between(from, to);
        EXPECT_EQ(std::vector<LinkId>(path.span().begin(), path.span().end()),
                  ShortestPath(c, from, to))
            << from << " to " << to << " of " << c.gpus << " by " << c.gpus_per_node;
      }
    }
  }
}

TEST(GraphTest, EveryLinkHasOneEdgeAndOneNodeHasNoNetwork) {
  std::vector<int> seen(16 * 4, 0);
  for (const GraphEdge& e : EdgesOf(Gpus(16, 8))) ++seen[static_cast<size_t>(e.link)];
  for (const int n : seen) EXPECT_EQ(n, 1);
  const Cluster one = Gpus(8, 8);
  EXPECT_EQ(EdgesOf(one).size(), 16u);
  for (const GraphEdge& e : EdgesOf(one)) EXPECT_FALSE(IsNetwork(one, e.link));
}

TEST(GraphTest, HalfTheGpusOfANodeSendAtTheirNvlinkRate) {
  EXPECT_EQ(Bisection(Gpus(8, 8)), GBps(4 * 200));
  EXPECT_EQ(Bisection(Gpus(2, 2)), GBps(200));
  EXPECT_EQ(Bisection(Gpus(3, 8)), GBps(200));  // one GPU against two
}

TEST(GraphTest, WholeNodesSendAtTheirNicRate) {
  EXPECT_EQ(Bisection(Gpus(16, 8)), GBps(8 * 50));
  EXPECT_EQ(Bisection(Gpus(32, 8)), GBps(16 * 50));
  EXPECT_EQ(Bisection(Gpus(2, 1)), GBps(50));
}

// Three nodes of 8: 12 GPUs on each side send and receive through 12 NICs, and the middle node is
// cut in half: 4 NVLinks.
TEST(GraphTest, ANodeCutInHalfAddsItsNvlinks) {
  EXPECT_EQ(Bisection(Gpus(24, 8)), GBps(12 * 50 + 4 * 200));
}

TEST(GraphTest, OneGpuHasNoBisection) {
  EXPECT_EQ(Bisection(Gpus(1, 8)).value, 0);
}

// 4,096 NICs of 50 GB/s: 2.048e14, in integers of bytes per second.
TEST(GraphTest, BisectionOfALargeClusterIsExact) {
  EXPECT_EQ(Bisection(Gpus(8192, 8)), GBps(4096 * 50.0));
}

// 16 NICs of 50 GB/s a half, and as many cables between the two units.
TEST(GraphTest, AFatTreeOneToOneHasTheBisectionOfItsNics) {
  for (const LoadBalancing balancing : {LoadBalancing::kAdaptive, LoadBalancing::kEcmp})
    EXPECT_EQ(Bisection(NodesOf8(4, SmallTree(balancing))), GBps(16 * 50));
}

TEST(GraphTest, TwoToOneHalvesTheBisectionBetweenUnitsAndNotWithinOne) {
  for (const LoadBalancing balancing : {LoadBalancing::kAdaptive, LoadBalancing::kEcmp}) {
    FabricSpec spec = SmallTree(balancing);
    spec.oversubscription = 2;
    EXPECT_EQ(Bisection(NodesOf8(4, spec)), GBps(8 * 50));
    EXPECT_EQ(Bisection(NodesOf8(2, spec)), GBps(8 * 50));  // one unit: through its leaves
  }
}

// Two pods of a unit of one node: 8 NICs a half; 2:1 above the spines leaves half of it.
TEST(GraphTest, ThePodsOversubscriptionCountsBetweenPods) {
  FabricSpec spec = {.kind = FabricKind::kFatTree,
                     .layers = 3,
                     .nodes_per_leaf = 2,
                     .units_per_pod = 1,
                     .switch_ports = 32};
  EXPECT_EQ(Bisection(NodesOf8(4, spec)), GBps(16 * 50));
  spec.pod_oversubscription = 2;
  EXPECT_EQ(Bisection(NodesOf8(4, spec)), GBps(8 * 50));
  spec.units_per_pod = 2;
  EXPECT_EQ(Bisection(NodesOf8(4, spec)), GBps(16 * 50));
}

TEST(GraphTest, PlanesTogetherHaveTheBisectionOfOneNetwork) {
  FabricSpec spec = SmallTree();
  spec.planes = 8;
  EXPECT_EQ(Bisection(NodesOf8(4, spec)), GBps(16 * 50));
}

// Of 16 cables or NICs of 50 GB/s that leave a half. A leaf has two NICs below it and two cables.
TEST(GraphTest, FailuresTakeTheirPartOfTheBisection) {
  struct Case {
    std::vector<std::string> failed;
    int left;
  };
  const Case cases[] = {
      {{"unit0.leaf3"}, 14},
      {{"unit0.leaf3.up"}, 14},
      {{"unit0.leaf3.up.spine0"}, 15},
      {{"unit1.leaf3.down.spine1"}, 15},
      {{"unit0.leaf3.down"}, 16},  // the other way
      {{"spine0"}, 8},
      {{"spine0", "unit0.leaf3.up.spine1"}, 7},
      {{"spine0", "spine1"}, 0},
      {{"node0.gpu5.nic-out"}, 15},
      {{"node3.gpu5.nic-in", "node0.gpu1.nic-out"}, 15},  // 15 go in
      {{"node0.nvswitch"}, 16},
  };
  for (const LoadBalancing balancing : {LoadBalancing::kAdaptive, LoadBalancing::kEcmp})
    for (const Case& c : cases)
      EXPECT_EQ(Bisection(Without(NodesOf8(4, SmallTree(balancing)), c.failed)),
                GBps(c.left * 50.0))
          << c.failed[0] << " " << NameOf(balancing);
}

// Three nodes; the middle one is cut in half, and its GPUs share NICs: the four of its first half
// have two of them.
TEST(GraphTest, SharedNicsCountOnce) {
  EXPECT_EQ(Bisection(NodesOf8(2, {}, 4)), GBps(4 * 50));
  EXPECT_EQ(Bisection(NodesOf8(3, {}, 4)), GBps(6 * 50 + 4 * 200));
  EXPECT_EQ(Bisection(NodesOf8(4, SmallTree(), 4)), GBps(8 * 50));
}

}  // namespace
}  // namespace moecast
