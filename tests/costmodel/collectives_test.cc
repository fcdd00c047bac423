#include "costmodel/collectives/collectives.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "costmodel/op_cost.h"
#include "tests/costmodel/all_to_all.h"

namespace moecast {
namespace {

Cluster GpusWithNics(int gpus, int gpus_per_node) {
  Cluster c{.name = "test",
            .gpus = gpus,
            .gpus_per_node = gpus_per_node,
            .nic = GBps(50),
            .nic_usable = GBps(50)};
  c.device.nvlink = c.device.nvlink_usable = GBps(200);
  return c;
}

std::vector<int> FirstGpus(int n, int step = 1) {
  std::vector<int> group(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) group[static_cast<size_t>(i)] = i * step;
  return group;
}

double BytesOn(const Traffic& t, LinkId link) {
  for (const LinkLoad& l : t.loads)
    if (l.link == link) return l.bytes.value;
  return 0;
}
double BytesOver(const Traffic& t, Port port) {
  double sum = 0;
  for (const LinkLoad& l : t.loads) sum += PortOf(l.link) == port ? l.bytes.value : 0;
  return sum;
}
void ExpectConserved(const Traffic& t) {
  EXPECT_NEAR(BytesOver(t, Port::kNvlinkOut), BytesOver(t, Port::kNvlinkIn),
              1e-9 * BytesOver(t, Port::kNvlinkOut));
  EXPECT_NEAR(BytesOver(t, Port::kNicOut), BytesOver(t, Port::kNicIn),
              1e-9 * BytesOver(t, Port::kNicOut));
}

// nccl-tests, doc/PERFORMANCE.md: time = bytes / rate times (n-1)/n, for all-reduce 2(n-1)/n. A
// round waits half a step: (n - 1/2)/n of the buffer at the link's rate.
TEST(RingTest, InsideANodeEveryRankSendsTheBusBandwidthFactorOfTheBuffer) {
  const Cluster c = GpusWithNics(8, 8);
  const Routes routes(c);
  for (const int n : {2, 3, 4, 8}) {
    const auto group = FirstGpus(n);
    const double factor = static_cast<double>(n - 1) / n;
    const Traffic gather = RingAllGather(group, MB(80), routes),
                  reduce = RingAllReduce(group, MB(80), routes);
    for (const int gpu : group) {
      for (const Port port : {Port::kNvlinkOut, Port::kNvlinkIn}) {
        EXPECT_NEAR(BytesOn(gather, LinkOf(gpu, port)), 80e6 * factor, 1);
        EXPECT_NEAR(BytesOn(reduce, LinkOf(gpu, port)), 80e6 * 2 * factor, 1);
      }
    }
    EXPECT_EQ(gather.nvlink_steps, n - 1);
    EXPECT_EQ(reduce.nvlink_steps, 2 * (n - 1));
    EXPECT_EQ(gather.network_steps, 0);
    EXPECT_NEAR(BusyTime(gather, c).value, 80e6 / 200e9 * (n - 0.5) / n, 1e-15);
    EXPECT_NEAR(BusyTime(reduce, c).value, 80e6 / 200e9 * (2 * n - 1.5) / n, 1e-15);
    EXPECT_EQ(BusyTime(RingReduceScatter(group, MB(80), routes), c), BusyTime(gather, c));
  }
}

// 16 ranks on 2 nodes: 15/16 of the buffer leaves each node, an eighth of that through each NIC. A
// ring of 16 hops has two between nodes; 8 rings with 1/8 of the bytes each, and each GPU sends
// inside its node in all but one: 7/8 of 15/16.
TEST(RingTest, AcrossNodesEveryNicCarriesAnEqualShare) {
  const Cluster c = GpusWithNics(16, 8);
  const auto group = FirstGpus(16);
  const Traffic t = RingAllGather(group, MB(128), Routes(c));
  for (const int gpu : group) {
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNicOut)), 15e6, 1);  // 128 MB x 15/16 / 8
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNicIn)), 15e6, 1);
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkOut)), 105e6, 1);  // 7 times as much
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkIn)), 105e6, 1);
  }
  EXPECT_EQ(t.network_steps, 1);  // 15 steps, of which nodes - 1 cross
  EXPECT_EQ(t.nvlink_steps, 14);
}

