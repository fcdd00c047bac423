#include "costmodel/spread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.h"

namespace moecast {
namespace {

double Choose(int n, int k) {
  double c = k > n ? 0 : 1;
  for (int i = 1; i <= k && k <= n; ++i) c = c * (n - k + i) / i;
  return c;
}

Moe Experts(int experts, int top_k, int groups = 1, int top_groups = 1) {
  return {
      .experts = experts, .top_k = top_k, .inter = 1, .groups = groups, .top_groups = top_groups};
}
const Moe kV2 = Experts(160, 6, 8, 3);

// All experts in a random order, the best first: every order equally likely.
std::vector<int> Ranked(int n, Random& random) {
  std::vector<int> all(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) all[static_cast<size_t>(i)] = i;
  for (int i = n - 1; i > 0; --i)
    std::swap(all[static_cast<size_t>(i)], all[random.Below(static_cast<uint64_t>(i) + 1)]);
  return all;
}

// Parts that a token with these experts, best first, goes to: its groups are those of the best
// expert.
std::set<int> PartsOf(const Moe& moe, int parts, const std::vector<int>& ranked) {
  std::set<int> groups, hit;
  for (const int e : ranked) {
    if (static_cast<int>(groups.size()) == moe.top_groups) break;
    groups.insert(e / (moe.experts / moe.groups));
  }
  int left = moe.top_k;
  for (const int e : ranked)
    if (left > 0 && groups.contains(e / (moe.experts / moe.groups))) {
      hit.insert(e / (moe.experts / parts));
      --left;
    }
  return hit;
}

// Parts hit, by choosing for many tokens.
double SampledParts(const Moe& moe, int parts, int tokens, Random& random) {
  double hits = 0;
  for (int t = 0; t < tokens; ++t)
    hits += static_cast<double>(PartsOf(moe, parts, Ranked(moe.experts, random)).size());
  return hits / tokens;
}

// With one group a device a token goes to as many devices as its 6 best experts of all are in, but
// to 3 at most: it goes to fewer only where all 6 lie in two groups or in one.
TEST(SpreadTest, DeepSeekV2WithOneGroupADevice) {
  const double one = 8 * Choose(20, 6) / Choose(160, 6),
               two = 8 * 7 / 2 * (Choose(40, 6) - 2 * Choose(20, 6)) / Choose(160, 6);
  EXPECT_NEAR(SpreadOf(kV2, 8, 8).devices, one + 2 * two + 3 * (1 - one - two), 1e-12);
  EXPECT_EQ(SpreadOf(kV2, 8, 8).nodes, 1);
}

TEST(SpreadTest, WithoutADeviceLimitEveryChoiceIsOneOfAllExperts) {
  const Moe moe = Experts(64, 6);
  EXPECT_NEAR(SpreadOf(moe, 8, 8).devices, 8 * (1 - Choose(56, 6) / Choose(64, 6)), 1e-12);
  EXPECT_NEAR(SpreadOf(moe, 64, 64).devices, 6, 1e-11);  // an expert a device: as many as chosen
}

TEST(SpreadTest, OneDeviceHoldsEveryToken) {
  EXPECT_NEAR(SpreadOf(kV2, 1, 8).devices, 1, 1e-12);
  EXPECT_NEAR(SpreadOf(Experts(8, 2), 1, 1).devices, 1, 1e-12);
}

TEST(SpreadTest, NodesAreCountedAsDevicesOfAllTheirExperts) {
  const TokenSpread s = SpreadOf(kV2, 32, 8);
  EXPECT_NEAR(s.nodes, SpreadOf(kV2, 4, 4).devices, 1e-12);
  EXPECT_LT(s.nodes, s.devices);
  EXPECT_EQ(SpreadOf(kV2, 8, 1).nodes, SpreadOf(kV2, 8, 1).devices);  // a device a node
  EXPECT_EQ(SpreadOf(kV2, 8, 3).nodes, SpreadOf(kV2, 8, 3).devices);  // 3 does not divide 8
}

// 6 experts in 3 groups of 2, of which 2 are taken, and 3 experts chosen: all 720 orders, one by
// one; with 2 parts of 3, which cut the middle group.
TEST(SpreadTest, EqualsCountingAllOrdersWherePartsCutGroups) {
  const Moe moe = Experts(6, 3, 3, 2);
  for (const int parts : {1, 2, 3, 6}) {
    std::vector<int> ranked = {0, 1, 2, 3, 4, 5};
    double hits = 0;
    do hits += static_cast<double>(PartsOf(moe, parts, ranked).size());
    while (std::next_permutation(ranked.begin(), ranked.end()));
    EXPECT_NEAR(SpreadOf(moe, parts, 8).devices, hits / 720, 1e-12) << parts;
  }
}

TEST(SpreadTest, AgreesWithSampledTokens) {
  Random random(7);
  constexpr int kTokens = 20000;
  const struct {
    Moe moe;
    int ep;
  } cases[] = {{kV2, 8},
               {kV2, 4},
               {kV2, 5},
               {kV2, 10},
               {kV2, 20},
               {kV2, 160},
               {Experts(256, 8, 8, 4), 64},
               {Experts(256, 8, 8, 4), 2},
               {Experts(64, 6), 16},
               {Experts(8, 2), 4}};
  for (const auto& c : cases) {
    // A token hits at most top_k parts and at least one: the mean's standard error is below top_k /
    // 2 / sqrt(tokens).
    const double error = c.moe.top_k / 2.0 / std::sqrt(kTokens);
    EXPECT_NEAR(SpreadOf(c.moe, c.ep, c.ep).devices, SampledParts(c.moe, c.ep, kTokens, random),
                4 * error)
        << c.moe.experts << " experts on " << c.ep;
  }
}

// DeepSeek-V2's experts over 32 ranks on nodes of 8, then over 8 on one node; a model without
// experts goes nowhere.
TEST(SpreadTest, AGroupsRanksAndNodesAreThoseOfItsPlacement) {
  Model m;
  m.moe = kV2;
  const Cluster cluster{.gpus = 64, .gpus_per_node = 8};
  const auto spread = [&](int tp, int ep, const char* dispatch = "auto") {
    const Placement placement({tp, 1, ep, 1, 1},
                              {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp});
    return ExpertSpreadOf(m, {.tp = tp, .ep = ep, .dp = ep, .collectives = {.dispatch = dispatch}},
                          placement, cluster);
  };
  EXPECT_EQ(spread(1, 32), (ExpertSpread{.ranks = 32,
                                         .ranks_per_node = 8,
                                         .sent_once = SentOnce::kPerNode,
                                         .uniform = SpreadOf(kV2, 32, 8)}));
  EXPECT_EQ(spread(1, 8), (ExpertSpread{.ranks = 8,
                                        .ranks_per_node = 8,
                                        .sent_once = SentOnce::kPerDevice,
                                        .uniform = SpreadOf(kV2, 8, 8)}));
  // tp 8 fills a node: a rank a node.
  EXPECT_EQ(spread(8, 8), (ExpertSpread{.ranks = 8,
                                        .ranks_per_node = 1,
                                        .sent_once = SentOnce::kPerDevice,
                                        .uniform = SpreadOf(kV2, 8, 1)}));
  // Two hops where the plan's dispatch takes them, and there are nodes to hop between.
  EXPECT_EQ(spread(1, 32, "two-hop"), spread(1, 32));
  EXPECT_EQ(spread(1, 32, "store-and-forward"), spread(1, 32));
  EXPECT_EQ(spread(1, 8, "store-and-forward"), spread(1, 8));
  EXPECT_EQ(spread(1, 32, "direct").sent_once, SentOnce::kPerDevice);
  EXPECT_EQ(spread(1, 32, "low-latency").sent_once, SentOnce::kPerExpert);
  EXPECT_EQ(spread(1, 8, "low-latency").sent_once, SentOnce::kPerExpert);
  m.moe = {};
  EXPECT_EQ(spread(1, 1), ExpertSpread{});
}

TEST(SpreadTest, APlansGroupsStandInForTheModels) {
  EXPECT_EQ(RoutedBy(std::nullopt, kV2), kV2);
  EXPECT_EQ(RoutedBy(2, kV2), Experts(160, 6, 8, 2));
}

}  // namespace
}  // namespace moecast
