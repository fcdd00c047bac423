#include "sim/routing/rank_loads.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moecast {
namespace {

RoutingSetup RankSetupOf(const Moe& moe, int ranks, const RoutingLoad& load) {
  return {.gate = GateOf(moe),
          .load = load,
          .spread = {.ranks = ranks, .ranks_per_node = 8, .uniform = SpreadOf(moe, ranks, 8)}};
}
constexpr Moe kSixOf64{.experts = 64, .top_k = 6};

TEST(RankLoadsTest, TheClosedFormIsOfAnyNumberOfTokens) {
  const RoutingLoad load{.device_cv = 0.2};
  const RankLoads loads = RankLoadsOf(RankSetupOf(kSixOf64, 16, load), nullptr, std::nullopt);
  for (const double tokens : {0.5, 1.0, 100.0, 1e6}) EXPECT_EQ(loads.Of(tokens), LoadOf(load, 16));
}

// A token visits a rank's 4 of 64 experts 6/16 times in the mean, with variance 6 (1/16) (15/16)
// (58/63) as it chooses without replacement: n tokens a rank make 6 n visits, of which the most of
// 16 ranks is 1.77 standard deviations above, and a little more where they are few and skewed.
TEST(RankLoadsTest, FewTokensAreLessEven) {
  const RankLoads loads =
      RankLoadsOf(RankSetupOf(kSixOf64, 16, {.tokens = TokenMix{}}), nullptr, std::nullopt);
  ASSERT_GT(loads.at.size(), 4u);
  for (size_t i = 0; i < loads.at.size(); ++i) {
    EXPECT_NEAR(loads.at[i].visits.mean, 1, 1e-9);
    if (i > 0) {
      EXPECT_LT(loads.at[i].visits.most, loads.at[i - 1].visits.most);
      EXPECT_EQ(loads.tokens[i], 4 * loads.tokens[i - 1]);
    }
  }
  const auto expected = [](double tokens) {
    return 1 + 1.766 * std::sqrt(16 * tokens * 6 / 16.0 * 15 / 16 * 58 / 63) / (6 * tokens);
  };
  EXPECT_NEAR(loads.at[0].visits.most, expected(1), 0.1);
  EXPECT_NEAR(loads.at[3].visits.most, expected(64), 0.02);
  // Between two, by the logarithm; beyond the ends as at them.
  EXPECT_NEAR(loads.Of(2).visits.most, (loads.at[0].visits.most + loads.at[1].visits.most) / 2,
              1e-12);
  EXPECT_EQ(loads.Of(0.1), loads.at.front());
  EXPECT_EQ(loads.Of(1e9), loads.at.back());
}

// Experts hit are what equally likely ones are: 64 (1 - (58/64)^n) of all n tokens.
TEST(RankLoadsTest, UniformTokensHitAsManyExpertsAsTheClosedFormSays) {
  const RankLoads loads =
      RankLoadsOf(RankSetupOf(kSixOf64, 16, {.tokens = TokenMix{}}), nullptr, std::nullopt);
  for (size_t i = 0; i < 3; ++i) {
    const double all = 16 * loads.tokens[i];
    const double hit =
        loads.at[i].hit.mean * ExpertsHit(4, 6 / 64.0, all * loads.at[i].visits.most);
    EXPECT_NEAR(hit / (4 * (1 - std::pow(58 / 64.0, all))), 1, 0.01) << all;
  }
}

// Popular experts in a row make their ranks slow; EPLB spreads them, copies spread them further.
TEST(RankLoadsTest, EplbEvensPopularExpertsOut) {
  const RoutingLoad load{
      .tokens = TokenMix{.distribution = TokenDistribution::kZipf, .zipf_exponent = 0.7}};
  const auto most = [&](const std::optional<int>& redundant) {
    Moe slots = kSixOf64;
    slots.experts += redundant.value_or(0);
    RoutingSetup setup = RankSetupOf(kSixOf64, 16, load);
    setup.spread.uniform = SpreadOf(slots, 16, 8);
    return RankLoadsOf(setup, nullptr, redundant).Of(256).visits.most;
  };
  const double in_order = most(std::nullopt), placed = most(0), copied = most(16);
  EXPECT_GT(in_order, 1.1 * placed);
  EXPECT_GT(placed, 1.4 * copied);
  EXPECT_LT(copied, 1.15);
}

// Counts of 12, 4, 4, 4 tokens on two ranks: 16 and 8 in order. With two more slots the first has
// three copies of 4 each, three slots a rank, 12 tokens on either.
TEST(RankLoadsTest, RecordedCountsArePlacedByThemselves) {
  const Moe moe{.experts = 4, .top_k = 1};
  const RoutingRecord record{.layers = 1, .experts = 4, .rows = 1, .counts = {12, 4, 4, 4}};
  const auto most = [&](const std::optional<int>& redundant) {
    return RankLoadsOf(RankSetupOf(moe, 2, {}), &record, redundant).Of(1).visits.most;
  };
  EXPECT_DOUBLE_EQ(most(std::nullopt), 16 / 12.0);
  EXPECT_DOUBLE_EQ(most(0), 16 / 12.0);
  EXPECT_DOUBLE_EQ(most(2), 1);
}

// The same as choices: copies take turns.
TEST(RankLoadsTest, CopiesOfAnExpertTakeTurns) {
  const Moe moe{.experts = 4, .top_k = 1};
  RoutingRecord record{.layers = 1, .experts = 4, .top_k = 1, .rows = 24};
  for (int t = 0; t < 24; ++t)
    record.choices.push_back(static_cast<uint16_t>(t % 2 == 0 ? 0 : 1 + t / 2 % 3));
  const auto load = [&](const std::optional<int>& redundant) {
    return RankLoadsOf(RankSetupOf(moe, 2, {}), &record, redundant).Of(1);
  };
  EXPECT_DOUBLE_EQ(load(std::nullopt).visits.most, 16 / 12.0);
  EXPECT_DOUBLE_EQ(load(2).visits.most, 1);
  EXPECT_DOUBLE_EQ(load(2).visits.mean, 1);
}

}  // namespace
}  // namespace moecast
