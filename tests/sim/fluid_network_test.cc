#include "sim/network/fluid_network.h"

#include <gtest/gtest.h>

#include <thread>

#include "sim/network/analytic_network.h"
#include "tests/sim/random_flows.h"
#include "tests/sim/run_flows.h"

namespace moecast {
namespace {

constexpr Time kMicrosecond{1'000'000};

Flow OneFlow(std::vector<LinkShare> links, Bytes bytes, int64_t multiplicity = 1, Time start = {}) {
  return {.start = start, .links = std::move(links), .bytes = bytes, .multiplicity = multiplicity};
}

std::vector<Time> Ends(const std::vector<BytesPerSecond>& capacity, const std::vector<Flow>& flows,
                       const std::vector<CapacityChange>& changes = {}) {
  FluidNetwork network(capacity);
  return RunFlows(network, flows, changes).end;
}

// Two flows of 1 MB over 100 GB/s: 50 GB/s each, 20 us, where one alone takes 10 us.
TEST(FluidNetworkTest, EqualFlowsHalveALink) {
  EXPECT_EQ(Ends({GBps(100)}, {OneFlow({{0}}, MB(1))}), std::vector<Time>{kMicrosecond * 10});
  EXPECT_EQ(Ends({GBps(100)}, {OneFlow({{0}}, MB(1)), OneFlow({{0}}, MB(1))}),
            std::vector<Time>(2, kMicrosecond * 20));
}

// 1 and 3 MB over 100 GB/s: both at 50 GB/s until 20 us, then 2 MB at 100 GB/s: 40 us.
TEST(FluidNetworkTest, WhatAShortFlowLeavesTheLongerTakes) {
  EXPECT_EQ(Ends({GBps(100)}, {OneFlow({{0}}, MB(1)), OneFlow({{0}}, MB(3))}),
            (std::vector<Time>{kMicrosecond * 20, kMicrosecond * 40}));
}

// The example of every textbook: a flow over both links and one on each, 10 and 30 GB/s. The long
// flow and the first have 5 GB/s each, the other the rest: 25. 1 MB takes 200 us at 5; 2 MB takes
// 80 us at 25.
TEST(FluidNetworkTest, AFlowHasTheRateOfItsTightestLinkAndLeavesTheRest) {
  EXPECT_EQ(Ends({GBps(10), GBps(30)},
                 {OneFlow({{0}, {1}}, MB(1)), OneFlow({{0}}, MB(1)), OneFlow({{1}}, MB(2))}),
            (std::vector<Time>{kMicrosecond * 200, kMicrosecond * 200, kMicrosecond * 80}));
}

// A flow that costs a link two bytes a byte, beside one that costs one: equal rates of 20 of 60
// GB/s.
TEST(FluidNetworkTest, AShareIsWhatAByteCostsTheLink) {
  EXPECT_EQ(Ends({GBps(60)}, {OneFlow({{0, 2}}, MB(1)), OneFlow({{0}}, MB(1))}),
            std::vector<Time>(2, kMicrosecond * 50));
  EXPECT_EQ(Ends({GBps(60)}, {OneFlow({{0}, {0}}, MB(1)), OneFlow({{0}}, MB(1))}),
            std::vector<Time>(2, kMicrosecond * 50));
}

// 100 GB/s for 5 us, nothing for 7 us, 50 GB/s for the other half: 5 + 7 + 10 us.
TEST(FluidNetworkTest, ANewCapacityHoldsFromItsTime) {
  EXPECT_EQ(Ends({GBps(100)}, {OneFlow({{0}}, MB(1))},
                 {{kMicrosecond * 5, 0, GBps(0)}, {kMicrosecond * 12, 0, GBps(50)}}),
            std::vector<Time>{kMicrosecond * 22});
}

TEST(FluidNetworkTest, ALinkWithoutCapacityIsNamed) {
  FluidNetwork network(std::vector<BytesPerSecond>{GBps(1), GBps(100), GBps(0)});
  const std::vector<Flow> flows = {OneFlow({{0}}, MB(1)), OneFlow({{0}, {2}}, MB(1))};
  const FlowEnds ends = RunFlows(network, flows);
  EXPECT_EQ(ends.end[0], kMicrosecond * 1000);  // the stuck flow takes none of link 0
  EXPECT_EQ(ends.end[1], kNever);
  EXPECT_EQ(ends.last(), kNever);
  EXPECT_EQ(ends.blocked, std::vector<LinkId>{2});
}

TEST(FluidNetworkTest, FlowsWithoutBytesOrLinksEndAtOnce) {
  EXPECT_EQ(Ends({GBps(0)}, {OneFlow({{0}}, Bytes(0), 1, Time{7}), OneFlow({}, MB(1), 3, Time{9})}),
            (std::vector<Time>{Time{7}, Time{9}}));
}

// 10^5 starts, no two alike, of which three at most are under way: what has ended long ago leaves
// nothing behind.
TEST(FluidNetworkTest, MemoryDoesNotGrowWithStarts) {
  FluidNetwork network(std::vector<BytesPerSecond>(10, GBps(100)));
  std::vector<FlowTag> done;
  Time now;
  for (int i = 0, under_way = 0; i < 100'000; ++i) {
    const double share = 1 + 1e-6 * i;
    network.Start(now, std::vector<LinkShare>{{i % 10, share}, {i / 10 % 10, share}}, MB(1), 1, i);
    if (++under_way < 3) continue;
    now = network.Next();
    done.clear();
    network.Advance(now, done);
    under_way -= static_cast<int>(done.size());
  }
  EXPECT_LE(network.kinds(), FluidNetwork::kMostIdle + 3);
}

// 10^5 starts of one kind, one at a time, are one kind in memory.
TEST(FluidNetworkTest, FlowsThatComeAgainAreFoundAgain) {
  FluidNetwork network(std::vector<BytesPerSecond>(2, GBps(100)));
  std::vector<FlowTag> done;
  for (int i = 0; i < 100'000; ++i) {
    network.Start(kMicrosecond * (10 * i), std::vector<LinkShare>{{i % 2}, {1 - i % 2}}, MB(1), 1,
                  i);
    ASSERT_EQ(network.Next(), kMicrosecond * (10 * i + 10));
    network.Advance(network.Next(), done);
  }
  EXPECT_EQ(network.kinds(), 1u);
  EXPECT_EQ(done.size(), 100'000u);
}

TEST(FluidNetworkTest, EndsBeyondTimeAreNever) {
  EXPECT_EQ(Ends({BytesPerSecond(1e-3)}, {OneFlow({{0}}, GB(1))}), std::vector<Time>{kNever});
}

// Tags count down, so that neither they nor the links are in the order of the starts.
TEST(FluidNetworkTest, EndsAtOneTimeAreInTheOrderOfTheirStarts) {
  FluidNetwork network(std::vector<BytesPerSecond>(4, GBps(100)));
  FlowTag tag = 16;
  for (LinkId l : {3, 1, 2, 0, 1, 3})
    network.Start({}, std::vector<LinkShare>{{l}}, MB(1), 1, --tag);
  std::vector<FlowTag> done;
  EXPECT_EQ(network.Next(), kMicrosecond * 10);
  network.Advance(kMicrosecond * 10, done);
  EXPECT_EQ(done, (std::vector<FlowTag>{13, 12}));
  EXPECT_EQ(network.Next(), kMicrosecond * 20);
  network.Advance(kMicrosecond * 20, done);
  EXPECT_EQ(done, (std::vector<FlowTag>{13, 12, 15, 14, 11, 10}));
  EXPECT_EQ(network.Next(), kNever);
}

TEST(FluidNetworkTest, EndsAreThoseOfWaterFilling) {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const RandomNetwork n = DrawNetwork(random, 30, false);
    const std::vector<Time> ends = Ends(n.capacity, n.flows);
    const std::vector<double> naive = WaterFillingEnds(n);
    // Every end before shifts by up to half a picosecond.
    for (size_t f = 0; f < ends.size(); ++f)
      EXPECT_NEAR(ends[f].seconds().value, naive[f],
                  1e-12 * static_cast<double>(n.flows.size()) + 1e-11 * naive[f]);
  }
}

TEST(FluidNetworkTest, TheOrderOfFlowsAndOfTheirLinksChangesNothing) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const RandomNetwork n = DrawNetwork(random, 40, false);
    const std::vector<Time> ends = Ends(n.capacity, n.flows);
    std::vector<size_t> order(n.flows.size());
    for (size_t i = 0; i < order.size(); ++i) {
      order[i] = i;
      std::swap(order[i], order[random.Below(i + 1)]);
    }
    std::vector<Flow> flows;
    for (const size_t i : order) {
      flows.push_back(n.flows[i]);
      std::reverse(flows.back().links.begin(), flows.back().links.end());
    }
    const std::vector<Time> permuted = Ends(n.capacity, flows);
    for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(permuted[i], ends[order[i]]);
  }
}