TEST(RingTest, RanksAloneOnTheirNodesUseTheirOwnNicsOnly) {
  const Traffic t = RingAllGather(FirstGpus(4, 8), MB(4), Routes(GpusWithNics(32, 8)));
  ASSERT_EQ(t.loads.size(), 8u);
  for (const LinkLoad& l : t.loads) EXPECT_NEAR(l.bytes.value, 3e6, 1e-3);  // (n-1)/n of 4 MB
  EXPECT_EQ(t.network_steps, 3);
  EXPECT_EQ(t.nvlink_steps, 0);
}

TEST(RingTest, BytesOutAreBytesInForGroupsOfAnyShape) {
  for (const int per_node : {1, 2, 4, 8})
    for (const int step : {1, 2, 3})
      for (int n = 2; n * step <= 48; n += 5) {
        const Traffic t =
            RingAllReduce(FirstGpus(n, step), MB(1), Routes(GpusWithNics(48, per_node)));
        ExpectConserved(t);
        EXPECT_NEAR(BytesOver(t, Port::kNvlinkOut) + BytesOver(t, Port::kNicOut), 2e6 * (n - 1), 1);
        EXPECT_EQ(t.nvlink_steps + t.network_steps, 2 * (n - 1));
      }
}

TEST(CollectivesTest, AGroupOfOneOrNoBytesIsNoTraffic) {
  const Routes routes(GpusWithNics(8, 8));
  EXPECT_TRUE(RingAllGather(FirstGpus(1), MB(1), routes).empty());
  EXPECT_TRUE(RingAllReduce(FirstGpus(8), Bytes(0), routes).empty());
  EXPECT_TRUE(TreeAllReduce(FirstGpus(1), MB(1), routes).empty());
  EXPECT_TRUE(ExpertAllToAll(FirstGpus(1), MB(1), {}, routes).empty());
}

// 4 nodes of 8: 7 hops down the chain of a node and 2 levels over the nodes, up and down again.
TEST(TreeTest, StepsGrowWithTheLogarithmOfTheNodes) {
  const Traffic t = TreeAllReduce(FirstGpus(32), Bytes(4), Routes(GpusWithNics(32, 8)));
  EXPECT_EQ(t.nvlink_steps, 14);
  EXPECT_EQ(t.network_steps, 4);
  ExpectConserved(t);
  // 31 edges, each both ways.
  EXPECT_EQ(BytesOver(t, Port::kNvlinkOut) + BytesOver(t, Port::kNicOut), 4 * 2 * 31);
  EXPECT_EQ(TreeAllReduce(FirstGpus(2048), Bytes(4), Routes(GpusWithNics(2048, 8))).network_steps,
            16);
  EXPECT_EQ(TreeAllReduce(FirstGpus(8), Bytes(4), Routes(GpusWithNics(8, 8))).network_steps, 0);
}

void ExpectTheSameLoads(const Traffic& a, const Traffic& b) {
  ASSERT_EQ(a.loads.size(), b.loads.size());
  ASSERT_EQ(a.paths.size(), b.paths.size());
  for (size_t i = 0; i < a.loads.size(); ++i) {
    EXPECT_EQ(a.loads[i].link, b.loads[i].link);
    EXPECT_NEAR(a.loads[i].bytes / b.loads[i].bytes, 1, 1e-13);
  }
  for (size_t i = 0; i < a.paths.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(a.paths[i].path.span(), b.paths[i].path.span()));
    EXPECT_NEAR(a.paths[i].bytes / b.paths[i].bytes, 1, 1e-13);
  }
}

// Step by step around each ring: the r-th starts in every node at its r-th rank.
TEST(RingTest, ItsSendsAreThoseOfRingAfterRing) {
  const std::array<int, 3> sizes[] = {{8, 8, 4}, {8, 4, 3}, {4, 2, 5}, {8, 1, 4}, {2, 2, 2}};
  for (const auto& size : sizes) {
    const int per_node = size[0], local = size[1], nodes = size[2];
    const Routes routes(GpusWithNics(per_node * nodes, per_node));
    std::vector<int> group;
    for (int node = 0; node < nodes; ++node)
      for (int i = 0; i < local; ++i) group.push_back(node * per_node + i);
    const int n = nodes * local;
    Traffic reduce, broadcast;
    for (int ring = 0; ring < local; ++ring) {
      const auto at = [&](int i) {
        return group[static_cast<size_t>(i % n / local * local + (i % local + ring) % local)];
      };
      for (int i = 0; i < n; ++i) {
        const Path path = routes.Between(at(i), at(i + 1));
        for (int pass = 0; pass < 2; ++pass) reduce.Add(path, MB(1.0 * (n - 1) / n / local));
        if (at(i + 1) != group[0]) broadcast.Add(path, MB(1.0 / local));
      }
    }
    reduce.Merge();
    broadcast.Merge();
    ExpectTheSameLoads(RingAllReduce(group, MB(1), routes), reduce);
    ExpectTheSameLoads(RingBroadcast(group, MB(1), routes), broadcast);
  }
}

