#include "topology/routes.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "tests/topology/shortest_path.h"
#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

std::vector<std::string> Named(const Cluster& c, const Path& path) {
  std::vector<std::string> names;
  for (const LinkId link : path.span()) names.push_back(LinkName(c, link));
  return names;
}
using Names = std::vector<std::string>;

// Follows paths through the graph.
class Walker {
 public:
  explicit Walker(const Cluster& c) : c_(c), edges_(static_cast<size_t>(NumberOfLinks(c))) {
    for (const GraphEdge& e : EdgesOf(c)) edges_[static_cast<size_t>(e.link)].push_back(e);
  }
  // That each link works, is taken once and leaves the vertex where the one before ends, from one
  // GPU to the other.
  void ExpectConnected(int from, int to, const Path& path) const {
    std::set<int> at = {from};
    std::set<LinkId> taken;
    for (const LinkId link : path.span()) {
      ASSERT_GT(CapacityOf(c_, link).value, 0) << LinkName(c_, link);
      ASSERT_TRUE(taken.insert(link).second) << LinkName(c_, link);
      std::set<int> next;
      for (const GraphEdge& e : edges_[static_cast<size_t>(link)])
        if (at.contains(e.from)) next.insert(e.to);
      ASSERT_FALSE(next.empty()) << "cannot take " << LinkName(c_, link) << " from there";
      at = next;
    }
    EXPECT_TRUE(at.contains(to));
  }

 private:
  const Cluster& c_;
  std::vector<std::vector<GraphEdge>> edges_;
};

TEST(RoutesTest, PathsOfAHealthyTreeAreShortest) {
  FabricSpec three = {.kind = FabricKind::kFatTree,
                      .layers = 3,
                      .nodes_per_leaf = 1,
                      .units_per_pod = 2,
                      .switch_ports = 32};
  FabricSpec flat = SmallTree();
  flat.rail_optimised = false;
  flat.switch_ports = 32;
  FabricSpec ecmp_three = three;
  ecmp_three.load_balancing = LoadBalancing::kEcmp;
  for (const FabricSpec& spec :
       {SmallTree(), SmallTree(LoadBalancing::kAdaptive), three, ecmp_three, flat}) {
    const Cluster c = NodesOf8(4, spec);
    const Routes routes(c);
    const Walker walker(c);
    for (int from = 0; from < c.gpus; from += 7) {
      for (int to = 0; to < c.gpus; ++to) {
        const Path path = routes.Between(from, to);
        EXPECT_EQ(path.span().size(), ShortestPath(c, from, to).size()) << from << " to " << to;
        walker.ExpectConnected(from, to, path);
      }
    }
  }
}

TEST(RoutesTest, ARailIsOneLeafAwayAndAnotherUnitASpineMore) {
  const Cluster c = NodesOf8(4, SmallTree(LoadBalancing::kAdaptive));
  const Routes routes(c);
  EXPECT_EQ(Named(c, routes.Between(3, 11)), (Names{"node0.gpu3.nic-out", "node1.gpu3.nic-in"}));
  EXPECT_EQ(Named(c, routes.Between(3, 12)), (Names{"node0.gpu3.nic-out", "unit0.leaf3.up",
                                                    "unit0.leaf4.down", "node1.gpu4.nic-in"}));
  EXPECT_EQ(Named(c, routes.Between(3, 27)), (Names{"node0.gpu3.nic-out", "unit0.leaf3.up",
                                                    "unit1.leaf3.down", "node3.gpu3.nic-in"}));
}

// A label names a flow: the same label, the same way; over many, both spines alike.
TEST(RoutesTest, HashingSpreadsFlowsOverEqualWays) {
  const Cluster c = NodesOf8(4, SmallTree());
  const Routes routes(c);
  std::map<LinkId, int> uses;
  for (uint32_t label = 0; label < 1000; ++label) {
    const Path path = routes.Between(3, 27, label);
    EXPECT_EQ(Named(c, path), Named(c, Routes(c).Between(3, 27, label)));
    ASSERT_EQ(path.size, 4);
    ++uses[path.links[1]];
  }
  ASSERT_EQ(uses.size(), 2u);
  for (const auto& [link, n] : uses)
    EXPECT_NEAR(n, 500, 80) << LinkName(c, link);  // five deviations
}