TEST(FluidNetworkTest, ManyFlowsOfOneStartAreAsManyStarts) {
  Random random(4);
  for (int round = 0; round < 100; ++round) {
    const RandomNetwork n = DrawNetwork(random, 20, false);
    std::vector<Flow> single;
    std::vector<size_t> of;
    for (size_t f = 0; f < n.flows.size(); ++f)
      for (int i = 0; i < n.flows[f].multiplicity; ++i) {
        single.push_back(n.flows[f]);
        single.back().multiplicity = 1;
        of.push_back(f);
      }
    const std::vector<Time> ends = Ends(n.capacity, n.flows), singles = Ends(n.capacity, single);
    for (size_t i = 0; i < single.size(); ++i) EXPECT_EQ(singles[i], ends[of[i]]);
  }
}

// Flows of one link each keep it busy until the last ends: capacity times that time is what they
// brought.
TEST(FluidNetworkTest, BytesAreConserved) {
  Random random(5);
  for (int round = 0; round < 100; ++round) {
    RandomNetwork n = DrawNetwork(random, 30, false);
    for (Flow& f : n.flows) {
      f.start = {};
      f.links = {{static_cast<LinkId>(random.Below(n.capacity.size())), f.links[0].share}};
    }
    const std::vector<Time> ends = Ends(n.capacity, n.flows);
    std::vector<Bytes> bytes(n.capacity.size());
    std::vector<Time> last(n.capacity.size());
    for (size_t f = 0; f < ends.size(); ++f) {
      const Flow& flow = n.flows[f];
      const auto [link, share] = flow.links[0];
      bytes[link] += flow.bytes * (share * static_cast<double>(flow.multiplicity));
      last[link] = std::max(last[link], ends[f]);
    }
    for (size_t l = 0; l < last.size(); ++l)
      EXPECT_NEAR((n.capacity[l] * last[l].seconds()).value, bytes[l].value,
                  1e-9 * bytes[l].value + 30);
  }
}

