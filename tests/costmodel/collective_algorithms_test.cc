#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "costmodel/collectives/algorithms.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

Cluster Gpus(int gpus, int gpus_per_node) {
  Cluster c{.name = "test", .gpus = gpus, .gpus_per_node = gpus_per_node};
  c.device.nvlink = c.device.nvlink_usable = GBps(200);
  return c;
}

std::vector<int> First(int n) {
  std::vector<int> group(static_cast<size_t>(n));
  std::iota(group.begin(), group.end(), 0);
  return group;
}

Bytes MostOn(const Parts& parts, Port port) {
  std::map<LinkId, Bytes> by_link;
  for (const Traffic& t : parts)
    for (const LinkLoad& l : t.loads)
      if (PortOf(l.link) == port) by_link[l.link] += l.bytes;
  Bytes most;
  for (const auto& [link, bytes] : by_link) most = std::max(most, bytes);
  return most;
}

TEST(CollectiveAlgorithmsTest, EveryKindHasAnAutomaticAlgorithmAndEveryRowAHelp) {
  std::set<std::pair<CollectiveKind, std::string_view>> rows;
  std::set<CollectiveKind> automatic;
  for (const CollectiveAlgorithm& a : CollectiveAlgorithms()) {
    EXPECT_TRUE(rows.insert({a.kind, a.name}).second) << a.name;
    EXPECT_FALSE(a.help.empty());
    EXPECT_NE(a.name, "auto");
    if (a.automatic) automatic.insert(a.kind);
  }
  for (const auto& kind : EnumNames<CollectiveKind>::kNames)
    EXPECT_TRUE(automatic.count(kind.value));
}

// In one node the busiest link of a ring or a direct algorithm carries the bus-bandwidth factor of
// the buffer: what makes nccl-tests' bus bandwidth the rate of the link.
TEST(CollectiveAlgorithmsTest, InANodeTheBusiestLinkCarriesTheBusBandwidthFactor) {
  const Routes routes(Gpus(8, 8));
  for (const CollectiveAlgorithm& a : CollectiveAlgorithms()) {
    if (a.name == "tree" || a.name == "nvls" || a.name == "one-shot") continue;
    for (const int n : {2, 4, 8}) {
      const Parts parts = Lower(a, {.kind = a.kind, .group = First(n), .bytes = MB(80)}, routes);
      EXPECT_NEAR(MostOn(parts, Port::kNvlinkOut).value,
                  80e6 * BusFactor(a.kind, a.kind == CollectiveKind::kSend ? n / 2 : n), 1)
          << NameOf(a.kind) << " " << a.name << " " << n;
    }
  }
}

TEST(CollectiveAlgorithmsTest, WhatLeavesEqualsWhatArrives) {
  for (const int nodes : {1, 2, 4}) {
    const Cluster c = Gpus(8 * nodes, 8);
    const Routes routes(c);
    for (const CollectiveAlgorithm& a : CollectiveAlgorithms()) {
      if (a.needs == Needs::kOneNode) continue;  // the switch adds and copies on the way
      for (const Traffic& t : Lower(a,
                                    {.kind = a.kind,
                                    .group = First(8 * nodes),
                                    .bytes = MB(1),
                                    .spread = {.devices = 3, .nodes = 1, .experts = 6}},
                                    routes)) {
        double out = 0, in = 0;
        for (const LinkLoad& l : t.loads)
          (PortOf(l.link) == Port::kNvlinkOut || PortOf(l.link) == Port::kNicOut ? out : in) +=
              l.bytes.value;
        EXPECT_NEAR(out, in, 1e-6 * out) << NameOf(a.kind) << " " << a.name;
      }
    }
  }
}

TEST(CollectiveAlgorithmsTest, AShorterMessageIsNeverSlowerAlone) {
  const Cluster c = Gpus(32, 8);
  const Routes routes(c);
  for (const auto& kind : EnumNames<CollectiveKind>::kNames) {
    for (const int n : {2, 8, 32}) {
      Seconds before;
      for (double bytes = 1; bytes < 1e10; bytes *= 3) {
        const CollectiveCall call{.kind = kind.value, .group = First(n), .bytes = Bytes(bytes)};
        const Seconds time = TimeAlone(Lower(FastestAlgorithm(call, c, routes), call, routes), c);
        EXPECT_GE(time, before) << kind.name << " " << n << " " << bytes;
        before = time;
      }
    }
  }
}

