#include "topology/graph.h"

#include <gtest/gtest.h>

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
  for (const Cluster& c : {Gpus(1, 8), Gpus(8, 8), Gpus(16, 8), Gpus(12, 4), Gpus(5, 1), Gpus(10, 4)}) {
    const Routes routes(c);
    for (int from = 0; from < c.gpus; ++from) {
      for (int to = 0; to < c.gpus; ++to) {
        const Path path = routes.Between(from, to);
        EXPECT_EQ(std::vector<LinkId>(path.span().begin(), path.span().end()), ShortestPath(c, from, to))
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

// Three nodes of 8: 12 GPUs on each side send and receive through 12 NICs, and the middle node is cut in
// half: 4 NVLinks.
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

}  // namespace
}  // namespace moecast