TEST(FluidNetworkTest, ACapacityChangedAndChangedBackAtOnceChangesNothing) {
  Random random(6);
  for (int round = 0; round < 100; ++round) {
    const RandomNetwork n = DrawNetwork(random, 30, false);
    const Time at = Time::From(Seconds(1e-3 * random.Uniform()));
    const auto link = static_cast<LinkId>(random.Below(n.capacity.size()));
    const std::vector<Time> plain = Ends(n.capacity, n.flows),
                            changed = Ends(n.capacity, n.flows,
                                           {{at, link, GBps(0)}, {at, link, n.capacity[link]}});
    for (size_t f = 0; f < plain.size(); ++f)
      EXPECT_NEAR(static_cast<double>(changed[f].ps), static_cast<double>(plain[f].ps), 60);
  }
}

// Re-entrant: no state but the network's own.
// 1 and 3 MB over 100 GB/s, both at 50 GB/s, the first of them gone after 10 us: 2.5 MB are left of
// the other, 25 us. One that has ended at that time is not told either.
TEST(FluidNetworkTest, WhatACancelledFlowLeavesTheOthersTake) {
  FluidNetwork network(std::vector<BytesPerSecond>{GBps(100)});
  network.Start({}, std::vector<LinkShare>{{0}}, MB(1), 1, 7);
  network.Start({}, std::vector<LinkShare>{{0}}, MB(3), 1, 8);
  network.Start(kMicrosecond * 10, std::vector<LinkShare>{{0}}, Bytes(0), 1, 7);
  network.Cancel(kMicrosecond * 10, 7);
  EXPECT_EQ(network.Next(), kMicrosecond * 35);
  std::vector<FlowTag> done;
  network.Advance(kMicrosecond * 35, done);
  EXPECT_EQ(done, std::vector<FlowTag>{8});
  EXPECT_EQ(network.Next(), kNever);
}