// From each rank to each, by the rank of the sender's index on the receiver's node.
TEST(ExpertAllToAllTest, ItsHopsAreThoseOfPairAfterPair) {
  const TokenSpread spread{.devices = 5, .nodes = 3};
  const std::pair<int, int> sizes[] = {{8, 4}, {4, 3}, {2, 5}};
  for (const auto& [local, nodes] : sizes) {
    const Cluster c = GpusWithNics(8 * nodes, 8);
    const Routes routes(c);
    std::vector<int> group;  // its ranks at other places on other nodes
    for (int node = 0; node < nodes; ++node)
      for (int i = 0; i < local; ++i) group.push_back(node * 8 + i + (local < 8 ? node % 2 : 0));
    const size_t n = group.size(), m = static_cast<size_t>(local);
    Traffic pairs{.transport = Transport::kTokens};
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) {
        const size_t relay = j / m * m + i % m;
        if (relay != i && relay == j)
          pairs.Add(routes.Between(group[i], group[j]), MB(1) * (3.0 / nodes));
        if (relay != j)
          pairs.Add(routes.Between(group[relay], group[j]), MB(1) * (5.0 / static_cast<double>(n)));
      }
    pairs.Merge();
    ExpectTheSameLoads(ExpertAllToAll(group, MB(1), spread, routes), pairs);
  }
}

// 8 MB of tokens, each to 4 of 8 devices: 0.5 MB a device on average, and the sender's own share
// stays.
TEST(ExpertAllToAllTest, InOneNodeARankSendsToSevenOfItsEightDevices) {
  const Cluster c = GpusWithNics(8, 8);
  const Traffic t = ExpertAllToAll(FirstGpus(8), MB(8), {.devices = 4, .nodes = 1}, Routes(c));
  for (int gpu = 0; gpu < 8; ++gpu) {
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkOut)), 8e6 * 4 * 7 / 8, 1);
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkIn)), 8e6 * 4 * 7 / 8, 1);
  }
  EXPECT_EQ(BytesOver(t, Port::kNicOut), 0);
  EXPECT_EQ(t.nvlink_steps, 1);
  EXPECT_EQ(t.network_steps, 0);
}

// 64 ranks on 8 nodes, 64 MB of tokens, each to 3 nodes and 5 devices. A node: 24 MB, a device: 5
// MB. Network: 7 other nodes, 24 MB each = 168 MB = 64 x 3 x 7/8, whatever the devices. NVLink: to
// 7 peers at home 5 MB each, and for 7 peers of its index on other nodes 5 MB to each of 7
// neighbours: 8 x 7 x 5 = 280 MB.
TEST(ExpertAllToAllTest, AcrossNodesATokenCrossesTheNetworkOncePerNodeAndIsPassedOnByNvlink) {
  const Cluster c = GpusWithNics(64, 8);
  const Traffic t = ExpertAllToAll(FirstGpus(64), MB(64), {.devices = 5, .nodes = 3}, Routes(c));
  for (int gpu = 0; gpu < 64; ++gpu) {
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNicOut)), 168e6, 1);
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNicIn)), 168e6, 1);
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkOut)), 280e6, 1);
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkIn)), 280e6, 1);
  }
  EXPECT_EQ(t.nvlink_steps, 1);
  EXPECT_EQ(t.network_steps, 1);
}