TEST(RoutesTest, PlanesAreCrossedOverNvlinkInTheSendersNode) {
  FabricSpec spec = SmallTree(LoadBalancing::kAdaptive);
  spec.planes = 8;
  const Cluster c = NodesOf8(4, spec);
  const Routes routes(c);
  EXPECT_EQ(Named(c, routes.Between(0, 8)), (Names{"node0.gpu0.nic-out", "node1.gpu0.nic-in"}));
  EXPECT_EQ(Named(c, routes.Between(0, 13)), (Names{"node0.gpu0.nvlink-out", "node0.gpu5.nvlink-in",
                                                    "node0.gpu5.nic-out", "node1.gpu5.nic-in"}));
}

TEST(RoutesTest, WithoutItsNicAGpuSendsByANeighbourOfTheReceiversRail) {
  const Cluster c =
      Without(NodesOf8(4, SmallTree(LoadBalancing::kAdaptive)), {"node0.gpu3.nic-out"});
  EXPECT_EQ(Named(c, Routes(c).Between(3, 14)),
            (Names{"node0.gpu3.nvlink-out", "node0.gpu6.nvlink-in", "node0.gpu6.nic-out",
                   "node1.gpu6.nic-in"}));
  // And receives by its own.
  EXPECT_EQ(Routes(c).Between(14, 3).size, 4);
  EXPECT_EQ(Named(c, Routes(c).Between(11, 3)), (Names{"node1.gpu3.nic-out", "node0.gpu3.nic-in"}));
}

TEST(RoutesTest, WithoutItsNicAGpuReceivesByANeighbourOfTheSendersRail) {
  const Cluster c = Without(NodesOf8(2, {}), {"node1.gpu3.nic-in"});
  EXPECT_EQ(Named(c, Routes(c).Between(5, 11)),
            (Names{"node0.gpu5.nic-out", "node1.gpu5.nic-in", "node1.gpu5.nvlink-out",
                   "node1.gpu3.nvlink-in"}));
}

TEST(RoutesTest, WithoutNvlinkNeighboursTalkThroughTheirNics) {
  const Cluster c = Without(NodesOf8(2, {}), {"node0.nvswitch"});
  EXPECT_EQ(Named(c, Routes(c).Between(1, 2)), (Names{"node0.gpu1.nic-out", "node0.gpu2.nic-in"}));
  EXPECT_EQ(Named(c, Routes(c).Between(9, 10)),
            (Names{"node1.gpu1.nvlink-out", "node1.gpu2.nvlink-in"}));
}

TEST(RoutesTest, AGpuWithoutPortsIsUnreachable) {
  const Cluster c = Without(NodesOf8(2, {}), {"node0.gpu1.nic-out", "node0.gpu1.nvlink-out"});
  const Routes routes(c);
  EXPECT_FALSE(routes.Between(1, 2).exists());
  EXPECT_FALSE(routes.Between(1, 12).exists());
  EXPECT_TRUE(routes.Between(2, 1).exists());
  EXPECT_TRUE(routes.Between(1, 1).exists());
  EXPECT_EQ(routes.Between(1, 1).size, 0);
}

TEST(RoutesTest, ALostSpineIsPassedBy) {
  const Cluster c = Without(NodesOf8(4, SmallTree()), {"spine0"});
  const Routes routes(c);
  for (uint32_t label = 0; label < 20; ++label)
    EXPECT_EQ(Named(c, routes.Between(0, 31, label)),
              (Names{"node0.gpu0.nic-out", "unit0.leaf0.up.spine1", "unit1.leaf7.down.spine1",
                     "node3.gpu7.nic-in"}));
}