// Flows that are started and cancelled at once leave the others as if they had never been.
TEST(FluidNetworkTest, AFlowCancelledAtOnceChangesNothing) {
  Random random(11);
  for (int run = 0; run < 200; ++run) {
    const std::vector<BytesPerSecond> capacity = {GBps(10), GBps(30), GBps(7)};
    FluidNetwork with(capacity), without(capacity);
    for (FlowTag tag = 0; tag < 12; ++tag) {
      const std::vector<LinkShare> links = {{static_cast<LinkId>(random.Below(3))},
                                            {static_cast<LinkId>(random.Below(3))}};
      const Bytes bytes = MB(1 + static_cast<double>(random.Below(5)));
      with.Start({}, links, bytes, 1, tag);
      if (tag % 3 > 0) without.Start({}, links, bytes, 1, tag);
    }
    for (FlowTag tag = 0; tag < 12; tag += 3) with.Cancel({}, tag);
    for (Time now = without.Next(); now != kNever; now = without.Next()) {
      ASSERT_EQ(with.Next(), now);
      std::vector<FlowTag> a, b;
      with.Advance(now, a);
      without.Advance(now, b);
      EXPECT_EQ(a, b);
    }
    EXPECT_EQ(with.Next(), kNever);
  }
}

TEST(FluidNetworkTest, NetworksInThreadsGiveWhatTheyGiveAlone) {
  Random random(9);
  std::vector<RandomNetwork> problems;
  std::vector<std::vector<Time>> alone, beside(40);
  for (size_t i = 0; i < beside.size(); ++i) {
    problems.push_back(DrawNetwork(random, 40, false));
    alone.push_back(Ends(problems.back().capacity, problems.back().flows));
  }
  std::vector<std::thread> threads;
  for (size_t first = 0; first < 4; ++first)
    threads.emplace_back([&, first] {
      for (size_t i = first; i < problems.size(); i += 4)
        beside[i] = Ends(problems[i].capacity, problems[i].flows);
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(beside, alone);
}

TEST(FluidNetworkTest, AnalyticIsNeverAboveFluid) {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    const RandomNetwork n = DrawNetwork(random, 40, false);
    AnalyticNetwork network(n.capacity);
    const std::vector<Time> alone = RunFlows(network, n.flows).end,
                            shared = Ends(n.capacity, n.flows);
    for (size_t f = 0; f < alone.size(); ++f) EXPECT_LE(alone[f].ps, shared[f].ps + 20);
  }
}

TEST(AnalyticNetworkTest, AStartAloneTakesAsLongAsInFluid) {
  Random random(8);
  for (int round = 0; round < 200; ++round) {
    const RandomNetwork n = DrawNetwork(random, 1, false);
    AnalyticNetwork network(n.capacity);
    EXPECT_NEAR(static_cast<double>(RunFlows(network, n.flows).last().ps),
                static_cast<double>(Ends(n.capacity, n.flows)[0].ps), 1);
  }
}

TEST(AnalyticNetworkTest, FlowsDoNotSeeEachOtherButANewCapacity) {
  AnalyticNetwork network(std::vector<BytesPerSecond>{GBps(100), GBps(100)});
  const std::vector<Flow> flows = {OneFlow({{0}}, MB(1)), OneFlow({{0}}, MB(2)),
                                   OneFlow({{1}}, MB(1)), OneFlow({{0}, {1}}, MB(1), 2)};
  const std::vector<CapacityChange> changes = {{kMicrosecond * 15, 0, GBps(50)},
                                               {kMicrosecond * 30, 1, GBps(0)}};
  const FlowEnds ends = RunFlows(network, flows, changes);
  // Flow 1 and the two flows of the last start, 2 MB together: 1.5 MB by 15 us, the rest at 50
  // GB/s.
  EXPECT_EQ(ends.end, (std::vector<Time>{kMicrosecond * 10, kMicrosecond * 25, kMicrosecond * 10,
                                         kMicrosecond * 25}));
  AnalyticNetwork stuck(std::vector<BytesPerSecond>{GBps(0)});
  EXPECT_EQ(RunFlows(stuck, std::vector<Flow>{OneFlow({{0}}, MB(1))}).blocked,
            std::vector<LinkId>{0});
}

}  // namespace
}  // namespace moecast