TEST(ExpertAllToAllTest, OneGpuANodeSendsEveryCopyOverTheNetwork) {
  const Traffic t = ExpertAllToAll(FirstGpus(4, 8), MB(4), {.devices = 2, .nodes = 2},
                                   Routes(GpusWithNics(32, 8)));
  for (const int gpu : FirstGpus(4, 8))
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNicOut)), 4e6 * 2 * 3 / 4, 1e-3);
  EXPECT_EQ(BytesOver(t, Port::kNvlinkOut), 0);
}

TEST(ExpertAllToAllTest, BytesOutAreBytesInForGroupsOfAnyShape) {
  for (const int per_node : {1, 3, 4, 8})
    for (int n = 2; n <= 32; n += 3) {
      const Traffic t = ExpertAllToAll(FirstGpus(n), MB(1), {.devices = 1.5, .nodes = 1.2},
                                       Routes(GpusWithNics(48, per_node)));
      ExpectConserved(t);
    }
}

TEST(SendTest, EveryRankSendsItsPartAtOnce) {
  const int from[] = {0, 1};
  const int to[] = {8, 9};
  const int near[] = {2, 3};
  const Routes routes(GpusWithNics(16, 8));
  const Traffic far = Send(from, to, MB(2), routes), inside = Send(from, near, MB(2), routes);
  EXPECT_EQ(BytesOn(far, LinkOf(1, Port::kNicOut)), 2e6);
  EXPECT_EQ(BytesOn(far, LinkOf(9, Port::kNicIn)), 2e6);
  EXPECT_EQ(far.network_steps, 1);
  EXPECT_EQ(far.nvlink_steps, 0);
  EXPECT_EQ(BytesOn(inside, LinkOf(0, Port::kNvlinkOut)), 2e6);
  EXPECT_EQ(inside.nvlink_steps, 1);
  EXPECT_TRUE(Send(from, from, MB(2), routes).empty());
}

// 16 ranks on 2 nodes, 16 MB: each of 8 rings carries 2 MB past every rank but into the first, GPU
// 0. It gets nothing by NVLink, and nothing by its NIC: all rings pass the second node to end at a
// GPU of it or the first.
TEST(RingTest, ABroadcastPassesEveryRankOnceAndNothingGoesToTheFirst) {
  const Cluster c = GpusWithNics(16, 8);
  const Traffic t = RingBroadcast(FirstGpus(16), MB(16), Routes(c));
  ExpectConserved(t);
  EXPECT_NEAR(BytesOver(t, Port::kNvlinkOut) + BytesOver(t, Port::kNicOut), 16e6 * 15, 1);
  EXPECT_EQ(BytesOn(t, LinkOf(0, Port::kNvlinkIn)) + BytesOn(t, LinkOf(0, Port::kNicIn)), 0);
  for (int gpu = 1; gpu < 16; ++gpu)
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkIn)) + BytesOn(t, LinkOf(gpu, Port::kNicIn)),
                16e6, 1);
  EXPECT_EQ(t.network_steps, 1);
  EXPECT_EQ(t.nvlink_steps, 14);
}

// 8 MB on 8 GPUs: all-reduce 1 + 1/8 of it each way, where a ring carries 14/8.
TEST(NvlsTest, TheSwitchReadsEveryGpuAsOftenAsThereAreRanks) {
  const Cluster c = GpusWithNics(8, 8);
  const auto group = FirstGpus(8);
  const Traffic reduce = NvlsAllReduce(group, MB(8), Routes(c));
  const Traffic gather = NvlsAllGather(group, MB(8), Routes(c));
  const Traffic scatter = NvlsReduceScatter(group, MB(8), Routes(c));
  for (const int gpu : group) {
    EXPECT_NEAR(BytesOn(reduce, LinkOf(gpu, Port::kNvlinkOut)), 9e6, 1e-3);
    EXPECT_NEAR(BytesOn(reduce, LinkOf(gpu, Port::kNvlinkIn)), 9e6, 1e-3);
    EXPECT_NEAR(BytesOn(gather, LinkOf(gpu, Port::kNvlinkOut)), 1e6, 1e-3);
    EXPECT_NEAR(BytesOn(gather, LinkOf(gpu, Port::kNvlinkIn)), 8e6, 1e-3);
    EXPECT_NEAR(BytesOn(scatter, LinkOf(gpu, Port::kNvlinkOut)), 8e6, 1e-3);
    EXPECT_NEAR(BytesOn(scatter, LinkOf(gpu, Port::kNvlinkIn)), 1e6, 1e-3);
  }
  EXPECT_NEAR(BusyTime(reduce, c).value, 9e6 / (200e9 * 0.85), 1e-12);
}

