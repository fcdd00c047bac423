#include "sim/network/grouping.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "costmodel/collectives/collectives.h"
#include "sim/network/collective_run.h"
#include "sim/network/fluid_network.h"
#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

std::vector<int> AllOf(const Cluster& c) {
  std::vector<int> all(static_cast<size_t>(c.gpus));
  for (int gpu = 0; gpu < c.gpus; ++gpu) all[static_cast<size_t>(gpu)] = gpu;
  return all;
}

std::vector<int> SomeOf(const Cluster& c, Random& random) {
  std::vector<int> group;
  while (group.size() < 2) {
    group.clear();
    for (int gpu = 0; gpu < c.gpus; ++gpu)
      if (random.Below(3) > 0) group.push_back(gpu);
  }
  return group;
}

// Of a direct all-to-all.
EvenBytes Alike(Bytes bytes) {
  return {.inside = bytes, .rail = bytes, .across = bytes};
}
// As of two hops, at once or one of them, or of anything else.
EvenBytes AnyBytes(Random& random) {
  EvenBytes any;
  while (any.inside.value + any.rail.value + any.across.value <= 0)
    for (Bytes* bytes : {&any.inside, &any.rail, &any.across})
      *bytes = MB(static_cast<double>(random.Below(3)));
  return any;
}

// An all-to-all of even pairs, and the same pair by pair.
FlowChain Even(const std::vector<int>& group, const EvenBytes& bytes, const Cluster& c,
               const Routes& routes) {
  FlowChain chain{.stages = {{}}};
  chain.even.push_back(
      {.stage = 0, .start = {}, .pairs = EvenPairs(group, bytes, c, routes), .costs = {}});
  chain.endless = chain.even[0].pairs.unreachable() > 0;
  return chain;
}
FlowChain PairByPair(const std::vector<int>& group, const EvenBytes& bytes, const Routes& routes) {
  FlowChain chain{.stages = {{}}};
  std::vector<int> index(group.size());
  for (size_t i = 1; i < group.size(); ++i)
    if (routes.SameNode(group[i - 1], group[i])) index[i] = index[i - 1] + 1;
  for (size_t i = 0; i < group.size(); ++i)
    for (size_t j = 0; j < group.size(); ++j) {
      const Path path = routes.Between(group[i], group[j]);
      const Bytes of_pair = routes.SameNode(group[i], group[j]) ? bytes.inside
                            : index[i] == index[j]              ? bytes.rail
                                                                : bytes.across;
      if (of_pair.value <= 0) continue;
      chain.endless = chain.endless || !path.exists();
      if (path.size <= 0) continue;
      Flow& flow = chain.stages[0].emplace_back(Flow{.bytes = of_pair});
      for (const LinkId link : path.span()) flow.links.push_back({link});
    }
  return chain;
}

ChainEnds RunOn(const std::vector<FlowChain>& chains, const std::vector<BytesPerSecond>& capacity,
                const std::vector<CapacityChange>& changes = {}) {
  FluidNetwork network(capacity);
  return RunChains(network, capacity.size(), chains, changes);
}

// Collectives end when they do flow by flow, and every link has carried the same.
void ExpectTheSameFlowByFlow(const Cluster& c, const std::vector<FlowChain>& grouped,
                             const std::vector<FlowChain>& flow_by_flow,
                             const std::vector<CapacityChange>& changes, const std::string& what) {
  const std::vector<BytesPerSecond> capacity = LinkCapacities(c);
  const GroupedFlows groups = GroupFlows(grouped, capacity, changes, c);
  const ChainEnds together = RunOn(groups.chains, groups.capacity, groups.changes),
                  one_by_one = RunOn(flow_by_flow, capacity, changes);
  size_t flows = 0;
  for (const FlowChain& chain : flow_by_flow)
    for (const auto& stage : chain.stages) flows += stage.size();
  for (size_t j = 0; j < grouped.size(); ++j) {
    ASSERT_EQ(together.end[j] == kNever, one_by_one.end[j] == kNever)
        << what << ", collective " << j;
    if (together.end[j] == kNever) continue;
    // A picosecond for each end before.
    EXPECT_NEAR(static_cast<double>(together.end[j].ps), static_cast<double>(one_by_one.end[j].ps),
                10.0 + static_cast<double>(flows))
        << what << ", collective " << j;
  }
  std::vector<LinkId> blocked;
  for (size_t l = 0; l < capacity.size(); ++l) {
    const int32_t color = groups.color_of[l];
    const double carried = color < 0 ? 0 : together.carried[static_cast<size_t>(color)].value;
    EXPECT_NEAR(carried, one_by_one.carried[l].value, 1e-9 * carried + 1) << what << ", link " << l;
    if (std::ranges::count(together.blocked, color) > 0) blocked.push_back(static_cast<LinkId>(l));
  }
  EXPECT_EQ(blocked, one_by_one.blocked) << what;
}

