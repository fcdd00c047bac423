#include "sim/network/even_all_to_all.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/network/collective_run.h"
#include "sim/network/fluid_network.h"
#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

std::vector<Time> Ends(const Cluster& c, const std::vector<Flow>& flows) {
  FluidNetwork network(LinkCapacities(c));
  const FlowEnds ends = RunFlows(network, flows);
  std::vector<Time> all;
  for (size_t f = 0; f < flows.size(); ++f)
    all.insert(all.end(), static_cast<size_t>(flows[f].multiplicity), ends.end[f]);
  std::ranges::sort(all);
  return all;
}

// Every pair ends when it does on its own, and every link carries the same.
void ExpectTheSamePairByPair(const Cluster& c, const std::vector<int>& group, const std::string& what) {
  const Routes routes(c);
  std::vector<Flow> pairs;
  int64_t unreachable = 0;
  for (const int from : group) {
    for (const int to : group) {
      const Path path = routes.Between(from, to);
      unreachable += !path.exists();
      if (path.size <= 0) continue;
      Flow& flow = pairs.emplace_back(Flow{.bytes = MB(1)});
      for (const LinkId link : path.span()) flow.links.push_back({link});
    }
  }
  const EvenAllToAll kinds = EvenAllToAllOf(group, MB(1), c, routes, {});
  EXPECT_EQ(kinds.unreachable, unreachable) << what;
  const auto links = static_cast<size_t>(NumberOfLinks(c));
  const std::vector<Bytes> bytes = BytesByLink(kinds.starts, links), expected = BytesByLink(pairs, links);
  for (size_t l = 0; l < links; ++l) EXPECT_NEAR(bytes[l].value, expected[l].value, 1) << what;
  const std::vector<Time> one_by_one = Ends(c, pairs), together = Ends(c, kinds.starts);
  ASSERT_EQ(one_by_one.size(), together.size()) << what;
  // A picosecond for each end before.
  for (size_t i = 0; i < together.size(); ++i)
    ASSERT_NEAR(together[i].seconds().value, one_by_one[i].seconds().value,
                1e-12 * (10.0 + static_cast<double>(i)))
        << what << ", pair " << i;
}

FabricSpec Adaptive(double oversubscription = 1) {
  FabricSpec spec = SmallTree(LoadBalancing::kAdaptive);
  spec.oversubscription = oversubscription;
  return spec;
}

TEST(EvenAllToAllTest, IsTheSamePairByPair) {
  FabricSpec planes = Adaptive();
  planes.planes = 8;
  FabricSpec three = Adaptive();
  three.layers = 3;
  three.units_per_pod = 1;
  three.switch_ports = 32;
  three.pod_oversubscription = 2;
  Cluster pools = NodesOf8(4, Adaptive());
  NodePool slow{
      .nodes = 1, .device = "slow", .nvlink = GBps(90), .nvlink_usable = GBps(80), .pcie_usable = GBps(55)};
  slow.nic = slow.nic_usable = GBps(20);
  NodePool fast = slow;
  fast.nodes = 3;
  fast.nvlink_usable = GBps(160);
  fast.nic_usable = GBps(40);
  pools.pools = {slow, fast};
  const std::pair<const char*, Cluster> clusters[] = {
      {"one switch", NodesOf8(4, {})},
      {"shared NICs", NodesOf8(4, {}, 4)},
      {"fat tree", NodesOf8(4, Adaptive())},
      {"2:1", NodesOf8(4, Adaptive(2))},
      {"planes", NodesOf8(4, planes)},
      {"three layers", NodesOf8(4, three)},
      {"pools", pools},
      {"a spine and a NIC gone", Without(NodesOf8(4, Adaptive()), {"spine0", "node1.gpu3.nic-in"})},
      {"a leaf gone", Without(NodesOf8(4, Adaptive(2)), {"unit0.leaf1"})},
      {"a switch inside a node gone", Without(NodesOf8(4, Adaptive()), {"node2.nvswitch"})},
  };
  for (const auto& [what, cluster] : clusters) {
    Random random(3);
    for (int round = 0; round < 4; ++round) {
      std::vector<int> group;
      for (int gpu = 0; gpu < cluster.gpus; ++gpu)
        if (round == 0 || random.Below(3) > 0) group.push_back(gpu);
      ExpectTheSamePairByPair(cluster, group, what + std::string(", group ") + std::to_string(round));
    }
  }
}

TEST(EvenAllToAllTest, IsTheSamePairByPairWhateverFails) {
  Random random(4);
  for (int round = 0; round < 12; ++round) {
    Cluster c = NodesOf8(4, Adaptive(round % 2 + 1), round % 3 == 0 ? 4 : 8);
    for (int cuts = 0; cuts < 3; ++cuts)
      c.cut.push_back(static_cast<LinkId>(random.Below(static_cast<uint64_t>(c.ports()))));
    std::ranges::sort(c.cut);
    std::vector<int> group;
    for (int gpu = 0; gpu < c.gpus; ++gpu)
      if (random.Below(4) > 0) group.push_back(gpu);
    ExpectTheSamePairByPair(c, group, "round " + std::to_string(round));
  }
}

// Nodes of a unit stand for each other, and units do: all pairs are of six kinds, by same or other node, unit
// and leaf.
TEST(EvenAllToAllTest, ManyPairsAreFewStarts) {
  FabricSpec spec = Adaptive();
  spec.nodes_per_leaf = 8;
  spec.switch_ports = 64;
  const Cluster c = NodesOf8(64, spec);
  std::vector<int> all(static_cast<size_t>(c.gpus));
  for (int gpu = 0; gpu < c.gpus; ++gpu) all[static_cast<size_t>(gpu)] = gpu;
  const EvenAllToAll kinds = EvenAllToAllOf(all, MB(1), c, Routes(c), {});
  EXPECT_LE(kinds.starts.size(), 6u);
  int64_t pairs = 0;
  for (const Flow& f : kinds.starts) pairs += f.multiplicity;
  EXPECT_EQ(pairs, 512 * 511);
}

}  // namespace
}  // namespace moecast