// 8 MB on 8 GPUs: one-shot reads 7 whole buffers, two-shot an eighth of each twice; a byte at 150
// GB/s where NVLink has 200. One step less costs one-shot 3.8 us less, so that it is the faster of
// the two below 3.8 us at that rate over 7 - 14/8, 108.6 kB.
TEST(PeerReadsTest, OneShotReadsAllAtOnceTwoShotAnEighthTwice) {
  const Cluster c = GpusWithNics(8, 8);
  const auto group = FirstGpus(8);
  const Routes routes(c);
  const Traffic one = OneShotAllReduce(group, MB(8), routes);
  const Traffic two = TwoShotAllReduce(group, MB(8), routes);
  for (const int gpu : group) {
    EXPECT_NEAR(BytesOn(one, LinkOf(gpu, Port::kNvlinkIn)), 56e6, 1e-3);
    EXPECT_NEAR(BytesOn(two, LinkOf(gpu, Port::kNvlinkIn)), 14e6, 1e-3);
  }
  EXPECT_NEAR(BusyTime(one, c).value, 56e6 / 150e9, 1e-12);
  const auto alone = [&](const Traffic& traffic) { return TimeAlone(traffic, c).value; };
  EXPECT_NEAR(AlphaOf(one, c).value, 4.6e-6, 1e-12);
  EXPECT_NEAR(AlphaOf(two, c).value, 8.4e-6, 1e-12);
  const double even = 3.8e-6 * 150e9 / (7 - 7.0 / 4);
  for (const double bytes : {0.9 * even, 1.1 * even})
    EXPECT_EQ(alone(OneShotAllReduce(group, Bytes(bytes), routes)) <
                  alone(TwoShotAllReduce(group, Bytes(bytes), routes)),
              bytes < even);
}

// 4 nodes of 8 and 32 MB. Inside: 7/8 of 32 MB by NVLink, twice for all-reduce. Between: 3/4 of 4
// MB a NIC.
TEST(HierarchicalTest, EveryNicCarriesItsShareOfOneRankPerNode) {
  const Cluster c = GpusWithNics(32, 8);
  const Routes routes(c);
  const auto group = FirstGpus(32);
  const Parts reduce = HierarchicalAllReduce(group, MB(32), routes);
  const Parts gather = HierarchicalAllGather(group, MB(32), routes);
  const Parts scatter = HierarchicalReduceScatter(group, MB(32), routes);
  ASSERT_EQ(reduce.size(), 3u);
  for (const int gpu : group) {
    EXPECT_NEAR(BytesOn(reduce[0], LinkOf(gpu, Port::kNvlinkOut)), 28e6, 1e-2);
    EXPECT_NEAR(BytesOn(reduce[1], LinkOf(gpu, Port::kNicOut)), 6e6, 1e-2);
    EXPECT_NEAR(BytesOn(reduce[2], LinkOf(gpu, Port::kNvlinkIn)), 28e6, 1e-2);
    EXPECT_NEAR(BytesOn(gather[0], LinkOf(gpu, Port::kNicOut)), 3e6, 1e-2);
    EXPECT_NEAR(BytesOn(gather[1], LinkOf(gpu, Port::kNvlinkOut)), 28e6, 1e-2);
    EXPECT_NEAR(BytesOn(scatter[0], LinkOf(gpu, Port::kNvlinkOut)), 28e6, 1e-2);
    EXPECT_NEAR(BytesOn(scatter[1], LinkOf(gpu, Port::kNicOut)), 3e6, 1e-2);
  }
  EXPECT_EQ(reduce[1].network_steps, 6);
  EXPECT_EQ(reduce[0].nvlink_steps, 7);
}