// On 8 GPUs of 200 GB/s: few bytes by lines, which start sooner; many by the switch, 9/8 / 0.85 of
// the buffer a link where a ring carries 14.5/8. Over nodes few bytes by the tree, many by the
// ring.
TEST(CollectiveAlgorithmsTest, AutoTakesWhatIsFastestForTheSize) {
  const auto fastest = [](CollectiveKind kind, int gpus, Bytes bytes) {
    const Cluster c = Gpus(gpus, 8);
    const CollectiveCall call{.kind = kind, .group = First(gpus), .bytes = bytes};
    return FastestAlgorithm(call, c, Routes(c)).name;
  };
  using enum CollectiveKind;
  EXPECT_EQ(fastest(kAllReduce, 8, KiB(16)), "ring-ll");
  EXPECT_EQ(fastest(kAllReduce, 8, MB(512)), "nvls");
  EXPECT_EQ(fastest(kAllReduce, 2, MB(512)), "ring");
  EXPECT_EQ(fastest(kAllReduce, 1024, KiB(4)), "tree");
  EXPECT_EQ(fastest(kAllReduce, 64, GB(4)), "ring");
  EXPECT_EQ(fastest(kAllGather, 8, KiB(16)), "ring-ll");
  EXPECT_EQ(fastest(kAllGather, 8, MB(512)), "ring");
  EXPECT_EQ(fastest(kAllToAll, 64, MB(512)), "direct");
  EXPECT_EQ(fastest(kDispatch, 64, MB(512)), "two-hop");
}

TEST(CollectiveAlgorithmsTest, SmsLimitEveryPart) {
  const Cluster c = Gpus(16, 8);
  const Routes routes(c);
  CollectiveCall call{.kind = CollectiveKind::kAllReduce, .group = First(16), .bytes = GB(1)};
  const auto& hierarchical = FindAlgorithm(call, "hierarchical", routes);
  const Seconds free = TimeAlone(Lower(hierarchical, call, routes), c);
  call.sms = 132;  // 1.8 TB/s
  EXPECT_EQ(TimeAlone(Lower(hierarchical, call, routes), c), free);
  call.sms = 2;  // 28 GB/s, less than a NIC
  EXPECT_GT(TimeAlone(Lower(hierarchical, call, routes), c), free * 1.7);
}

TEST(CollectiveAlgorithmsTest, AnUnknownOrUnfitAlgorithmIsTheUsersFault) {
  const Cluster c = Gpus(16, 8);
  const Routes routes(c);
  const auto message = [&](CollectiveKind kind, int n, std::string_view name) {
    return MessageOf(
        [&] { FindAlgorithm({.kind = kind, .group = First(n), .bytes = MB(1)}, name, routes); });
  };
  EXPECT_EQ(message(CollectiveKind::kAllReduce, 16, "rinf"),
            "--algorithm: found \"rinf\", expected for all-reduce auto or one of ring, ring-ll, "
            "ring-chunks, "
            "tree, nvls, one-shot, two-shot, "
            "hierarchical (did you mean \"ring\"?)");
  EXPECT_EQ(message(CollectiveKind::kAllToAll, 8, "nvls"),
            "--algorithm: found \"nvls\", expected for all-to-all auto or one of direct, two-hop, "
            "store-and-forward");
  EXPECT_EQ(message(CollectiveKind::kAllReduce, 16, "nvls"),
            "--algorithm: found nvls, expected ranks on one node");
  EXPECT_EQ(message(CollectiveKind::kAllReduce, 12, "hierarchical"),
            "--algorithm: found hierarchical, expected as many ranks on each of the nodes");
}

// nccl-tests, doc/PERFORMANCE.md.
TEST(CollectiveAlgorithmsTest, BusFactorsAreThoseOfNcclTests) {
  using enum CollectiveKind;
  EXPECT_EQ(BusFactor(kAllReduce, 4), 1.5);
  EXPECT_EQ(BusFactor(kAllGather, 4), 0.75);
  EXPECT_EQ(BusFactor(kReduceScatter, 4), 0.75);
  EXPECT_EQ(BusFactor(kAllToAll, 4), 0.75);
  EXPECT_EQ(BusFactor(kBroadcast, 4), 1);
  EXPECT_EQ(BusFactor(kSend, 4), 1);
}

}  // namespace
}  // namespace moecast
