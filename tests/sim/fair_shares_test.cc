#include "sim/network/fair_shares.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/network/link_shares.h"
#include "tests/sim/random_flows.h"

namespace moecast {
namespace {

std::vector<LinkShare> Canonical(const std::vector<LinkShare>& shares) {
  std::vector<LinkShare> canonical;
  CanonicalShares(shares, 1000, canonical);
  return canonical;
}

int32_t AddFlows(FairShares& shares, const std::vector<LinkShare>& links, int64_t flows = 1) {
  const int32_t kind = shares.Add(Canonical(links));
  shares.Change(kind, flows);
  return kind;
}

// The kinds that Solve rates anew.
std::vector<int32_t> Solved(FairShares& shares) {
  const auto solved = shares.Solve();
  std::vector<int32_t> kinds(solved.begin(), solved.end());
  std::ranges::sort(kinds);
  return kinds;
}

// Rates of FairShares and of water-filling, and what max-min means: no link above its capacity, and
// every flow has a full link on which no flow is faster.
TEST(FairSharesTest, RatesAreMaxMinFair) {
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    RandomNetwork n = DrawNetwork(random, 40, false);
    std::vector<double> capacity;
    for (BytesPerSecond& c : n.capacity) {
      if (random.Below(20) == 0) c = GBps(0);
      capacity.push_back(c.value);
    }
    FairShares shares(n.capacity);
    std::vector<int32_t> kinds;
    for (const Flow& f : n.flows) kinds.push_back(AddFlows(shares, f.links, f.multiplicity));
    shares.Solve();
    const std::vector<double> naive = WaterFilling(n.flows, capacity);
    std::vector<double> rates, used(capacity.size()), fastest(capacity.size());
    for (size_t f = 0; f < kinds.size(); ++f) {
      rates.push_back(shares.rate(kinds[f]));
      EXPECT_NEAR(rates[f], naive[f], 1e-9 * naive[f]);
      for (size_t l = 0; l < capacity.size(); ++l) {
        const double share = ShareOn(n.flows[f], l);
        used[l] += share * static_cast<double>(n.flows[f].multiplicity) * rates[f];
        if (share > 0) fastest[l] = std::max(fastest[l], rates[f]);
      }
    }
    for (size_t l = 0; l < capacity.size(); ++l) EXPECT_LE(used[l], capacity[l] * (1 + 1e-9));
    for (size_t f = 0; f < rates.size(); ++f) {
      bool bottleneck = false;
      for (size_t l = 0; l < capacity.size(); ++l)
        bottleneck =
            bottleneck || (ShareOn(n.flows[f], l) > 0 && used[l] >= capacity[l] * (1 - 1e-9) &&
                           rates[f] >= fastest[l] * (1 - 1e-9));
      EXPECT_TRUE(bottleneck) << "flow " << f << " of round " << round;
    }
  }
}

// Flows come and go, some at a time, and capacities change; what Solve leaves alone has the rate it
// would get if all were solved together.
TEST(FairSharesTest, WhateverHappensRatesAreThoseOfAllSolvedTogether) {
  Random random(2);
  for (int round = 0; round < 150; ++round) {
    RandomNetwork n = DrawNetwork(random, 40, false);
    FairShares shares(n.capacity);
    std::vector<int32_t> kinds;
    for (const Flow& f : n.flows) kinds.push_back(shares.Add(Canonical(f.links)));
    std::vector<int64_t> flows(n.flows.size());
    const auto act = [&] {
      if (random.Below(15) == 0) {
        const size_t l = random.Below(n.capacity.size());
        n.capacity[l] = random.Below(3) == 0 ? GBps(0) : GBps(200 * random.Uniform());
        return shares.SetCapacity(static_cast<LinkId>(l), n.capacity[l]);
      }
      const size_t f = random.Below(kinds.size());
      const int64_t change = flows[f] == 0          ? n.flows[f].multiplicity
                             : random.Below(4) == 0 ? 2
                             : random.Below(2) == 0 ? -1
                                                    : -flows[f];
      shares.Change(kinds[f], change);
      flows[f] += change;
    };
    for (int step = 0; step < 100; ++step) {
      for (uint64_t acts = 1 + random.Below(4); acts > 0; --acts) act();
      shares.Solve();
      FairShares together(n.capacity);
      std::vector<int32_t> again(kinds.size(), -1);
      for (size_t f = 0; f < kinds.size(); ++f)
        if (flows[f] > 0) again[f] = AddFlows(together, n.flows[f].links, flows[f]);
      together.Solve();
      for (size_t f = 0; f < kinds.size(); ++f) {
        if (flows[f] == 0) continue;
        const double rate = together.rate(again[f]);
        ASSERT_NEAR(shares.rate(kinds[f]), rate, 1e-9 * rate)
            << "round " << round << ", step " << step;
      }
    }
  }
}

// 100 pairs of flows, each pair on a link of its own: what happens on one is solved there.
TEST(FairSharesTest, OnlyWhatIsTouchedIsSolved) {
  FairShares shares(std::vector<BytesPerSecond>(100, GBps(100)));
  std::vector<int32_t> kinds;
  for (int i = 0; i < 200; ++i) kinds.push_back(AddFlows(shares, {{i % 100, 1.0 + i / 100}}));
  EXPECT_EQ(shares.Solve().size(), 200u);
  EXPECT_EQ(shares.Solve().size(), 0u);
  shares.Change(kinds[7], -1);
  EXPECT_EQ(Solved(shares), std::vector<int32_t>{107});
  shares.SetCapacity(8, GBps(50));
  EXPECT_EQ(Solved(shares), (std::vector<int32_t>{8, 108}));
}

// Two flows over link 0, 100 GB/s, of which one is held to 10 GB/s by link 1: the other has 90.
// When that one ends the slow flow is looked at in vain, and not at all; when the slow one ends the
// other is rated anew.
TEST(FairSharesTest, WhatIsSlowerThanWhatEndedIsNotSolved) {
  for (const bool fast_ends : {true, false}) {
    FairShares shares(std::vector<BytesPerSecond>{GBps(100), GBps(10)});
    const int32_t fast = AddFlows(shares, {{0}}), slow = AddFlows(shares, {{0}, {1}});
    shares.Solve();
    EXPECT_EQ(shares.rate(fast), 90e9);
    EXPECT_EQ(shares.rate(slow), 10e9);
    shares.Change(fast_ends ? fast : slow, -1);
    EXPECT_EQ(Solved(shares), fast_ends ? std::vector<int32_t>{} : std::vector<int32_t>{fast});
    EXPECT_EQ(fast_ends ? shares.rate(slow) : shares.rate(fast), fast_ends ? 10e9 : 100e9);
  }
}

// Flows of one size that start together end fastest first, and what is left is slower: its rates
// are final.
TEST(FairSharesTest, FlowsThatEndFastestFirstAreSolvedOnce) {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const RandomNetwork n = DrawNetwork(random, 40, false);
    FairShares shares(n.capacity);
    std::vector<int32_t> kinds;
    for (const Flow& f : n.flows) kinds.push_back(AddFlows(shares, f.links));
    EXPECT_EQ(shares.Solve().size(), kinds.size());
    std::ranges::sort(kinds, std::ranges::greater{}, [&](int32_t k) { return shares.rate(k); });
    for (size_t i = 0; i < kinds.size();) {
      const double rate = shares.rate(kinds[i]);
      // Kinds of one level end at once.
      for (; i < kinds.size() && shares.rate(kinds[i]) > rate * (1 - 1e-9); ++i)
        shares.Change(kinds[i], -1);
      EXPECT_EQ(shares.Solve().size(), 0u);
    }
  }
}

}  // namespace
}  // namespace moecast