// The traffic of the test of two hops above, its hops apart: the network's 168 MB, then NVLink's
// 280.
TEST(ExpertAllToAllTest, StoredAndForwardedTheHopsAreTheSameBytesOneAfterTheOther) {
  const Cluster c = GpusWithNics(64, 8);
  const Routes routes(c);
  const TokenSpread spread{.devices = 5, .nodes = 3};
  const Parts parts = WrittenOut(
      FirstGpus(64), StoreAndForwardAllToAll(FirstGpus(64), MB(64), spread, routes), routes);
  ASSERT_EQ(parts.size(), 2u);
  for (int gpu = 0; gpu < 64; ++gpu) {
    EXPECT_NEAR(BytesOn(parts[0], LinkOf(gpu, Port::kNicOut)), 168e6, 1);
    EXPECT_NEAR(BytesOn(parts[1], LinkOf(gpu, Port::kNvlinkOut)), 280e6, 1);
  }
  EXPECT_EQ(BytesOver(parts[0], Port::kNvlinkOut) + BytesOver(parts[1], Port::kNicOut), 0);
  const double network = 168e6 / 50e9, nvlink = 280e6 / 200e9;
  EXPECT_NEAR(BusyTime(parts[0], c).value + BusyTime(parts[1], c).value, network + nvlink, 1e-12);
  EXPECT_NEAR(BusyTime(ExpertAllToAll(FirstGpus(64), MB(64), spread, routes), c).value, network,
              1e-12);
  EXPECT_EQ(StoreAndForwardAllToAll(FirstGpus(8), MB(8), spread, routes).size(), 1u);
}

// 16 ranks on 2 nodes, 1 MB for each: a NIC carries 8 MB, NVLink 7.
TEST(DirectAllToAllTest, EveryRankSendsItsPartToEveryOther) {
  const Routes routes(GpusWithNics(16, 8));
  const Traffic t =
      WrittenOut(FirstGpus(16), DirectAllToAll(FirstGpus(16), MB(16), {}, routes), routes)[0];
  for (int gpu = 0; gpu < 16; ++gpu) {
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNicOut)), 8e6, 1e-2);
    EXPECT_NEAR(BytesOn(t, LinkOf(gpu, Port::kNvlinkIn)), 7e6, 1e-2);
  }
}

// V3's gate on 32 ranks: 8 experts a token of 256, so one copy of 8/32 of the tokens for every
// rank; of 31 others, 7 on the node.
TEST(LowLatencyAllToAllTest, ATokenIsSentOnceForEachExpert) {
  const Moe moe{.experts = 256, .top_k = 8, .groups = 1, .top_groups = 1};
  const TokenSpread spread = SpreadOf(moe, 32, 8);
  EXPECT_EQ(spread.experts, 8);
  const Routes routes(GpusWithNics(32, 8));
  const Traffic t = WrittenOut(FirstGpus(32),
                               LowLatencyAllToAll(FirstGpus(32), MB(1), spread, routes), routes)[0];
  EXPECT_NEAR(BytesOn(t, LinkOf(3, Port::kNicOut)), 24 * 0.25e6, 1e-2);
  EXPECT_NEAR(BytesOn(t, LinkOf(3, Port::kNvlinkOut)), 7 * 0.25e6, 1e-2);
}

TEST(NodesOfGroupTest, CountsTheNodesAndWhetherTheyHoldEquallyMany) {
  const Routes routes(GpusWithNics(32, 8));
  const auto check = [&](std::vector<int> group, size_t nodes, size_t local, bool even) {
    const NodesOf on = NodesOfGroup(group, routes);
    EXPECT_EQ(on.nodes, nodes);
    EXPECT_EQ(on.even, even);
    if (even) {
      EXPECT_EQ(on.local, local);
    }
  };
  check(FirstGpus(8), 1, 8, true);
  check(FirstGpus(5), 1, 5, true);
  check(FirstGpus(16), 2, 8, true);
  check(FirstGpus(12), 2, 0, false);
  check({6, 7, 8, 9, 10, 11}, 2, 0, false);
  check(FirstGpus(4, 8), 4, 1, true);
  check({0, 1, 8, 9, 16, 17}, 3, 2, true);
}

TEST(PlacementOfTest, SizesAndOrderComeFromThePlan) {
  const Placement p = PlacementOf({.tp = 2, .pp = 4, .ep = 8, .cp = 3, .dp = 16});
  EXPECT_EQ(p.world(), 2 * 4 * 3 * 16);
  EXPECT_EQ(p.Size(Axis::kEdp), 2);
  RankCoordinates next;
  next[Axis::kEp] = 1;
  EXPECT_EQ(p.GpuOf(next), 2 * 3);  // tp and cp lie inside
}

}  // namespace
}  // namespace moecast