FabricSpec Adaptive(double oversubscription = 1) {
  FabricSpec spec = SmallTree(LoadBalancing::kAdaptive);
  spec.oversubscription = oversubscription;
  return spec;
}

std::vector<std::pair<std::string, Cluster>> Clusters() {
  FabricSpec planes = Adaptive();
  planes.planes = 8;
  FabricSpec three = Adaptive();
  three.layers = 3;
  three.units_per_pod = 1;
  three.switch_ports = 32;
  three.pod_oversubscription = 2;
  Cluster pools = NodesOf8(4, Adaptive());
  NodePool slow{.nodes = 1, .device = TestDevice()};
  slow.device.nvlink_usable = GBps(80);
  slow.nic = slow.nic_usable = GBps(20);
  NodePool fast = slow;
  fast.nodes = 3;
  fast.device.nvlink_usable = GBps(160);
  fast.nic_usable = GBps(40);
  pools.pools = {slow, fast};
  Cluster short_node{.name = "test", .gpus = 13, .gpus_per_node = 4};
  short_node.device = TestDevice();
  return {
      {"one switch", NodesOf8(4, {})},
      {"a last node short of GPUs", short_node},
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
}

TEST(GroupFlowsTest, AnEvenAllToAllIsTheSamePairByPair) {
  Random random(3);
  for (const auto& [what, c] : Clusters()) {
    const Routes routes(c);
    for (int round = 0; round < 4; ++round) {
      const std::vector<int> group = round == 0 ? AllOf(c) : SomeOf(c, random);
      const EvenBytes bytes = round % 2 == 0 ? Alike(MB(1)) : AnyBytes(random);
      ExpectTheSameFlowByFlow(c, {Even(group, bytes, c, routes)},
                              {PairByPair(group, bytes, routes)}, {},
                              what + ", group " + std::to_string(round));
    }
  }
}

TEST(GroupFlowsTest, AnEvenAllToAllIsTheSamePairByPairWhateverFails) {
  Random random(4);
  for (int round = 0; round < 12; ++round) {
    Cluster c = NodesOf8(4, Adaptive(round % 2 + 1), round % 3 == 0 ? 4 : 8);
    for (int cuts = 0; cuts < 3; ++cuts)
      c.cut.push_back(static_cast<LinkId>(random.Below(static_cast<uint64_t>(c.ports()))));
    std::ranges::sort(c.cut);
    const Routes routes(c);
    const std::vector<int> group = SomeOf(c, random);
    const EvenBytes bytes = AnyBytes(random);
    ExpectTheSameFlowByFlow(c, {Even(group, bytes, c, routes)}, {PairByPair(group, bytes, routes)},
                            {}, "round " + std::to_string(round));
  }
}

// All-to-alls, rings, trees, a broadcast and sends of random groups at random times, while links
// degrade and fail.
TEST(GroupFlowsTest, WhateverRunsAtOnceIsTheSameFlowByFlow) {
  Random random(5);
  std::vector<std::pair<std::string, Cluster>> clusters = Clusters();
  clusters.emplace_back("ecmp", NodesOf8(4, SmallTree()));
  for (const auto& named : clusters) {
    const auto& what = named.first;
    const auto& c = named.second;
    const Routes routes(c);
    for (int round = 0; round < 4; ++round) {
      std::vector<FlowChain> grouped, flow_by_flow;
      const auto add = [&](const Parts& parts) {
        const Time start =
            random.Below(2) == 0 ? Time{} : Time::From(Seconds(1e-4 * random.Uniform()));
        grouped.push_back(ChainOf(parts, c, Level::kFluid, start));
        flow_by_flow.push_back(grouped.back());
      };
      const auto group = [&] { return random.Below(2) == 0 ? AllOf(c) : SomeOf(c, random); };
      for (uint64_t even = 1 + random.Below(2); even > 0; --even) {
        const std::vector<int> gpus = group();
        const EvenBytes bytes = AnyBytes(random);
        flow_by_flow.push_back(PairByPair(gpus, bytes, routes));
        grouped.push_back(WaysFollowFromPlaces(c) ? Even(gpus, bytes, c, routes)
                                                  : flow_by_flow.back());
      }
      add({RingAllReduce(group(), MB(30), routes)});
      add({TreeAllReduce(group(), MB(1), routes)});
      if (random.Below(2) == 0) add({RingBroadcast(group(), MB(20), routes)});
      if (random.Below(2) == 0) {
        const std::vector<int> gpus = group();
        add(WrittenOut(gpus,
                       StoreAndForwardAllToAll(gpus, MB(10), {.devices = 4, .nodes = 2}, routes),
                       routes));
      }
      if (c.gpus == 32) add({Send(std::vector{0, 1, 2}, std::vector{8, 9, 26}, MB(5), routes)});
      std::vector<CapacityChange> changes;
      for (uint64_t i = random.Below(3); i > 0; --i)
        changes.push_back(
            {Time::From(Seconds(1e-3 * random.Uniform())),
             static_cast<LinkId>(random.Below(static_cast<uint64_t>(NumberOfLinks(c)))),
             GBps(random.Below(3) == 0 ? 0 : 30)});
      ExpectTheSameFlowByFlow(c, grouped, flow_by_flow, changes,
                              what + ", round " + std::to_string(round));
    }
  }
}

// A broadcast goes down a chain in which each node differs from all others by how far it is from
// the ends: beside it no two pairs are alike, and colors would take 75 rounds to say so.
TEST(GroupFlowsTest, AlongAChainEachFlowIsItsOwn) {
  Cluster c{.name = "test", .gpus = 150, .gpus_per_node = 1};
  c.device = TestDevice();
  const Routes routes(c);
  const FlowChain chain = ChainOf(Parts{RingBroadcast(AllOf(c), MB(20), routes)}, c, Level::kFluid);
  ExpectTheSameFlowByFlow(c, {Even(AllOf(c), Alike(MB(1)), c, routes), chain},
                          {PairByPair(AllOf(c), Alike(MB(1)), routes), chain}, {}, "a chain");
}

// Five flows, each on a link of its own, of which two differ in nothing.
TEST(GroupFlowsTest, LinksAreToldApartByHowManyFlowsTheyCarryAndByWhatChangesWhen) {
  const Cluster c = NodesOf8(1, {});
  FlowChain chain{.stages = {{}}};
  for (int gpu = 0; gpu < 5; ++gpu)
    chain.stages[0].push_back({.links = {{LinkOf(gpu, Port::kNvlinkOut)}},
                               .bytes = MB(1),
                               .multiplicity = gpu == 2 ? 2 : 1});
  const std::vector<CapacityChange> changes = {{Time{1}, LinkOf(3, Port::kNvlinkOut), GBps(1)},
                                               {Time{2}, LinkOf(4, Port::kNvlinkOut), GBps(1)}};
  const GroupedFlows groups = GroupFlows({chain}, LinkCapacities(c), changes, c);
  EXPECT_EQ(groups.capacity.size(), 4u);
  EXPECT_EQ(groups.color_of[0], groups.color_of[4]);
  ExpectTheSameFlowByFlow(c, {chain}, {chain}, changes, "");
}

size_t FlowsIn(const FlowChain& chain) {
  size_t flows = 0;
  for (const auto& stage : chain.stages) flows += stage.size();
  return flows;
}

// Nodes of a unit stand for each other, and units do: all pairs are of six kinds, by same or other
// node, unit and leaf.
TEST(GroupFlowsTest, ManyPairsAreFewFlows) {
  FabricSpec spec = Adaptive();
  spec.nodes_per_leaf = 8;
  spec.switch_ports = 64;
  const Cluster c = NodesOf8(64, spec);
  const GroupedFlows groups =
      GroupFlows({Even(AllOf(c), Alike(MB(1)), c, Routes(c))}, LinkCapacities(c), {}, c);
  EXPECT_LE(FlowsIn(groups.chains[0]), 6u);
  int64_t pairs = 0;
  for (const Flow& f : groups.chains[0].stages[0]) pairs += f.multiplicity;
  EXPECT_EQ(pairs, 512 * 511);
}

// 256 nodes of 8 on one switch, all-to-all of 1 MB a pair beside a ring of 100 MB over every NIC. A
// NIC carries 2,040 pairs and one flow of the ring, at 40 GB/s: the pairs end after 2,041 x 1 MB /
// 40 GB/s = 51.025 ms, the ring's 99 MB that are left take 2.475 ms more. Pairs are of two kinds,
// inside a node and between two; so are the ring's flows.
TEST(GroupFlowsTest, BesideARingPairsAreFewFlowsToo) {
  const Cluster c = NodesOf8(256, {});
  const Routes routes(c);
  const std::vector<int> all = AllOf(c);
  Traffic ring{.transport = Transport::kChunks};
  for (int i = 0; i < c.gpus; ++i) {
    ring.Add(routes.Between(i, (i + 8) % c.gpus), MB(100));
    ring.Add(routes.Between(i, i / 8 * 8 + (i + 1) % 8), MB(100));
  }
  ring.Merge();
  FlowChain of_ring{.stages = {FlowsOf(ring, c, {})}};
  const GroupedFlows groups =
      GroupFlows({Even(all, Alike(MB(1)), c, routes), of_ring}, LinkCapacities(c), {}, c);
  EXPECT_EQ(FlowsIn(groups.chains[0]), 2u);
  EXPECT_EQ(FlowsIn(groups.chains[1]), 2u);
  const ChainEnds ends = RunOn(groups.chains, groups.capacity);
  EXPECT_EQ(ends.end[0], Time::From(Milliseconds(51.025)));
  EXPECT_EQ(ends.end[1], Time::From(Milliseconds(51.025 + 2.475)));
}

}  // namespace
}  // namespace moecast
