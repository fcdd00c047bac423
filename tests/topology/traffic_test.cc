#include "topology/traffic.h"

#include <gtest/gtest.h>

#include "topology/link_names.h"

namespace moecast {
namespace {

// Two nodes of two GPUs; 160 GB/s of NVLink and 40 GB/s of NIC can be used.
Cluster TwoNodes() {
  Cluster c{.name = "test", .gpus = 4, .gpus_per_node = 2, .nic = GBps(50), .nic_usable = GBps(40)};
  c.device.nvlink = GBps(200);
  c.device.nvlink_usable = GBps(160);
  c.bulk_launch = Microseconds(5);
  c.nvlink_step = Microseconds(1);
  c.network_step = Microseconds(10);
  return c;
}

TEST(TrafficTest, MergeLeavesOneLoadPerLinkWithAllItsBytes) {
  Traffic t;
  const Routes routes(TwoNodes());
  t.Add(routes.Between(0, 1), Bytes(10));
  t.Add(routes.Between(0, 2), Bytes(5));
  t.Add(routes.Between(0, 1), Bytes(20));
  t.Add(routes.Between(3, 3), Bytes(99));  // nowhere
  t.Merge();
  ASSERT_EQ(t.loads.size(), 4u);
  EXPECT_EQ(t.loads[0].link, LinkOf(0, Port::kNvlinkOut));
  EXPECT_EQ(t.loads[0].bytes, Bytes(30));
  EXPECT_EQ(t.loads[1].link, LinkOf(0, Port::kNicOut));
  EXPECT_EQ(t.loads[1].bytes, Bytes(5));
  EXPECT_EQ(t.loads[2].link, LinkOf(1, Port::kNvlinkIn));
  EXPECT_EQ(t.loads[3].link, LinkOf(2, Port::kNicIn));
}

// 1.6 MB over NVLink: 10 us. 0.8 MB over a NIC: 20 us, the longer. Alpha: 5 + 3 x 1 + 2 x 10 = 28
// us.
TEST(TrafficTest, TimeAloneIsAlphaAndTheBusiestLink) {
  const Cluster c = TwoNodes();
  const Routes routes(c);
  Traffic t{.nvlink_steps = 3, .network_steps = 2};
  t.Add(routes.Between(0, 1), MB(1.6));
  t.Merge();
  EXPECT_NEAR(TimeAlone(t, c).value, 38e-6, 1e-15);
  EXPECT_EQ(BusiestLink(t, c), LinkOf(0, Port::kNvlinkOut));
  t.Add(routes.Between(1, 2), MB(0.8));
  t.Merge();
  EXPECT_NEAR(AlphaOf(t, c).value, 28e-6, 1e-15);
  EXPECT_NEAR(BusyTime(t, c).value, 20e-6, 1e-15);
  EXPECT_NEAR(TimeAlone(t, c).value, 48e-6, 1e-15);
  EXPECT_EQ(BusiestLink(t, c), LinkOf(1, Port::kNicOut));
}

TEST(TrafficTest, MergeLeavesOneLoadPerPathWithAllItsBytes) {
  Traffic t;
  const Routes routes(TwoNodes());
  t.Add(routes.Between(2, 0), Bytes(1));
  t.Add(routes.Between(0, 1), Bytes(10));
  t.Add(routes.Between(2, 0), Bytes(4));
  t.Merge();
  ASSERT_EQ(t.paths.size(), 2u);
  EXPECT_EQ(t.paths[0].path.links[0], LinkOf(0, Port::kNvlinkOut));
  EXPECT_EQ(t.paths[0].bytes, Bytes(10));
  EXPECT_EQ(t.paths[1].path.links[0], LinkOf(2, Port::kNicOut));
  EXPECT_EQ(t.paths[1].bytes, Bytes(5));
}

// Stretched by a half, 1.6 MB over NVLink take 15 us. On one SM, which moves 14 GB/s, 1.6 MB / 14
// GB/s.
TEST(TrafficTest, StretchAndTooFewSmsLengthenTheTimeOnEveryLink) {
  const Cluster c = TwoNodes();
  Traffic t{.stretch = 1.5};
  t.Add(Routes(c).Between(0, 1), MB(1.6));
  t.Merge();
  EXPECT_NEAR(BusyTime(t, c).value, 15e-6, 1e-15);
  t.sms = 132;
  EXPECT_NEAR(BusyTime(t, c).value, 15e-6, 1e-15);
  t.sms = 1;
  EXPECT_NEAR(BusyTime(t, c).value, MB(1.6).value / 14e9, 1e-15);
  EXPECT_NEAR(LinkCostsOf(t, c).nvlink, 160.0 / 14, 1e-9);
}

TEST(TrafficTest, PartsOneAfterTheOtherTakeTheSumOfTheirTimes) {
  const Cluster c = TwoNodes();
  Traffic t{.nvlink_steps = 1};
  t.Add(Routes(c).Between(0, 1), MB(1.6));
  t.Merge();
  const Traffic parts[] = {t, Traffic{}, t};
  EXPECT_EQ(TimeAlone(parts, c), TimeAlone(t, c) * 2);
}

// Lines carry as many flags as data. Multicast reaches 0.85 of a link. Pieces of 128 KiB take
// 0.92 us beyond their bytes.
TEST(TransportTest, WhatAByteCostsALinkFollowsFromWhatMovesIt) {
  Cluster c = TwoNodes();
  c.collective_launch = Microseconds(4);
  c.low_latency_launch = Microseconds(22);
  c.token_launch = Microseconds(42);
  EXPECT_EQ(CostOf(c, Transport::kTokens).launch, Microseconds(42));
  c.token_nvlink_share = 0.8;
  EXPECT_EQ(CostOf(c, Transport::kBulk).launch, Microseconds(5));
  EXPECT_EQ(CostOf(c, Transport::kLines).launch, Microseconds(4));
  EXPECT_EQ(CostOf(c, Transport::kLines).nvlink, 2);
  EXPECT_EQ(CostOf(c, Transport::kLines).network, 2);
  EXPECT_NEAR(CostOf(c, Transport::kMulticast).nvlink, 1 / 0.85, 1e-12);
  EXPECT_EQ(CostOf(c, Transport::kPointToPoint).nvlink, 1);
  EXPECT_EQ(CostOf(c, Transport::kPointToPoint).network, 1);
  EXPECT_NEAR(CostOf(c, Transport::kPointToPoint).pieces.value, 131072 / 0.92e-6, 1);
  EXPECT_EQ(CostOf(c, Transport::kTokens).nvlink, 1 / 0.8);
  EXPECT_EQ(CostOf(c, Transport::kTokens).network, 1);
  EXPECT_EQ(CostOf(c, Transport::kLowLatency).launch, Microseconds(22));
}

TEST(TrafficTest, NothingTakesNoTime) {
  EXPECT_EQ(TimeAlone(Traffic{}, TwoNodes()).value, 0);
}

TEST(TrafficTest, BytesSentAreTheBusiestGpusByPort) {
  const Routes routes(TwoNodes());
  Traffic t;
  t.Add(routes.Between(0, 1), Bytes(3));
  t.Add(routes.Between(1, 0), Bytes(4));
  t.Add(routes.Between(1, 3), Bytes(7));
  t.Add(routes.Between(1, 2), Bytes(2));  // GPU 1's NIC in all: 9
  t.Merge();
  EXPECT_EQ(BytesSent(t, TwoNodes()).nvlink, Bytes(4));
  EXPECT_EQ(BytesSent(t, TwoNodes()).network, Bytes(9));
}

TEST(TrafficTest, LinksAreNamedByNodeGpuAndPort) {
  EXPECT_EQ(LinkName(TwoNodes(), LinkOf(3, Port::kNicOut)), "node1.gpu1.nic-out");
  EXPECT_EQ(GpuOf(LinkOf(3, Port::kNicOut)), 3);
  EXPECT_EQ(PortOf(LinkOf(3, Port::kNicOut)), Port::kNicOut);
}

}  // namespace
}  // namespace moecast