// Two GPUs a NIC: the first of them names it.
TEST(RoutesTest, NeighboursShareANic) {
  const Cluster c = NodesOf8(2, {}, 4);
  const Routes routes(c);
  EXPECT_EQ(Named(c, routes.Between(3, 13)), (Names{"node0.gpu2.nic-out", "node1.gpu4.nic-in"}));
  EXPECT_EQ(Named(c, routes.Between(2, 12)), Named(c, routes.Between(3, 13)));
  EXPECT_TRUE(Exists(c, LinkOf(2, Port::kNicOut)));
  EXPECT_FALSE(Exists(c, LinkOf(3, Port::kNicOut)));
}

// The order of preference, said another way: what the first and the last link of a path are follows
// from the ports that work and from who is connected by the fabric.
TEST(RoutesTest, PathsLeadAroundRandomFailuresInOrderOfPreference) {
  Random random(11);
  std::map<std::string, int> seen;
  for (int round = 0; round < 30; ++round) {
    FabricSpec spec = SmallTree(round % 2 ? LoadBalancing::kEcmp : LoadBalancing::kAdaptive);
    spec.planes = round % 3 == 0 ? 2 : 1;
    const Cluster healthy = NodesOf8(4, spec);
    std::vector<std::string> failed;
    for (LinkId link = 0; link < NumberOfLinks(healthy); ++link)
      if (random.Uniform() < 0.02 * (round % 10)) failed.push_back(LinkName(healthy, link));
    const Cluster c = Without(healthy, failed);
    const Routes routes(c);
    const Walker walker(c);
    const Fabric& fabric = *c.switches.value;
    const auto works = [&](int gpu, Port port) {
      return CapacityOf(c, LinkOf(gpu, port)).value > 0;
    };
    const auto nvlink = [&](int a, int b) {
      return works(a, Port::kNvlinkOut) && works(b, Port::kNvlinkIn);
    };
    const auto nics = [&](int a, int b) {
      const int from = fabric.tree().LeafOf(c.NodeOf(a), c.NicOf(a)),
                to = fabric.tree().LeafOf(c.NodeOf(b), c.NicOf(b));
      return works(a, Port::kNicOut) && works(b, Port::kNicIn) &&
             (from == to || !fabric.NextHops(from, to).empty());
    };
    for (int from = 0; from < c.gpus; from += 5) {
      for (int to = 0; to < c.gpus; ++to) {
        if (from == to) continue;
        bool by_sender = false, by_receiver = false, by_both = false;
        for (int i = 0; i < 8; ++i) {
          const int a = from / 8 * 8 + i, b = to / 8 * 8 + i;
          by_sender |= a != from && nvlink(from, a) && nics(a, to);
          by_receiver |= b != to && nics(from, b) && nvlink(b, to);
          for (int j = 0; j < 8; ++j) {
            const int mate = to / 8 * 8 + j;
            by_both |= a != from && mate != to && a != mate && nvlink(from, a) && nics(a, mate) &&
                       nvlink(mate, to);
          }
        }
        const std::string expected = from / 8 == to / 8 && nvlink(from, to) ? "NVLink"
                                     : nics(from, to)                       ? "NICs"
                                     : by_sender                            ? "sender"
                                     : by_receiver                          ? "receiver"
                                     : by_both                              ? "both"
                                                                            : "none";
        ++seen[expected];
        const Path path = routes.Between(from, to, 3);
        if (!path.exists()) {
          EXPECT_EQ(expected, "none") << from << " to " << to << ", round " << round;
          continue;
        }
        walker.ExpectConnected(from, to, path);
        const bool first = !IsNetwork(c, path.links[0]), last = !IsNetwork(c, path.span().back());
        const std::string found = path.size == 2 && first ? "NVLink"
                                  : first && last         ? "both"
                                  : first                 ? "sender"
                                  : last                  ? "receiver"
                                                          : "NICs";
        EXPECT_EQ(found, expected) << from << " to " << to << ", round " << round;
      }
    }
  }
  EXPECT_EQ(seen.size(), 6u);  // every kind has been met
}

}  // namespace
}  // namespace moecast
